/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Lists of mappings whose connections are to be looked through, and the judgement by which one of
 * connection tracking's entries has to go. Memory only.
 */
#pragma once

#include "gatewayd/ctnetlink.h"

/* Connections of one mapping that may be stale. */
struct sweep {
	struct mapping_key key;
	struct endpoint led; /* where the mapping led them */
	bool kept;   /* of a time without us: only what leads to led is surely of our making */
	bool mapped; /* entries that lead to target are right */
	struct endpoint target; /* where mapped */
};

struct sweep_list {
	struct sweep *items; /* owned */
	size_t n, allocated;
};

void sweep_list_clear(struct sweep_list *list);
int sweep_list_add(struct sweep_list *list, const struct sweep *sweep) _must_check_;
/* Moves all of from behind to's. -ENOMEM: some of it is lost. */
int sweep_list_move(struct sweep_list *to, struct sweep_list *from) _must_check_;
/* Sorts and leaves one of each. The three below want it so. */
void sweep_list_sort(struct sweep_list *list);
bool sweep_list_has(const struct sweep_list *sorted, const struct mapping_key *key);
/* Takes out of list what sorted has of the same mappings. */
void sweep_list_remove(struct sweep_list *list, const struct sweep_list *sorted);

/* Whether the entry's original destination is the address, protocol and port of one of the mappings
 * and it does not lead to its target: of TCP those that were translated, of UDP all, since a UDP
 * flow that began before the mapping would never reach it. */
bool sweep_list_hits(const struct sweep_list *sorted, const struct ct_entry *entry);
