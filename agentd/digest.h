/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The digest of an assignment: whether a container must be replaced. It covers what a container is
 * made from and nothing else, so that a new revision alone, or a stop and a start, replaces
 * nothing.
 */
#pragma once

#include "agentd/driver.h"

/* SHA-256 in hex. It goes into a label: the secrets that it covers cannot be guessed back from it
 * (a private key and salted hashes). -ENOMEM. */
int assignment_digest(const struct assignment *assignment, char ret[DIGEST_STRING_MAX])
	_must_check_;
