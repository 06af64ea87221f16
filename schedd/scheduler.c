/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Batches and time. A turn runs whenever there is work: it reconciles, closes the open batch if
 * none is on its way, and hands it to the store. What arrives meanwhile goes into the next batch.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "lib/clock.h"
#include "lib/log.h"
#include "lib/loop.h"
#include "schedd/careful.h"
#include "schedd/migrations.h"
#include "schedd/scheduler_private.h"

/* A standby looks several times a second. */
#define STALE_AFTER_MS 2000
/* Of a follower, before its silence means something. */
#define HEARTBEATS 3
/* After a batch was refused, by the database or for want of memory. */
#define PAUSE_MS 1000

void scheduler_wake(struct scheduler *scheduler)
{
	if (!scheduler->paused)
		event_active(&scheduler->turn, EV_TIMEOUT, 0);
}

void scheduler_mark_host(struct scheduler *scheduler, struct host_entry *host)
{
	struct environment_entry *environment;

	DL_FOREACH2(host->environments, environment, host_next)
	state_mark(&scheduler->state, environment);
}

/* ---- waiters ---- */

static void waiters_init(struct waiters *waiters)
{
	waiters->first = NULL;
	waiters->last = &waiters->first;
}

static void waiters_move(struct waiters *from, struct waiters *to)
{
	if (!from->first)
		return;
	*to->last = from->first;
	to->last = from->last;
	waiters_init(from);
}

/* Ends all of them. Their callbacks may add new ones to either list. */
static void waiters_end(struct waiters *waiters, const struct error *err)
{
	struct waiter *waiter = waiters->first, *next;

	waiters_init(waiters);
	for (; waiter; waiter = next) {
		next = waiter->next;
		if (waiter->done)
			waiter->done(waiter->userdata, err, waiter->id);
		free(waiter);
	}
}

static void waiters_forget(struct waiters *waiters)
{
	struct waiter *waiter;

	while ((waiter = waiters->first)) {
		waiters->first = waiter->next;
		free(waiter);
	}
	waiters_init(waiters);
}

int scheduler_wait(struct scheduler *scheduler, const char *id, scheduler_done done, void *userdata)
{
	struct waiter *waiter = calloc(1, sizeof(*waiter));

	if (!waiter)
		return -ENOMEM;
	waiter->done = done;
	waiter->userdata = userdata;
	(void)snprintf(waiter->id, sizeof(waiter->id), "%s", id);
	*scheduler->open.last = waiter;
	scheduler->open.last = &waiter->next;
	scheduler_wake(scheduler);
	return 0;
}

/* What was noted of rows while they were edited, to be looked at less often, is not true of what
 * they are after a batch was dropped. */
static void look_again(struct scheduler *scheduler)
{
	scheduler->followers_changed = true;
	scheduler->ports_changed = true;
	scheduler->drain_changed = true;
}

void scheduler_abandon_open(struct scheduler *scheduler, int errnum, const char *code,
			    const char *message)
{
	struct error err = ERROR_INIT;

	error_set(&err, errnum, code, NULL, "%s", message);
	state_drop_open(&scheduler->state);
	look_again(scheduler);
	waiters_end(&scheduler->open, &err);
}

/* ---- batches ---- */

/* Leases are granted on the strength of a commit that went through: without work, an empty one. */
static uint64_t confirmation_due_ms(const struct scheduler *scheduler)
{
	if (scheduler->config.lease_ms == 0)
		return 0;
	return scheduler->confirmed_ms + scheduler->config.lease_margin_ms / 4;
}

static bool confirmation_is_due(const struct scheduler *scheduler)
{
	uint64_t due = confirmation_due_ms(scheduler);

	return due > 0 && due <= clock_monotonic_ms();
}

/* Another leader counts leases from its own start, so what is granted until then has half of the
 * margin to reach us, and the host the other half to stop. */
