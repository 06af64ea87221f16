/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The sweeper: which mappings' connections have to be looked through after a change, and doing so
 * until it worked. It decides by mapping; conntrack.c decides by connection.
 */
#pragma once

#include <event2/event.h>

#include "gatewayd/conntrack.h"
#include "gatewayd/ledger.h"
#include "gatewayd/plan.h"

struct sweeper;

int sweeper_new(struct sweeper **ret, struct event_base *base) _must_check_;
void sweeper_free(struct sweeper *sweeper); /* NULL is fine */

/* Notes the mappings of a plan whose connections may lead to a wrong place once it is done: every
 * UDP port that is put, changed or removed, and TCP ports that are removed unless their mapping
 * says drain. */
void sweeper_note(struct sweeper *sweeper, const struct plan *plan);
/* The plans may not have been done. What they removed is looked through all the same, with the next
 * ones: what leads to its target stays. */
void sweeper_forget(struct sweeper *sweeper);
/* The plans are done: looks through the connections of what was noted, beside the loop; now or,
 * where that was done just before, after a rest that is ten times as long. What fails is tried
 * again. Returns the number of the look until which UDP flows may go to an old target; 0 where none
 * do. */
uint64_t sweeper_run(struct sweeper *sweeper, const struct ledger *ledger);
/* How many looks have been, and who wants to know of each. */
uint64_t sweeper_looks(const struct sweeper *sweeper);
void sweeper_on_looked(struct sweeper *sweeper, void (*on_looked)(void *userdata), void *userdata);

/* The observer sees each entry before it is deleted; borrowed, NULL is nobody. */
void sweeper_observe(struct sweeper *sweeper, const struct sweep_observer *observer);

uint64_t sweeper_deleted(const struct sweeper *sweeper);
/* Mappings whose connections have not been looked through yet. */
size_t sweeper_pending(const struct sweeper *sweeper);
