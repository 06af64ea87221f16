/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The scheduler: requests and reports in, rows out. It owns the state, lets placement and lifecycle
 * decide, and has the store commit what they decided, batch by batch. Nothing is answered or shown
 * to a watcher before its batch is durable.
 *
 * It knows no HTTP: api_*.c turn requests into these calls, feed.c turns commits into streams.
 */
#pragma once

#include <event2/event.h>

#include "lib/error.h"
#include "lib/metrics.h"
#include "schedd/lifecycle.h"
#include "schedd/placement.h"
#include "schedd/state.h"
#include "schedd/store.h"

struct scheduler;

struct scheduler_config {
	const char *database; /* libpq conninfo; borrowed, as are holder and address */
	const char *holder;
	uint64_t event_retention_s; /* 0: for ever */
	unsigned cpu_overcommit;    /* of hosts without their own, in percent */
	const char *address;        /* where other schedds reach this one; "" for nowhere */
	struct port_pool *pool;     /* taken over */
	struct lifecycle_limits limits;
	uint32_t offline_after_ms;             /* a follower that was silent so long is offline */
	uint64_t lease_ms;                     /* see host_entry; 0: no environment is re-placed */
	uint64_t lease_margin_ms;              /* for a host to stop what its lease ran out for */
	const struct placement_policy *policy; /* the default; NULL: least-used */
	unsigned keys_per_caller;              /* idempotency keys that are remembered */
};

struct scheduler_events {
	/* A batch has been committed; called before the answers of its requests. Each change has
	 * the committed version before it in `old` and the new one in entry->committed. */
	void (*on_commit)(void *userdata, const struct batch *batch);
	/* The state was loaded anew (a new epoch), or is about to be forgotten: every stream must
	 * end. */
	void (*on_reset)(void *userdata);
	/* At each change of the store's role; reason is a sentence for STORE_DOWN, else "". May be
	 * NULL. */
	void (*on_role)(void *userdata, enum store_role role, const char *reason);
	/* This process cannot go on; it should end with a failure. */
	void (*on_fatal)(void *userdata, const char *reason);
};

int scheduler_new(struct scheduler **ret, struct event_base *base,
		  const struct scheduler_config *config, const struct scheduler_events *events,
		  void *userdata) _must_check_;
/* Ends the requests that are being committed, before it is freed: PostgreSQL may carry out what it
 * was sent, also when nobody waits for its answer any more. */
void scheduler_stop(struct scheduler *scheduler);
void scheduler_free(struct scheduler *scheduler); /* NULL is fine; no done is called */

/* Where other schedds reach this one from now on; copied. -ENOMEM. */
int scheduler_set_address(struct scheduler *scheduler, const char *address) _must_check_;

/* 0 where requests are taken; else -ENOTCONN "unavailable" with the sentence why not: no database,
 * another leader, still loading. */
int scheduler_ready(const struct scheduler *scheduler, struct error *err) _must_check_;

/* The state can be read: it was loaded, even if the database is away now. */
bool scheduler_loaded(const struct scheduler *scheduler);

/* What this process is beside others, and how good what it reads from is. */
struct scheduler_standing {
	bool standby;               /* what it has is a copy of the leader's rows */
	const char *leader_address; /* of a standby's leader; "" where that is not known */
	int64_t stale_since;        /* Unix seconds: since then the database was not heard of; 0: it
				     * was a moment ago */
};
void scheduler_standing(const struct scheduler *scheduler, struct scheduler_standing *ret);

/* For readers: only the committed versions of entries are to be shown. */
const struct state *scheduler_state(const struct scheduler *scheduler);

/* The end of a request, once, from the event loop: err->errnum is 0 once it is durable, else why
 * not (-ENOTCONN "unavailable" where the commit was lost: it did not happen; -EINPROGRESS
 * "outcome_unknown" where schedd stops before it knows). id names the row. */
typedef void (*scheduler_done)(void *userdata, const struct error *err, const char *id);

