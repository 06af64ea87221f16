/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What an earlier process had still to look through, from what it wrote down in its order: made a
 * list of. Memory only.
 */
#pragma once

#include "gatewayd/sweep_list.h"

struct sweep_line {
	struct sweep sweep;
	size_t place;
	bool spares; /* what was said of this mapping before counts no longer */
};

struct sweep_replay {
	struct sweep_line *lines; /* owned */
	size_t n, allocated;
};

void sweep_replay_clear(struct sweep_replay *replay); /* zeroed is fine */

/* Connections of this mapping that lead to led are to be looked through. */
int sweep_replay_add(struct sweep_replay *replay, const struct mapping_key *key,
		     const struct endpoint *led) _must_check_;
/* Those of this mapping drain: none is looked through for what was added before. */
int sweep_replay_spare(struct sweep_replay *replay, const struct mapping_key *key) _must_check_;
/* All that was added before has been looked through. */
void sweep_replay_done(struct sweep_replay *replay);

/* Adds what is left to list. */
int sweep_replay_finish(struct sweep_replay *replay, struct sweep_list *list) _must_check_;
