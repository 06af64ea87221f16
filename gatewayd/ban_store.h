/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Bans in the state file: what was kept is read at the start, and each request that the kernel has
 * is noted. The file has them as they were asked for, in their order, so that reading makes the
 * same list of them again.
 */
#pragma once

#include "gatewayd/ban_keeper.h"
#include "gatewayd/state.h"

/* Reads the bans that the file has and that have not ended by now (Unix seconds). What it cannot
 * read is left out. -ENOMEM and the file's errors. */
int ban_store_read(const struct state *state, int64_t now, struct bans *ret) _must_check_;

/* From here on the keeper's requests are noted. Both must live as long as requests come. */
void ban_store_attach(struct state *state, struct ban_keeper *keeper);
