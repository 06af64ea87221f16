/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Runs the planned step of one environment, with back-off after failures, and keeps the state that
 * is reported.
 */
#include "agentd/entry.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "agentd/ends_file.h"
#include "lib/clock.h"
#include "lib/log.h"
#include "lib/loop.h"
#include "lib/metrics.h"

#define FAILURE_FIRST_MS 1000
#define FAILURE_MAX_MS 60000

/* ---- what outlives us ---- */

/* Only of what is assigned: the folder of anything else is about to go. Where the disk refuses, it
 * is tried again with the next end. */
static void keep_ends(struct entry *entry)
{
	struct error err = ERROR_INIT;
	int r;

	if (!entry->ends.changed || !entry->desired)
		return;
	entry->ends.changed = false;
	r = ends_file_write(entry->context->data_dir, entry->environment, &entry->ends, &err);
	if (r < 0)
		log_warning(entry->subject, "how often it ended cannot be kept: %s",
			    error_text(&err, r));
}

/* The last start was of an agentd before: the next one waits as if it had been ours. */
static void resume_delay(struct entry *entry)
{
	int64_t passed_ms = (clock_unix_seconds() - entry->instance.started_at) * 1000;
	uint32_t delay_ms;

	if (entry->instance.status != INSTANCE_EXITED || entry->ends.count == 0 ||
	    entry->not_before_ms > 0)
		return;
	entry->restarts.attempts = entry->ends.count - 1;
	delay_ms = backoff_next_ms(&entry->restarts);
	if (passed_ms < delay_ms)
		entry->not_before_ms =
			clock_monotonic_ms() + delay_ms - (passed_ms > 0 ? (uint64_t)passed_ms : 0);
}

/* ---- what is told ---- */

static void tell(struct entry *entry, enum container_state state, const char *reason)
{
	enum container_state old = entry->state;

	if (state == old && strcmp(reason, entry->reason) == 0)
		return;
	entry->state = state;
	snprintf(entry->reason, sizeof(entry->reason), "%s", reason);
	if (state != old)
		log_info(entry->subject, "is %s%s%s", container_state_name(state),
			 reason[0] ? ": " : "", reason);
	else
		log_debug(entry->subject, "is %s: %s", container_state_name(state), reason);
	entry->context->on_change(entry->context);
}

static void on_health(void *userdata)
{
	struct entry *entry = userdata;

	entry->context->look_again(entry);
}

/* Its services have answered for a while: what ended before does not count any more. */
static void on_well(evutil_socket_t fd, short what, void *userdata)
{
	struct entry *entry = userdata;

	ends_forgive(&entry->ends);
	backoff_reset(&entry->restarts);
	keep_ends(entry);
	entry->context->on_change(entry->context);
}

static void drop_health(struct entry *entry)
{
	event_del(&entry->well);
	health_free(entry->health);
	entry->health = NULL;
}

/* A running instance is ready when its services answer. */
static void tell_health(struct entry *entry)
{
	const struct environment_spec *spec = &entry->desired->assignment.spec;
	char reason[REASON_MAX];

	if (entry->health && !health_matches(entry->health, spec, &entry->instance))
		drop_health(entry);
	if (!entry->health && health_new(&entry->health, entry->context->base, spec,
					 &entry->instance, on_health, entry) < 0) {
		tell(entry, CONTAINER_STARTING, strerror(ENOMEM));
		return;
	}
	if (health_ready(entry->health)) {
		if ((entry->ends.count > 0 || entry->restarts.attempts > 0) &&
		    !event_pending(&entry->well, EV_TIMEOUT, NULL))
			(void)loop_timer_arm(&entry->well, ENDS_FORGIVEN_MS);
		tell(entry, CONTAINER_READY, "");
		return;
	}
	event_del(&entry->well);
	tell(entry, CONTAINER_STARTING, health_reason(entry->health, reason, sizeof(reason)));
}

/* Nothing is to be done. */
static void rest(struct entry *entry, const struct plan *plan)
{
	bool running = entry->exists && entry->instance.status == INSTANCE_RUNNING;

	backoff_reset(&entry->failures);
	entry->failure[0] = '\0';
	if (running && plan->state == CONTAINER_STARTING && entry->desired) {
		tell_health(entry);
		return;
	}
	drop_health(entry);
	tell(entry, plan->state, plan->reason);
}

/* ---- waiting ---- */

static void on_retry(evutil_socket_t fd, short what, void *userdata)
{
	struct entry *entry = userdata;

	entry->delayed = false;
	entry->context->look_again(entry);
}

