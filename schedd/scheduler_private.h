/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the files of the scheduler share: scheduler.c (batches and time), requests.c (what clients
 * and followers say), reconciler.c (what follows from it), candidates.c (who may take an
 * environment). */
#pragma once

#include <event2/event_struct.h>

#include "schedd/host_views.h"
#include "schedd/scheduler.h"

/* A request that waits for its batch. */
struct waiter {
	struct waiter *next;
	scheduler_done done;
	void *userdata;
	char id[RECORD_ID_MAX];
};

struct waiters {
	struct waiter *first, **last;
};

struct scheduler {
	struct event_base *base;
	struct scheduler_config config;
	struct scheduler_events events;
	void *userdata;
	struct port_pool pool; /* the configured one; each load starts with a copy */
	struct store *store;
	struct state state;
	struct host_views views;
	bool loaded;
	bool standby;       /* what is loaded is a copy */
	uint64_t departing; /* the copy's open batch has departures, by this revision; 0: none */
	char leader_address[STORE_ADDRESS_MAX];
	int64_t heard_at;  /* Unix seconds: when the database was heard of last */
	uint64_t heard_ms; /* the same, monotonic */
	char down_reason[REASON_MAX];
	struct waiters open, flight; /* of the open batch; of the one on its way */
	struct event turn;           /* work is waiting */
	struct event timer;          /* something is due by time */
	bool paused;                 /* a batch was refused: the turn waits for its timer */
	uint64_t careful_until_ms;   /* monotonic, since it did: see careful.h */
	char suspect[RECORD_ID_MAX]; /* whose the commit is then; "": nobody's alone */
	bool capacity_changed;       /* environments without a host may find one */
	bool drain_changed;          /* a draining host may be emptied further */
	bool ports_changed;          /* ports without an environment may go on */
	bool followers_changed;      /* somebody was heard of who is offline in the rows */
	int64_t ports_due;           /* Unix seconds; 0: no quarantine runs */
	uint64_t commit_started_ms;
	uint64_t confirmed_ms; /* when the last commit was sent that went through as leader */
	uint64_t liveness_ms;  /* when liveness looked last; 0: not since the load */
	/* Nobody who is online was silent for longer when it looked; UINT64_MAX: nobody is online.
	 */
	uint64_t oldest_seen_ms;
	bool silence_lasts;    /* of a host that is offline, and may run by a lease still */
	uint64_t rechecked_ms; /* monotonic: when those were marked last whose time had come */
	bool ports_wait;       /* a port without an environment waits for a gateway */
	struct scheduler_stats stats;
};

/* There is work: the turn runs soon, from the event loop. */
void scheduler_wake(struct scheduler *scheduler);

/* Adds a waiter to the open batch. -ENOMEM. */
int scheduler_wait(struct scheduler *scheduler, const char *id, scheduler_done done, void *userdata)
	_must_check_;
/* Forgets the open batch: its requests fail with this error. */
void scheduler_abandon_open(struct scheduler *scheduler, int errnum, const char *code,
			    const char *message);

/* Marks every environment that has a place on this host. */
void scheduler_mark_host(struct scheduler *scheduler, struct host_entry *host);

/* ---- requests_hosts.c ---- */

/* The host has other resources by the open batch: what that batch gives a place on it is placed
 * anew, among the hosts as they are now, for the database refuses a batch that gives away more than
 * there is. What was there before stays. -ENOMEM: the batch is lost. */
int scheduler_place_anew(struct scheduler *scheduler, struct host_entry *host) _must_check_;

/* ---- requests_access.c ---- */

/* Takes away the tokens of one subject. -ENOMEM: the batch is lost. */
int scheduler_remove_tokens(struct scheduler *scheduler, enum role role, const char *subject,
			    const char *actor, const char *why) _must_check_;

/* ---- reconciler.c ---- */

/* Until a host that is not heard of has stopped what may run elsewhere; UINT64_MAX: it never does.
 */
uint64_t scheduler_lease_left_ms(const struct scheduler *scheduler, const struct host_entry *host,
				 uint64_t now_ms);

/* The gateway by its newest row and its last report; borrowed, until either changes. */
struct lifecycle_gateway scheduler_view_gateway(const struct gateway_entry *entry);

/* Brings rows to what follows from reports and wishes, up to a bounded amount of work. True where
 * some is left. */
bool reconciler_run(struct scheduler *scheduler);
/* When it wants to run again even if nothing happens, in monotonic ms; 0: never. */
uint64_t reconciler_due_ms(const struct scheduler *scheduler);

/* ---- liveness.c ---- */

/* Sets hosts and gateways online or offline by when they were heard of last. */
void liveness_run(struct scheduler *scheduler);
/* At the start of a leader: who is there has time to say so, and who was silent goes on being so.
 */
void liveness_start(struct scheduler *scheduler);
/* A host that came back is online for whoever leads next, too. */
bool liveness_is_settled(const struct host_entry *host);
uint64_t liveness_due_ms(const struct scheduler *scheduler);

/* ---- drain.c ---- */

/* Lets environments of draining hosts move, as many at a time as may. */
void drain_run(struct scheduler *scheduler);
/* What was said to keep it on its draining host may not be true any more: it is looked at anew. */
void drain_forget(struct scheduler *scheduler, struct environment_entry *entry);

/* ---- candidates.c ---- */

/* Where an environment that moves is to go; NULL members ask for nothing. */
struct candidates_wish {
	const struct host_entry *prefer; /* there, if it has room */
	const struct host_entry *avoid;  /* anywhere else, if there is room */
};

/* Places the environment if a host takes it, by the wish as far as can be. -ENOSPC
 * with the reasons in reason; -ENOMEM. */
int candidates_place(struct scheduler *scheduler, struct environment_entry *environment,
		     const struct candidates_wish *wish, char reason[REASON_MAX]) _must_check_;
/* Would a host take this spec, and is it one that the wish (may be NULL) asks for? The same errors.
 */
int candidates_try(struct scheduler *scheduler, const struct environment_spec *spec,
		   const struct candidates_wish *wish, char reason[REASON_MAX]) _must_check_;
/* Would this host? -EBUSY: it takes nothing now; -ENOSPC: not this; both with the reason. */
int candidates_ask(struct scheduler *scheduler, const struct environment_spec *spec,
		   const struct host_entry *host, char reason[REASON_MAX]) _must_check_;
