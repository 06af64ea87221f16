/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The archive that is unpacked at a new container's root. Pure: texts in, tar out. */
#pragma once

#include "agentd/accounts.h"
#include "agentd/tar.h"
#include "proto/environment.h"

/* The owner and mode of each account file, as the image has them. */
struct seed_modes {
	struct {
		mode_t mode;
		uid_t uid;
		gid_t gid;
	} passwd, group, shadow;
};

struct seed {
	const struct assignment *assignment;
	const struct account *account; /* NULL: no login user */
	const struct account_files *files;
	struct seed_modes modes;
	bool make_home; /* the image has none */
};

/* Adds everything to the writer. Folders that the image may have are not in the archive, since
 * unpacking would change their mode: Docker makes those that are missing. -EINVAL for a host key
 * that is none, -ENOMEM. */
int seed_write(const struct seed *seed, struct tar_writer *writer, struct error *err) _must_check_;

/* The public part of an OpenSSH private key without a passphrase, as one line with a newline.
 * -EINVAL. The caller frees it. */
int ssh_public_key(const char *private_key, char **ret) _must_check_;