/* Each request returns 0 (done will be called, never from inside) or an error (it will not be).
 * actor is who asks, for the events: "customer/alice" or "unix/root"; copied. */

/* Adds an environment with its ports. environment is taken over, also on failure; its origin is
 * filled (environment_new), the rest is set here. -EEXIST "conflict": the name or a wanted port is
 * taken; -ERANGE: a wanted port is outside the pool; -ENOSPC "no_ports"; -ENOSPC "no_capacity"
 * where spec.queue is false and no host takes it now; -ENOSPC "quota_exceeded". */
int scheduler_create(struct scheduler *scheduler, struct environment *environment,
		     const char *actor, scheduler_done done, void *userdata, struct error *err)
	_must_check_;
/* Wants it deleted; repeating it is no error. -ENOENT. */
int scheduler_delete(struct scheduler *scheduler, const char *id, const char *actor,
		     scheduler_done done, void *userdata, struct error *err) _must_check_;

/* Customers and tokens. The row is taken over, also on failure, and is set here but for its id, its
 * name, and a token's role, subject, hash and expiry. -EEXIST "conflict": the name is there;
 * -EINVAL "invalid": a token's customer is not; -ENOSPC "too_many". */
int scheduler_create_customer(struct scheduler *scheduler, struct customer *customer,
			      const char *actor, scheduler_done done, void *userdata,
			      struct error *err) _must_check_;
int scheduler_create_token(struct scheduler *scheduler, struct token *token, const char *actor,
			   scheduler_done done, void *userdata, struct error *err) _must_check_;
/* Sets how much a customer may have; what it has stays. -ENOENT. */
int scheduler_set_quota(struct scheduler *scheduler, const char *id, const struct quota *quota,
			const char *actor, scheduler_done done, void *userdata, struct error *err)
	_must_check_;
/* A customer's tokens go with it. -ENOENT; -EBUSY "in_use" while it has environments. */
int scheduler_delete_customer(struct scheduler *scheduler, const char *id, const char *actor,
			      scheduler_done done, void *userdata, struct error *err) _must_check_;
int scheduler_revoke_token(struct scheduler *scheduler, const char *id, const char *actor,
			   scheduler_done done, void *userdata, struct error *err) _must_check_;
/* Adds the key of the request that was taken just now to the same batch; taken over. Where there is
 * no memory the batch is lost, and its requests end with that. -ENOSPC "too_many" before anything
 * is done is scheduler_has_room_for_key's to find. */
void scheduler_remember(struct scheduler *scheduler, struct key *key);
bool scheduler_has_room_for_key(const struct scheduler *scheduler);
/* Has this caller as many keys as one may have? Then *ret_wait_s is when its oldest goes. */
bool scheduler_is_over_keys(const struct scheduler *scheduler, const char *caller,
			    uint64_t *ret_wait_s);
/* Calls done, with this id, once all that was asked so far is durable. */
int scheduler_settle(struct scheduler *scheduler, const char *id, scheduler_done done,
		     void *userdata, struct error *err) _must_check_;
/* Takes out keys that are older than a day. */
void scheduler_forget_keys(struct scheduler *scheduler);

/* Puts into the open batch when tokens were used last, where the rows are far behind, and takes
 * out those that expired long ago. */
void scheduler_write_token_uses(struct scheduler *scheduler);
enum scheduler_verb {
	SCHEDULER_START,
	SCHEDULER_STOP,
	SCHEDULER_RESTART,
	SCHEDULER_MOVE,
	SCHEDULER_EXTEND,
};

struct scheduler_action {
	enum scheduler_verb verb;
	const char *host;   /* MOVE: where to; NULL: to any other */
	int64_t expires_at; /* EXTEND: the new deadline; 0: none */
	int64_t seconds;    /* EXTEND: or so much more than there is left; 0: not meant */
};

/* Asks for a change of an environment. -ENOENT; -EEXIST "conflict": not in its state; -ENOSPC
 * "no_capacity": no host has room for one that is to move; -ERANGE: a deadline in the past. */