static void delay(struct entry *entry, uint64_t ms)
{
	entry->delayed = loop_timer_arm(&entry->retry, ms) == 0;
}

static void on_lapse(evutil_socket_t fd, short what, void *userdata)
{
	entry_hurry(userdata);
}

/* What is told of an environment whose step has to wait. */
static enum container_state waiting_state(const struct plan *plan)
{
	switch (plan->action) {
	case PLAN_STOP:
		return CONTAINER_STOPPING;
	case PLAN_REMOVE:
		return CONTAINER_REMOVING;
	case PLAN_NOTHING:
	case PLAN_CREATE:
	case PLAN_START:
	case PLAN_FORGET:
		break;
	}
	return CONTAINER_WAITING;
}

void entry_hurry(struct entry *entry)
{
	event_del(&entry->retry);
	entry->delayed = false;
	entry->context->look_again(entry);
}

/* ---- a step ---- */

static unsigned *slots_of(struct entry *entry, enum driver_action action)
{
	bool making = action == DRIVER_CREATE || action == DRIVER_START;

	return making ? &entry->context->making : &entry->context->ending;
}

static enum driver_action action_of(enum plan_action action)
{
	switch (action) {
	case PLAN_CREATE:
		return DRIVER_CREATE;
	case PLAN_START:
		return DRIVER_START;
	case PLAN_STOP:
		return DRIVER_STOP;
	case PLAN_REMOVE:
		return DRIVER_REMOVE;
	case PLAN_NOTHING:
	case PLAN_FORGET:
		break;
	}
	return DRIVER_ACTION_MAX;
}

/* What a step works from stays as it is until its end, whatever is observed meanwhile. */
static void forget_operated(struct entry *entry)
{
	desired_unref(TAKE_PTR(entry->operated));
	free(TAKE_PTR(entry->operated_instance));
	free(TAKE_PTR(entry->operated_run));
}

static void end_operation(struct entry *entry)
{
	entry->operation = NULL;
	(*slots_of(entry, entry->action))--;
	forget_operated(entry);
	entry->context->on_turn(entry->context);
	entry->context->look_again(entry);
}

static void fail(struct entry *entry, const char *message)
{
	uint32_t ms = backoff_next_ms(&entry->failures);

	snprintf(entry->failure, sizeof(entry->failure), "cannot %s it: %s",
		 driver_action_name(entry->action), message);
	log_warning(entry->subject, "%s retry_ms=%u", entry->failure, ms);
	delay(entry, ms);
}

static void on_progress(void *userdata, enum container_state state, const char *reason)
{
	struct entry *entry = userdata;

	tell(entry, state, reason);
}

static void on_done(void *userdata, int error, const char *message)
{
	struct entry *entry = userdata;
	double seconds = (double)(clock_monotonic_ms() - entry->began_ms) / 1000;

	metric_observe(entry->context->seconds,
		       (const char *[]){ driver_action_name(entry->action) }, seconds);
	if (error < 0) {
		fail(entry, message);
	} else {
		entry->failure[0] = '\0';
		if (entry->purging)
			entry->kept = false;
		if (entry->action == DRIVER_START)
			entry->not_before_ms =
				clock_monotonic_ms() + backoff_next_ms(&entry->restarts);
		else
			backoff_reset(&entry->failures);
		log_debug(entry->subject, "%s done seconds=%.3f", driver_action_name(entry->action),
			  seconds);
	}
	end_operation(entry);
}

static enum container_state operation_state(const struct plan *plan)
{
	switch (plan->action) {
	case PLAN_CREATE:
		return CONTAINER_CREATING;
	case PLAN_START:
		return CONTAINER_STARTING;
	case PLAN_STOP:
		return CONTAINER_STOPPING;
	case PLAN_REMOVE:
		return CONTAINER_REMOVING;
	case PLAN_NOTHING:
	case PLAN_FORGET:
		break;
	}
	return plan->state;
}

