/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What reconcile.c (bringing the table to what it should be) and reconcile_kept.c (the state file)
 * share.
 */
#pragma once

#include <event2/event_struct.h>

#include "gatewayd/change_queue.h"
#include "gatewayd/reconcile.h"
#include "gatewayd/refusals.h"
#include "gatewayd/restore.h"
#include "gatewayd/sweeper.h"
#include "lib/backoff.h"

struct reconciler {
	struct reconciler_config config;
	struct event_base *base;
	struct ledger ledger;
	struct applier applier;
	struct sweeper *sweeper;
	struct refusals *refusals;
	struct change_queue queue;
	struct journal journal;
	struct ban_keeper bans;
	uint64_t revision;
	bool intended; /* the journal's keys are noted in the state file */
	bool in_sync;
	bool looks_soon; /* the audit comes in a moment, as somebody changed the table */
	char reason[ERROR_MESSAGE_MAX];
	struct event commit, audit, retry, expiry;
	struct backoff backoff;
	void (*on_socket)(uint32_t port_id, void *userdata);
	void *on_socket_userdata;
	struct metric *transaction_seconds;
};

/* ---- reconcile_kept.c ---- */

/* Before the kernel gets the journal's changes, so that nothing is lost by dying between its commit
 * and ours. */
void reconciler_intend(struct reconciler *reconciler);
/* Before anybody is answered: what was answered is not lost with this process. */
void reconciler_keep(struct reconciler *reconciler);
/* From here on, what the sweeper has to look through. */
void reconciler_keep_sweeps(struct reconciler *reconciler);
/* Takes up mappings, bans and sweeps, and begins to write. The applier is open. */
int reconciler_restore(struct reconciler *reconciler, struct restore_result *ret, struct error *err)
	_must_check_;
