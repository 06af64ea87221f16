/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Connection tracking entries of our mappings: finding and deleting those that no longer lead where
 * their mapping does. It touches no entry of a port that it is not asked for.
 */
#pragma once

#include "gatewayd/ctnetlink.h"
#include "gatewayd/netlink.h"

/* One mapping whose entries are to be looked through. */
struct sweep {
	struct mapping_key key;
	bool mapped;            /* entries that lead to target are right */
	struct endpoint target; /* where mapped */
};

/* Who wants to see an entry before it goes. */
struct sweep_observer {
	void (*on_victim)(const struct ct_entry *entry, void *userdata);
	void *userdata;
};

/* Sorts by key and leaves one of each; returns how many there are. Those below want them so. */
size_t sweeps_sort(struct sweep *sweeps, size_t n);
/* NULL if there is none. */
const struct sweep *sweeps_find(const struct sweep *sweeps, size_t n,
				const struct mapping_key *key);

/* Whether the entry's original destination is the address, protocol and port of one of the mappings
 * and it does not lead to its target: of TCP those that were translated, of UDP all, since a UDP
 * flow that began before the mapping would never reach it. */
bool sweeps_hit(const struct sweep *sweeps, size_t n, const struct ct_entry *entry);

struct ct_entries {
	struct ct_entry *items; /* owned */
	size_t n, allocated;
};
void ct_entries_clear(struct ct_entries *entries);

/* Adds to *entries all that are hit. -EINTR where the listing was interrupted (run it again). After
 * an error the socket has to be closed, and entries has what was found until then. */
int conntrack_list(struct netlink *netlink, const struct sweep *sweeps, size_t n,
		   struct ct_entries *entries) _must_check_;

/* Deletes this very entry. -ENOENT where it has ended; other errors as conntrack_list. */
int conntrack_delete(struct netlink *netlink, const struct ct_entry *entry) _must_check_;