bool scheduler_grants_lease(const struct scheduler *scheduler, const char *host, uint64_t *ret_ms)
{
	const struct host_entry *entry = state_host(&scheduler->state, host);
	const struct scheduler_config *config = &scheduler->config;

	*ret_ms = config->lease_ms;
	if (config->lease_ms == 0)
		return true;
	if (!entry || entry->report.revision < entry->lost_revision || !liveness_is_settled(entry))
		return false;
	return scheduler_ready(scheduler, NULL) == 0 &&
	       clock_monotonic_ms() - scheduler->confirmed_ms < config->lease_margin_ms / 2;
}

uint32_t scheduler_heartbeat_ms(const struct scheduler *scheduler)
{
	const struct scheduler_config *config = &scheduler->config;
	uint64_t silence_ms = config->offline_after_ms;

	if (config->lease_ms > 0)
		silence_ms = MIN(silence_ms, config->lease_ms);
	return (uint32_t)MAX(silence_ms / HEARTBEATS, 1u);
}

static void pause_turns(struct scheduler *scheduler)
{
	scheduler->paused = true;
	(void)loop_timer_arm(&scheduler->turn, PAUSE_MS);
}

/* Nothing is done without its event. */
static bool abandons_unaudited(struct scheduler *scheduler)
{
	if (!scheduler->state.open.unaudited)
		return false;
	log_error(NULL, "out of memory: what could not be written down as events is not done");
	scheduler_abandon_open(scheduler, -ENOMEM, "internal", "out of memory");
	pause_turns(scheduler);
	return true;
}

static void send_batch(struct scheduler *scheduler)
{
	const struct error done = ERROR_INIT;
	int r;

	if (abandons_unaudited(scheduler) || scheduler->state.in_flight)
		return;
	if (!state_close_batch(&scheduler->state)) {
		/* Requests that found everything as they want it. */
		waiters_end(&scheduler->open, &done);
		if (!confirmation_is_due(scheduler))
			return;
		state_close_empty(&scheduler->state);
	}
	waiters_move(&scheduler->open, &scheduler->flight);
	scheduler->commit_started_ms = clock_monotonic_ms();
	r = store_commit(scheduler->store, scheduler->state.epoch, &scheduler->state.flight);
	if (r < 0) {
		struct error err = ERROR_INIT;

		error_set(&err, -ENOTCONN, "unavailable", NULL, "the database is away");
		scheduler->suspect[0] = '\0';
		state_drop_flight(&scheduler->state);
		look_again(scheduler);
		waiters_end(&scheduler->flight, &err);
	}
}

static void arm_timer(struct scheduler *scheduler)
{
	uint64_t now = clock_monotonic_ms();
	uint64_t reconciler = reconciler_due_ms(scheduler), liveness = liveness_due_ms(scheduler);
	uint64_t confirmation = confirmation_due_ms(scheduler);
	uint64_t due = reconciler;

	if (liveness > 0 && (due == 0 || liveness < due))
		due = liveness;
	if (confirmation > 0 && !scheduler->state.in_flight && (due == 0 || confirmation < due))
		due = confirmation;
	if (due > 0)
		(void)loop_timer_arm(&scheduler->timer, due > now ? due - now : 0);
	else
		(void)event_del(&scheduler->timer);
}

static void turn(evutil_socket_t fd, short what, void *userdata)
{
	struct scheduler *scheduler = userdata;
	uint64_t due = liveness_due_ms(scheduler);
	bool more;

	scheduler->paused = false;
	if (scheduler_ready(scheduler, NULL) < 0)
		return;
	if (scheduler->followers_changed || (due > 0 && due <= clock_monotonic_ms()))
		liveness_run(scheduler);
	if (scheduler->drain_changed)
		drain_run(scheduler);
	more = reconciler_run(scheduler) || scheduler->drain_changed;
	send_batch(scheduler);
	arm_timer(scheduler);
	if (more)
		scheduler_wake(scheduler);
}

static void time_passed(evutil_socket_t fd, short what, void *userdata)
{
	scheduler_wake(userdata);
}

/* ---- the store's events ---- */

