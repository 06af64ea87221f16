/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Which mappings this gateway takes, beyond what makes a mapping well-formed: its own addresses
 * only, targets that can be reached, and ends that are to come.
 */
#pragma once

#include "lib/error.h"
#include "proto/mapping.h"

struct admission {
	const struct address *addresses; /* the gateway's public ones; the first is the default */
	size_t n_addresses;
};

/* 0, or -EINVAL with the field below path: "not_ours" for an address that is not the gateway's,
 * "invalid" for a target that no packet can be led to, or an end that has come already. */
int admit_mapping(const struct admission *admission, const struct mapping *mapping,
		  const char *path, struct error *err) _must_check_;
int admit_key(const struct admission *admission, const struct mapping_key *key, const char *path,
	      struct error *err) _must_check_;
