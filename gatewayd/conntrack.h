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

/* Deletes, for each of the mappings, the entries whose original destination is its address,
 * protocol and port and that do not lead to its target: of TCP those that were translated, of UDP
 * all, since a UDP flow that began before the mapping would never reach it. sweeps gets sorted;
 * observer may be NULL.
 * Returns the first error, -EINTR where the listing was interrupted (run it again); *ret_deleted is
 * set in any case. After an error the socket has to be closed. */
int conntrack_sweep(struct netlink *netlink, struct sweep *sweeps, size_t n_sweeps,
		    const struct sweep_observer *observer, size_t *ret_deleted) _must_check_;

/* Deletes this very entry. -ENOENT where it has ended; other errors as conntrack_sweep. */
int conntrack_delete(struct netlink *netlink, const struct ct_entry *entry) _must_check_;