static int start_state(struct scheduler *scheduler)
{
	struct port_pool pool;
	int r = port_pool_init(&pool, scheduler->pool.addresses, scheduler->pool.n_addresses,
			       scheduler->pool.first, scheduler->pool.last, NULL);

	if (r < 0)
		return r;
	state_init(&scheduler->state, &pool);
	scheduler->state.cpu_overcommit = scheduler->config.cpu_overcommit;
	return 0;
}

static void on_load(void *userdata)
{
	struct scheduler *scheduler = userdata;

	scheduler->loaded = false;
	scheduler->standby = false;
	scheduler->events.on_reset(scheduler->userdata);
	state_clear(&scheduler->state);
	if (start_state(scheduler) < 0)
		scheduler->events.on_fatal(scheduler->userdata, "out of memory");
}

static void heard(struct scheduler *scheduler)
{
	scheduler->heard_at = clock_unix_seconds();
	scheduler->heard_ms = clock_monotonic_ms();
}

/* Ends a batch of the copy, and tells watchers as the leader does. shown is the revision that they
 * are told. */
static void commit_copy(struct scheduler *scheduler, uint64_t revision, uint64_t shown)
{
	struct state *state = &scheduler->state;

	if (!state_close_mirror(state, revision))
		return;
	state_commit_batch(state);
	state->revision = shown;
	scheduler->events.on_commit(scheduler->userdata, &state->flight);
	state_finish_batch(state);
}

static int on_row(void *userdata, struct record *record)
{
	struct scheduler *scheduler = userdata;
	struct state *state = &scheduler->state;

	if (!scheduler->standby)
		return state_load(state, record);
	/* Departures came before rows, and a key of theirs may be that of a row. Without the rows
	 * the copy is not at their revision: a gateway that was told so would confirm what it has
	 * not got, and the connection may be lost before they come. */
	if (scheduler->departing > 0)
		commit_copy(scheduler, scheduler->departing, state->revision);
	scheduler->departing = 0;
	return state_mirror(state, record);
}

static int on_departed(void *userdata, enum record_kind kind, const char *id, uint64_t revision)
{
	struct scheduler *scheduler = userdata;

	scheduler->departing = revision;
	return state_mirror_gone(&scheduler->state, kind, id);
}

static void on_copied(void *userdata, uint64_t epoch, uint64_t revision, const char *address)
{
	struct scheduler *scheduler = userdata;

	if (!scheduler->loaded)
		log_info("standby",
			 "epoch=%" PRIu64 " revision=%" PRIu64
			 " leader=%s hosts=%u environments=%u",
			 epoch, revision, *address ? address : "unknown",
			 state_count(&scheduler->state, RECORD_HOST),
			 state_count(&scheduler->state, RECORD_ENVIRONMENT));
	scheduler->state.epoch = epoch;
	/* The first time it was loaded, and nobody has watched it yet. */
	if (scheduler->loaded)
		commit_copy(scheduler, revision, revision);
	scheduler->state.revision = revision;
	scheduler->loaded = scheduler->standby = true;
	scheduler->departing = 0;
	(void)snprintf(scheduler->leader_address, sizeof(scheduler->leader_address), "%s", address);
	heard(scheduler);
}

static void on_leader(void *userdata, uint64_t epoch, uint64_t revision)
{
	struct scheduler *scheduler = userdata;

	scheduler->state.epoch = epoch;
	scheduler->state.revision = revision;
	scheduler->loaded = true;
	scheduler->ports_changed = true;
	scheduler->capacity_changed = true;
	scheduler->drain_changed = true;
	scheduler->confirmed_ms = clock_monotonic_ms();
	scheduler->rechecked_ms = 0;
	liveness_start(scheduler);
	log_info("leader",
		 "epoch=%" PRIu64 " revision=%" PRIu64 " hosts=%u environments=%u ports=%u", epoch,
		 revision, state_count(&scheduler->state, RECORD_HOST),
		 state_count(&scheduler->state, RECORD_ENVIRONMENT),
		 state_count(&scheduler->state, RECORD_PORT));
}