int scheduler_act(struct scheduler *scheduler, const char *id,
		  const struct scheduler_action *action, const char *actor, scheduler_done done,
		  void *userdata, struct error *err) _must_check_;
/* Sets what an operator wants of a host. -ENOENT. */
int scheduler_set_mode(struct scheduler *scheduler, const char *id, enum host_mode mode,
		       const char *actor, scheduler_done done, void *userdata, struct error *err)
	_must_check_;

/* Sets how much of a host's CPU may be given away, in percent; 0: the default. -ENOENT. */
int scheduler_set_overcommit(struct scheduler *scheduler, const char *id, unsigned percent,
			     const char *actor, scheduler_done done, void *userdata,
			     struct error *err) _must_check_;

/* Takes a host away, and its tokens. -EBUSY "in_use" while it has environments; with force only
 * where it is heard of, or may still run by a lease what others could run. -ENOENT. */
int scheduler_delete_host(struct scheduler *scheduler, const char *id, bool force,
			  const char *actor, scheduler_done done, void *userdata, struct error *err)
	_must_check_;

/* Takes a gateway away, and its tokens; nothing waits for it any more. -EBUSY "in_use" while it may
 * lead ports somewhere; with force only where it is heard of. -ENOENT. */
int scheduler_delete_gateway(struct scheduler *scheduler, const char *id, bool force,
			     const char *actor, scheduler_done done, void *userdata,
			     struct error *err) _must_check_;

/* Followers. The registration is moved out of *registration. A registration that changes nothing
 * commits nothing. */
int scheduler_register_host(struct scheduler *scheduler, struct host_registration *registration,
			    const char *actor, scheduler_done done, void *userdata,
			    struct error *err) _must_check_;
int scheduler_register_gateway(struct scheduler *scheduler,
			       struct gateway_registration *registration, const char *actor,
			       scheduler_done done, void *userdata, struct error *err) _must_check_;

/* May a host that reports now run what can run elsewhere for another lease? Only where this process
 * is known to lead: one that was replaced and does not know it yet must not promise anything. And
 * only where the host knows what it has lost: it may follow a standby whose copy is of before. And
 * only where its row says that it is online: of one that is offline the next leader counts on.
 * *ret_ms is the length; 0: for ever, since nothing is placed elsewhere. */
bool scheduler_grants_lease(const struct scheduler *scheduler, const char *host, uint64_t *ret_ms);

/* So often a follower has to report that two reports may be lost before it is offline, or has to
 * stop what runs by a lease. */
uint32_t scheduler_heartbeat_ms(const struct scheduler *scheduler);

/* A report is taken into memory at once and counts as heartbeat; what follows from it is committed
 * later. It is moved out of *report. -ENOENT; -ESTALE "stale_epoch". */
int scheduler_report_host(struct scheduler *scheduler, const char *id, struct host_report *report,
			  struct error *err) _must_check_;
int scheduler_report_gateway(struct scheduler *scheduler, const char *id,
			     struct gateway_report *report, struct error *err) _must_check_;

/* Why no host takes this request now, host by host: [{"host","reason"}]. NULL: out of memory. */
json_t *scheduler_refusals(struct scheduler *scheduler, const struct environment_spec *spec);

/* Which limit of its customer this request is over: {"quota","limit","used","requested"}, NULL for
 * none. -ENOMEM. */
int scheduler_excess(const struct scheduler *scheduler, const struct environment_spec *spec,
		     json_t **ret) _must_check_;

/* What happened since the start. */
struct scheduler_stats {
	uint64_t commits, commit_failures, rows_committed, placements, placement_refusals;
	double commit_seconds, placement_seconds;
};
void scheduler_stats(const struct scheduler *scheduler, struct scheduler_stats *ret);

DEFINE_CLEANUP(struct scheduler *, scheduler_free, cleanup_scheduler)
