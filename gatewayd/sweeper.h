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

/* Who keeps what has to be looked through while we are dead. */
struct sweep_keeper {
	/* Connections of this mapping that lead to led are to be looked through; while its plan is
	 * not done yet. */
	void (*on_sweep)(const struct mapping_key *key, const struct endpoint *led, void *userdata);
	/* Connections of this mapping drain, once its plan is done: none is looked through for what
	 * was said before. */
	void (*on_spare)(const struct mapping_key *key, void *userdata);
	/* All that was said before has been looked through. */
	void (*on_swept)(void *userdata);
	void *userdata;
};
void sweeper_keep(struct sweeper *sweeper, const struct sweep_keeper *keeper); /* copied */
/* Hands out what is to be looked through still; an error of on_sweep ends it. */
int sweeper_each(const struct sweeper *sweeper,
		 int (*on_sweep)(const struct sweep *sweep, void *userdata), void *userdata)
	_must_check_;

/* What an earlier process had not looked through, which is emptied: with the next plans. */
void sweeper_note_kept(struct sweeper *sweeper, struct sweep_list *list);
/* A mapping that has ended without a plan of ours. */
void sweeper_note_ended(struct sweeper *sweeper, const struct entry *entry);
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

/* How many sweeper_each hands out, at most. */
size_t sweeper_count(const struct sweeper *sweeper);
uint64_t sweeper_deleted(const struct sweeper *sweeper);
/* Mappings whose connections have not been looked through yet. */
size_t sweeper_pending(const struct sweeper *sweeper);