static void on_role(void *userdata, enum store_role role, const char *reason)
{
	struct scheduler *scheduler = userdata;

	(void)snprintf(scheduler->down_reason, sizeof(scheduler->down_reason), "%s", reason);
	if (!scheduler->standby)
		heard(scheduler);
	if (scheduler->events.on_role)
		scheduler->events.on_role(scheduler->userdata, role, reason);
	if (role == STORE_READY) {
		log_info("database", "ready");
		state_mark_all(&scheduler->state);
		scheduler_wake(scheduler);
	} else if (role == STORE_DOWN && scheduler->loaded) {
		/* What was not sent did not happen. What was sent is known when it is back. */
		scheduler_abandon_open(scheduler, -ENOTCONN, "unavailable", "the database is away");
	}
}

static void commit_succeeded(struct scheduler *scheduler)
{
	const struct error done = ERROR_INIT;
	struct waiters waiters;

	scheduler->stats.commits++;
	scheduler->stats.rows_committed += scheduler->state.flight.n;
	scheduler->stats.commit_seconds +=
		(double)(clock_monotonic_ms() - scheduler->commit_started_ms) / 1000;
	scheduler->confirmed_ms = scheduler->commit_started_ms;
	careful_committed(scheduler);
	state_commit_batch(&scheduler->state);
	scheduler->events.on_commit(scheduler->userdata, &scheduler->state.flight);
	state_finish_batch(&scheduler->state);
	waiters_init(&waiters);
	waiters_move(&scheduler->flight, &waiters);
	waiters_end(&waiters, &done);
}

/* What was asked for meanwhile builds on what did not happen, and so does not happen either. But
 * nobody has refused it. */
static void fail_waiters(struct scheduler *scheduler, const struct error *err)
{
	struct error later = ERROR_INIT;
	struct waiters refused, innocent;

	if (err->errnum == -ENOTCONN)
		later = *err;
	else
		error_set(&later, -EAGAIN, "unavailable", NULL,
			  "the database refused another change, on which this one was built: "
			  "ask again");
	waiters_init(&refused);
	waiters_init(&innocent);
	waiters_move(&scheduler->flight, &refused);
	waiters_move(&scheduler->open, &innocent);
	state_drop_flight(&scheduler->state);
	look_again(scheduler);
	waiters_end(&refused, err);
	waiters_end(&innocent, &later);
}

static void commit_failed(struct scheduler *scheduler, int result, const char *message)
{
	struct error err = ERROR_INIT;

	scheduler->stats.commit_failures++;
	if (result == -ENOTCONN) {
		scheduler->suspect[0] = '\0';
		error_set(&err, -ENOTCONN, "unavailable", NULL, "the database went away: %s",
			  message);
	} else {
		error_set(&err, -EIO, "internal", NULL, "the database refused the change");
		if (!careful_refused(scheduler, message)) {
			log_error("database", "refused a commit: %s", message);
			pause_turns(scheduler);
		}
	}
	fail_waiters(scheduler, &err);
}

static void on_commit(void *userdata, int result, const char *message)
{
	struct scheduler *scheduler = userdata;

	if (result == 0)
		commit_succeeded(scheduler);
	else
		commit_failed(scheduler, result, message);
	scheduler_wake(scheduler);
}

static void on_fatal(void *userdata, const char *reason)
{
	struct scheduler *scheduler = userdata;

	scheduler->events.on_fatal(scheduler->userdata, reason);
}

static const struct store_events store_events = {
	.on_load = on_load,
	.on_row = on_row,
	.on_departed = on_departed,
	.on_copied = on_copied,
	.on_leader = on_leader,
	.on_role = on_role,
	.on_commit = on_commit,
	.on_fatal = on_fatal,
};

/* ---- the scheduler ---- */