static int run(struct entry *entry, const struct plan *plan)
{
	struct entry_context *context = entry->context;
	struct driver_request request = {
		.action = action_of(plan->action),
		.environment = entry->environment,
		.epoch = context->epoch,
		.hold = plan->hold,
		.purge = plan->purge,
		.on_progress = on_progress,
		.on_done = on_done,
		.userdata = entry,
	};
	int r;

	if (entry->exists) {
		entry->operated_instance = strdup(entry->instance.id);
		entry->operated_run = strdup(entry->instance.started);
		if (!entry->operated_instance || !entry->operated_run) {
			forget_operated(entry);
			return -ENOMEM;
		}
		request.instance = entry->operated_instance;
		request.run = entry->operated_run;
	}
	if (entry->desired) {
		entry->operated = desired_ref(entry->desired);
		request.assignment = &entry->operated->assignment;
		request.digest = entry->operated->digest;
	}
	r = context->driver->ops->run(context->driver, &request, &entry->operation);
	if (r < 0) {
		forget_operated(entry);
		return r;
	}
	entry->action = request.action;
	entry->purging = request.action == DRIVER_REMOVE && request.purge;
	entry->kept |= request.action == DRIVER_CREATE;
	entry->began_ms = clock_monotonic_ms();
	(*slots_of(entry, request.action))++;
	return 0;
}

static void begin(struct entry *entry, const struct plan *plan)
{
	int r;

	if (plan->action == PLAN_STOP || plan->action == PLAN_REMOVE)
		drop_health(entry);
	entry->action = action_of(plan->action);
	r = run(entry, plan);
	if (r < 0) {
		fail(entry, strerror(-r));
		tell(entry, waiting_state(plan), entry->failure);
		return;
	}
	tell(entry, operation_state(plan), plan->reason);
}

/* A create may take long: it is ended where its result would be thrown away. */
static bool outdated(const struct entry *entry)
{
	if (entry->action != DRIVER_CREATE)
		return false;
	return !entry->desired || entry->desired->refusal ||
	       strcmp(entry->desired->digest, entry->operated->digest) != 0;
}

static void cancel(struct entry *entry)
{
	entry->context->driver->ops->cancel(entry->context->driver, entry->operation);
	end_operation(entry);
}

/* Whether the step can be taken now; says why not. */
static bool may_begin(struct entry *entry, const struct plan *plan)
{
	enum driver_action action = action_of(plan->action);
	uint64_t now = clock_monotonic_ms();

	if (!entry->context->able) {
		tell(entry, waiting_state(plan), "the container engine does not answer");
		return false;
	}
	if (!entry->delayed && action == DRIVER_START && now < entry->not_before_ms) {
		delay(entry, entry->not_before_ms - now);
		ends_wait(&entry->ends, clock_unix_seconds(), entry->not_before_ms - now);
		snprintf(entry->failure, sizeof(entry->failure), "%s", plan->reason);
	}
	if (entry->delayed) {
		tell(entry, waiting_state(plan), entry->failure);
		return false;
	}
	/* What may run elsewhere in a moment stops now. */
	if (!entry->lapsed && *slots_of(entry, action) >= entry->context->parallel) {
		entry->queued = true;
		tell(entry, waiting_state(plan), "waits for other environments of this host");
		return false;
	}
	return true;
}

/* What can run on another host runs here by a lease: known from the assignment, and of a container
 * that was found from its label. */
static bool is_leased(const struct entry *entry)
{
	if (entry->desired && !entry->desired->refusal)
		return environment_spec_is_movable(&entry->desired->assignment.spec);
	return entry->exists && entry->instance.movable;
}

/* Whether its lease is over; looks again when it will be. */
static bool check_lease(struct entry *entry)
{
	uint64_t left = UINT64_MAX;

	event_del(&entry->lapse);
	if (is_leased(entry))
		left = lease_left_ms(entry->context->lease, clock_boottime_ms());
	if (left == 0 && !entry->lapsed)
		log_warning(entry->subject, "its lease is over: it may run elsewhere by now");
	else if (left > 0 && left < UINT64_MAX)
		(void)loop_timer_arm(&entry->lapse, left);
	entry->lapsed = left == 0;
	return entry->lapsed;
}

void entry_renew(struct entry *entry)
{
	if (entry->lapsed)
		entry_hurry(entry);
}

bool entry_step(struct entry *entry)
{
	const struct plan_input input = {
		.assignment = entry->desired ? &entry->desired->assignment : NULL,
		.refusal = entry->desired ? entry->desired->refusal : NULL,
		.digest = entry->desired ? entry->desired->digest : NULL,
		.instance = entry->exists ? &entry->instance : NULL,
		.complete = entry->context->complete,
		.kept = entry->kept,
		.lapsed = check_lease(entry),
	};
	struct plan plan;

	entry->queued = false;
	if (entry->operation) {
		if (outdated(entry))
			cancel(entry);
		return true;
	}
	plan_next(&input, &plan);
	if (plan.action == PLAN_FORGET)
		return false;
	if (plan.action == PLAN_NOTHING)
		rest(entry, &plan);
	else if (may_begin(entry, &plan))
		begin(entry, &plan);
	return true;
}

