/* SPDX-License-Identifier: GPL-2.0-or-later */
/* One environment on this host: what is wanted, what is there, the step under way, and what is told
 * about it. Private to reconcile.c and entry.c.
 */
#pragma once

#include <event2/event_struct.h>

#define HASH_NONFATAL_OOM 1
#include <uthash.h>

#include "agentd/desired.h"
#include "agentd/driver.h"
#include "agentd/ends.h"
#include "agentd/health.h"
#include "agentd/lease.h"
#include "agentd/plan.h"
#include "lib/backoff.h"

#define REASON_MAX 640

struct entry {
	struct entry_context *context;
	char *environment;
	char subject[80];        /* of log lines */
	struct desired *desired; /* NULL: not assigned */
	struct instance instance;
	bool exists; /* instance holds one */
	bool kept;   /* its volumes may be there */

	struct driver_operation *operation; /* NULL: none under way */
	enum driver_action action;
	bool purging;             /* the operation takes the volumes with it */
	struct desired *operated; /* what the operation works from */
	char *operated_instance, *operated_run;
	uint64_t began_ms;

	struct event retry;
	bool delayed;            /* retry is armed */
	bool queued;             /* waits for its turn */
	struct backoff failures; /* of steps in a row */
	struct backoff restarts; /* starts since it was ready */
	uint64_t not_before_ms;  /* for the next start */
	char failure[REASON_MAX];

	struct ends ends;
	struct event lapse; /* runs to the end of its lease */
	bool lapsed;
	struct event well; /* runs while it answers, until its ends are forgiven */

	struct health *health;
	enum container_state state; /* told last */
	char reason[REASON_MAX];

	bool dirty;  /* in the list of those to be looked at */
	bool marked; /* by a snapshot that is being applied */
	struct entry *prev, *next;
	UT_hash_handle hh;
};

/* What all entries share. */
struct entry_context {
	struct event_base *base;
	struct driver *driver;
	struct metric *seconds;
	unsigned parallel;
	unsigned making, ending; /* steps under way: CREATE and START, STOP and REMOVE */
	uint64_t epoch;
	const struct lease *lease;
	const char *data_dir;                    /* for what outlives us */
	bool complete;                           /* a complete list of assignments has arrived */
	bool able;                               /* the engine answers and has been seen in full */
	void (*look_again)(struct entry *entry); /* puts it into the list */
	void (*on_turn)(struct entry_context *context);   /* a step has ended */
	void (*on_change)(struct entry_context *context); /* something to report */
};

int entry_new(struct entry **ret, struct entry_context *context, const char *environment)
	_must_check_;
void entry_free(struct entry *entry); /* cancels its step */

/* Takes over desired (NULL: not assigned any more). */
void entry_assign(struct entry *entry, struct desired *desired);
/* Copies instance; -ENOMEM leaves the old one. */
int entry_observe(struct entry *entry, const struct instance *instance) _must_check_;
void entry_gone(struct entry *entry, const char *id);

/* The next step, if one is due. False: the environment is neither wanted nor there, and the caller
 * frees the entry. */
bool entry_step(struct entry *entry) _must_check_;

/* The scheduler was reached: what stood still for its lease goes on. */
void entry_renew(struct entry *entry);

/* Drops the delay after a failure: something has changed that may mend it. */
void entry_hurry(struct entry *entry);
