/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Accounting: keeps the flow table true. It joins the kernel's listings (collector.c), its events
 * of ended connections (ct_events.c) and the changes of the mappings, each in the order that makes
 * the counts exact, and answers from memory.
 */
#pragma once

#include <event2/event.h>

#include "gatewayd/collector.h"
#include "gatewayd/conntrack.h"
#include "gatewayd/ct_stats.h"
#include "gatewayd/flow_table.h"
#include "gatewayd/plan.h"

struct accounting;

/* path: the file of counters; where it cannot be used, the log says so and counters last as long as
 * the process. Nothing is counted before the first accounting_run. */
int accounting_new(struct accounting **ret, struct event_base *base, const char *path,
		   size_t event_buffer, struct error *err) _must_check_;
void accounting_free(struct accounting *accounting); /* NULL is fine */

/* ---- hooks of the reconciler; a NULL accounting does nothing ---- */

/* Before a transaction: what has ended until now is counted for the mappings as they are. */
void accounting_note(struct accounting *accounting, const struct plan *plan);
/* The plans may not have been done: what they change is judged all the same, with the next ones. */
void accounting_forget(struct accounting *accounting);
/* The plans are done. The first call begins the counting, with a ledger that is complete. */
void accounting_run(struct accounting *accounting, const struct ledger *ledger);
/* Who counts what the sweeper deletes; NULL for a NULL accounting. */
const struct sweep_observer *accounting_observer(const struct accounting *accounting);

/* ---- looking ---- */

const struct flow_table *accounting_table(const struct accounting *accounting);

/* Calls back once all connections that there are now have been listed, from the event loop; error
 * is 0 or why they could not be. -ENOMEM. */
int accounting_refresh(struct accounting *accounting, void (*done)(int error, void *userdata),
		       void *userdata) _must_check_;

/* Deletes the connection of that id. -ENOENT where there is none (any more). */
int accounting_end_session(struct accounting *accounting, uint64_t id) _must_check_;

struct accounting_status {
	struct totals totals; /* of all mappings that there are and were */
	size_t sessions;
	double age_seconds;    /* of the oldest count; negative: nothing has been listed yet */
	double window_seconds; /* that rates are over; 0: none yet */
	struct collector_stats collector;
	struct ct_stats conntrack;
	uint64_t event_overruns, untracked;
	bool persistent;
};
void accounting_status(const struct accounting *accounting, struct accounting_status *ret);

DEFINE_CLEANUP(struct accounting *, accounting_free, cleanup_accounting)