int scheduler_new(struct scheduler **ret, struct event_base *base,
		  const struct scheduler_config *config, const struct scheduler_events *events,
		  void *userdata)
{
	const struct store_config store = {
		.conninfo = config->database,
		.holder = config->holder,
		.address = config->address,
		.event_retention_s = config->event_retention_s,
		.cpu_overcommit = config->cpu_overcommit,
	};
	_cleanup_(cleanup_scheduler) struct scheduler *scheduler = calloc(1, sizeof(*scheduler));
	int r;

	if (!scheduler)
		return -ENOMEM;
	scheduler->base = base;
	scheduler->config = *config;
	scheduler->events = *events;
	scheduler->userdata = userdata;
	scheduler->pool = *config->pool;
	*config->pool = (struct port_pool){ 0 };
	waiters_init(&scheduler->open);
	waiters_init(&scheduler->flight);
	(void)evtimer_assign(&scheduler->turn, base, turn, scheduler);
	(void)evtimer_assign(&scheduler->timer, base, time_passed, scheduler);
	r = start_state(scheduler);
	if (r == 0)
		r = store_new(&scheduler->store, base, &store, &store_events, scheduler);
	if (r < 0)
		return r;
	*ret = TAKE_PTR(scheduler);
	return 0;
}

void scheduler_stop(struct scheduler *scheduler)
{
	struct error err = ERROR_INIT;

	error_set(&err, -EINPROGRESS, "outcome_unknown", NULL,
		  "schedd is stopping while this is committed: look whether it was done");
	waiters_end(&scheduler->flight, &err);
}

void scheduler_free(struct scheduler *scheduler)
{
	if (!scheduler)
		return;
	store_free(scheduler->store);
	(void)event_del(&scheduler->turn);
	(void)event_del(&scheduler->timer);
	waiters_forget(&scheduler->open);
	waiters_forget(&scheduler->flight);
	state_clear(&scheduler->state);
	host_views_clear(&scheduler->views);
	port_pool_clear(&scheduler->pool);
	free(scheduler);
}

int scheduler_set_address(struct scheduler *scheduler, const char *address)
{
	return store_set_address(scheduler->store, address);
}

int scheduler_ready(const struct scheduler *scheduler, struct error *err)
{
	switch (store_role(scheduler->store)) {
	case STORE_READY:
		return 0;
	case STORE_DOWN:
		return error_set(err, -ENOTCONN, "unavailable", NULL, "the database is away: %s",
				 scheduler->down_reason[0] ? scheduler->down_reason
							   : "not connected yet");
	case STORE_WAITING:
		if (store_other_schema(scheduler->store) > 0)
			return error_set(err, -ENOTCONN, "other_schema", NULL,
					 "another schedd is the leader, of another version: the "
					 "schema has version %u and this schedd knows %u",
					 store_other_schema(scheduler->store), n_migrations);
		return error_set(err, -ENOTCONN, "unavailable", NULL,
				 "another schedd is the leader%s%s; this one waits",
				 scheduler->leader_address[0] ? ", at " : "",
				 scheduler->leader_address);
	case STORE_STARTING:
		break;
	}
	return error_set(err, -ENOTCONN, "unavailable", NULL,
			 "starting: loading from the database");
}

bool scheduler_loaded(const struct scheduler *scheduler)
{
	return scheduler->loaded;
}

void scheduler_standing(const struct scheduler *scheduler, struct scheduler_standing *ret)
{
	bool fresh = scheduler->standby
			     ? store_other_schema(scheduler->store) == 0 &&
				       clock_monotonic_ms() - scheduler->heard_ms < STALE_AFTER_MS
			     : store_role(scheduler->store) == STORE_READY;

	*ret = (struct scheduler_standing){
		.standby = scheduler->standby,
		.leader_address = scheduler->standby ? scheduler->leader_address : "",
		.stale_since = fresh || !scheduler->loaded ? 0 : scheduler->heard_at,
	};
}

const struct state *scheduler_state(const struct scheduler *scheduler)
{
	return &scheduler->state;
}

void scheduler_stats(const struct scheduler *scheduler, struct scheduler_stats *ret)
{
	*ret = scheduler->stats;
}
