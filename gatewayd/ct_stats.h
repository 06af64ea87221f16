/* SPDX-License-Identifier: GPL-2.0-or-later */
/* How full the kernel's connection tracking is, what it had to refuse, and whether it counts. */
#pragma once

#include "gatewayd/netlink.h"

struct ct_stats {
	uint64_t entries, limit;                  /* of this network namespace; limit 0: none */
	uint64_t insert_failed, drop, early_drop; /* since the boot, of all CPUs */
	bool counts_bytes;                        /* nf_conntrack_acct */
	bool tells_ends;                          /* nf_conntrack_events */
	bool notes_times;                         /* nf_conntrack_timestamp */
};

/* What cannot be read is left as it was in *stats. */
void ct_stats_read(struct netlink *netlink, struct ct_stats *stats);
