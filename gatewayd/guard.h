/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The guard keeps mappings off ports on which the gateway itself listens, so that nobody maps away
 * the ssh by which they came. It looks at what is new only, and neither refuses nor applies:
 * who asks decides.
 */
#pragma once

#include "gatewayd/changeset.h"
#include "gatewayd/ledger.h"

#define GUARD_REASON_MAX 200

struct guard;

/* ledger is borrowed. Where the kernel cannot tell of sockets, the guard lets everything pass:
 * guard_works says so. */
int guard_new(struct guard **ret, const struct ledger *ledger) _must_check_;
void guard_free(struct guard *guard); /* NULL is fine */
bool guard_works(const struct guard *guard);

/* Calls on_taken with the index of each change that puts a mapping where there is none yet, is not
 * forced, and meets a socket of the gateway's own; reason names the socket. Few of them are asked
 * for one by one, many by one listing. on_taken returns false to end the examination. */
void guard_examine(struct guard *guard, const struct changeset *changeset,
		   bool (*on_taken)(size_t index, const char *reason, void *userdata),
		   void *userdata);

DEFINE_CLEANUP(struct guard *, guard_free, cleanup_guard)