/* ---- life ---- */

int entry_new(struct entry **ret, struct entry_context *context, const char *environment)
{
	struct entry *entry = calloc(1, sizeof(*entry));
	int r;

	if (!entry)
		return -ENOMEM;
	entry->environment = strdup(environment);
	if (!entry->environment) {
		free(entry);
		return -ENOMEM;
	}
	entry->context = context;
	entry->state = CONTAINER_WAITING;
	entry->failures =
		(struct backoff){ .first_ms = FAILURE_FIRST_MS, .max_ms = FAILURE_MAX_MS };
	entry->restarts = entry->failures;
	snprintf(entry->subject, sizeof(entry->subject), "environment %s", environment);
	evtimer_assign(&entry->retry, context->base, on_retry, entry);
	evtimer_assign(&entry->lapse, context->base, on_lapse, entry);
	evtimer_assign(&entry->well, context->base, on_well, entry);
	ends_init(&entry->ends);
	r = ends_file_read(context->data_dir, environment, &entry->ends);
	if (r < 0) {
		entry_free(entry);
		return r;
	}
	entry->restarts.attempts = entry->ends.count;
	*ret = entry;
	return 0;
}

void entry_free(struct entry *entry)
{
	if (entry->operation) {
		entry->context->driver->ops->cancel(entry->context->driver, entry->operation);
		(*slots_of(entry, entry->action))--;
	}
	forget_operated(entry);
	desired_unref(entry->desired);
	drop_health(entry);
	event_del(&entry->retry);
	event_del(&entry->lapse);
	instance_clear(&entry->instance);
	ends_clear(&entry->ends);
	free(entry->environment);
	free(entry);
}

static bool same_assignment(const struct desired *a, const struct desired *b)
{
	if (!a || !b || !a->refusal != !b->refusal)
		return false;
	if (a->refusal)
		return strcmp(a->refusal, b->refusal) == 0;
	return a->assignment.running == b->assignment.running && strcmp(a->digest, b->digest) == 0;
}

static void forgive(struct entry *entry)
{
	backoff_reset(&entry->restarts);
	entry->not_before_ms = 0;
	ends_forgive(&entry->ends);
}

void entry_assign(struct entry *entry, struct desired *desired)
{
	bool same = same_assignment(entry->desired, desired);
	bool changed = entry->desired && !same;

	desired_unref(entry->desired);
	entry->desired = desired;
	if (!same) {
		backoff_reset(&entry->failures);
		if (changed)
			forgive(entry);
		/* What was told last was of another assignment. */
		tell(entry, CONTAINER_WAITING, "");
		entry_hurry(entry);
	}
	keep_ends(entry);
	entry->context->look_again(entry);
}

static char *copy_text(const char *text)
{
	return strdup(text ? text : "");
}

int entry_observe(struct entry *entry, const struct instance *instance)
{
	struct instance copy = *instance;
	bool first = !entry->exists;

	copy.ports = calloc(MAX(instance->n_ports, (size_t)1), sizeof(*copy.ports));
	copy.environment = copy_text(instance->environment);
	copy.id = copy_text(instance->id);
	copy.digest = copy_text(instance->digest);
	copy.started = copy_text(instance->started);
	copy.error = instance->error ? strdup(instance->error) : NULL;
	if (!copy.ports || !copy.environment || !copy.id || !copy.digest || !copy.started ||
	    (instance->error && !copy.error)) {
		instance_clear(&copy);
		return -ENOMEM;
	}
	if (instance->n_ports > 0)
		memcpy(copy.ports, instance->ports, instance->n_ports * sizeof(*copy.ports));
	instance_clear(&entry->instance);
	entry->instance = copy;
	entry->exists = entry->kept = true;
	if (ends_observe(&entry->ends, &entry->instance, clock_unix_seconds()))
		entry->context->on_change(entry->context);
	if (first)
		resume_delay(entry);
	keep_ends(entry);
	entry->context->look_again(entry);
	return 0;
}

void entry_gone(struct entry *entry, const char *id)
{
	if (!entry->exists || strcmp(entry->instance.id, id) != 0)
		return;
	instance_clear(&entry->instance);
	entry->exists = false;
	entry->context->look_again(entry);
}
