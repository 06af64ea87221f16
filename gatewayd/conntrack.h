/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Connection tracking entries of our mappings: finding and deleting those that no longer lead where
 * their mapping does. It touches no entry of a port that it is not asked for.
 */
#pragma once

#include "gatewayd/ctnetlink.h"
#include "gatewayd/netlink.h"
#include "gatewayd/sweep_list.h"

/* Who wants to see an entry before it goes. */
struct sweep_observer {
	void (*on_victim)(const struct ct_entry *entry, void *userdata);
	void *userdata;
};

struct ct_entries {
	struct ct_entry *items; /* owned */
	size_t n, allocated;
};
void ct_entries_clear(struct ct_entries *entries);

/* Adds to *entries all that a sorted list hits. -EINTR where the listing was interrupted (run it
 * again). After an error the socket has to be closed, and entries has what was found until then. */
int conntrack_list(struct netlink *netlink, const struct sweep_list *sweeps,
		   struct ct_entries *entries) _must_check_;

/* Deletes this very entry. -ENOENT where it has ended; other errors as conntrack_list. */
int conntrack_delete(struct netlink *netlink, const struct ct_entry *entry) _must_check_;
