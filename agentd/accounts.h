/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Edits the text of /etc/passwd, /etc/group and /etc/shadow so that a login user exists with a
 * given password hash. Pure: texts in, texts out. It never removes or renumbers what an image
 * brings.
 */
#pragma once

#include <sys/types.h>

#include "lib/error.h"
#include "lib/util.h"

#define ACCOUNT_UID 1000 /* of a user that is made here, if it is free */
#define ACCOUNT_NAME_MAX 32
#define ACCOUNT_FILE_MAX (1 << 20) /* bytes of each of the three files */

/* Owned texts, zero-terminated; NULL for a file that the image does not have. */
struct account_files {
	char *passwd, *group, *shadow;
};

void account_files_clear(struct account_files *files); /* also wipes shadow */

struct account {
	uid_t uid;
	gid_t gid;
	char home[256]; /* absolute */
	bool created;   /* the image did not have it */
};

/* Makes the user exist, in place. password_hash is crypt(5) text; with NULL no password opens the
 * account, and keys still do. shell is used only for a user that does not exist. -EINVAL for a name
 * that is no portable user name, a hash with ':' or a control character, and a passwd line of that
 * user which cannot be understood; files is unchanged then. */
int account_ensure(struct account_files *files, const char *user, const char *password_hash,
		   const char *shell, struct account *ret, struct error *err) _must_check_;
