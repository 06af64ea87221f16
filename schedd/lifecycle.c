/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Decides the next step of an environment's life. Pure: no clock, no state, no log. */
#include <stdarg.h>
#include <stdio.h>

#include "lib/clock.h"
#include "schedd/lifecycle_private.h"

/* No timer runs longer: the time of the day may be set. */
#define DEADLINE_RECHECK_MAX_S 3600

void lifecycle_because(struct lifecycle_decision *decision, const char *format, ...)
{
	va_list arguments;

	if (decision->reason[0])
		return;
	va_start(arguments, format);
	(void)vsnprintf(decision->reason, sizeof(decision->reason), format, arguments);
	va_end(arguments);
}

void lifecycle_recheck(struct lifecycle_decision *decision, uint64_t ms)
{
	if (decision->recheck_ms == 0 || ms < decision->recheck_ms)
		decision->recheck_ms = ms;
}

static void start_from_rows(const struct lifecycle_input *input,
			    struct lifecycle_decision *decision)
{
	const struct environment *environment = input->environment;

	*decision = (struct lifecycle_decision){
		.phase = environment->phase,
		.assignment = environment->assignment,
		.action = environment->action,
		.power = environment->power,
		.exit_code = environment->exit_code,
	};
	for (size_t i = 0; i < input->n_ports; i++)
		decision->ports[i] = (struct lifecycle_port){
			.state = input->ports[i]->state,
			.has_target = input->ports[i]->has_target,
			.target = input->ports[i]->target,
			.expires_at = input->ports[i]->expires_at,
		};
}

/* ---- away from a host ---- */

/* One that is about to be started again is assigned to be stopped so far. */
bool lifecycle_has_ended(const struct environment *environment)
{
	if (!environment->power || environment->assignment == ASSIGNMENT_STOPPED ||
	    environment->action == ACTION_RESTART)
		return false;
	return environment->phase == PHASE_STOPPED ||
	       (environment->phase == PHASE_FAILED && environment->exit_code > 0);
}

/* What it was told to leave, or lost, holds it no more. It is placed anew if it is wanted to run.
 */
static void leave(const struct lifecycle_input *input, struct lifecycle_decision *decision)
{
	const struct environment *environment = input->environment;

	decision->assignment = ASSIGNMENT_NONE;
	decision->action = ACTION_NONE;
	decision->release = true;
	if (lifecycle_has_ended(environment)) {
		decision->phase = environment->phase;
		decision->power = environment->phase == PHASE_FAILED;
		if (decision->power)
			lifecycle_because(decision, "it ended with status %d",
					  environment->exit_code);
		return;
	}
	decision->place = decision->power;
	decision->phase = decision->power ? PHASE_PENDING : PHASE_STOPPED;
	decision->stage = STAGE_NONE;
}

static void decide_moving(const struct lifecycle_input *input, struct lifecycle_decision *decision)
{
	bool off = lifecycle_withdraw(input, decision);

	if (!lifecycle_has_ended(input->environment))
		decision->phase = PHASE_STOPPING;
	if (!input->host) {
		leave(input, decision);
		return;
	}
	if (!off)
		return;
	decision->assignment = ASSIGNMENT_NONE;
	if (input->environment->assignment == ASSIGNMENT_NONE &&
	    lifecycle_is_removed(input, decision))
		leave(input, decision);
	else
		lifecycle_because(decision, "moving away from host %s", input->host->name);
}

/* ---- the wanted states ---- */

static void decide_deleting(const struct lifecycle_input *input,
			    struct lifecycle_decision *decision)
{
	bool off = lifecycle_give_up(input, decision);

	if (input->environment->assignment != ASSIGNMENT_NONE) {
		if (off || !input->host) {
			decision->assignment = ASSIGNMENT_NONE;
			lifecycle_because(decision, "removing the container");
		}
		return;
	}
	if (!off || !lifecycle_is_removed(input, decision))
		return;
	decision->phase = PHASE_DELETED;
	decision->release = true;
	decision->action = ACTION_NONE;
	decision->recheck_ms = 0;
	decision->reason[0] = '\0';
}

/* True once its ports are withdrawn and its container is proven to be stopped. */
static bool stop(const struct lifecycle_input *input, struct lifecycle_decision *decision)
{
	bool off = lifecycle_withdraw(input, decision);

	decision->phase = PHASE_STOPPING;
	if (!off)
		return false;
	if (!input->host)
		return true;
	decision->assignment = ASSIGNMENT_STOPPED;
	if (input->environment->assignment == ASSIGNMENT_STOPPED)
		return lifecycle_is_stopped(input, decision);
	lifecycle_because(decision, "stopping the container");
	return false;
}

static void decide_stopped(const struct lifecycle_input *input, struct lifecycle_decision *decision)
{
	const struct environment *environment = input->environment;

	decision->action = ACTION_NONE;
	/* What was stopped once stays so, whatever becomes of its host. */
	if (environment->phase == PHASE_STOPPED && environment->assignment != ASSIGNMENT_RUNNING) {
		(void)lifecycle_withdraw(input, decision);
		return;
	}
	if (!stop(input, decision)) {
		/* It ended before: that it is held from now on is no news. */
		if (environment->phase == PHASE_STOPPED)
			decision->phase = PHASE_STOPPED;
		return;
	}
	if (!input->host)
		decision->assignment = ASSIGNMENT_NONE;
	decision->phase = PHASE_STOPPED;
}

static void decide_restarting(const struct lifecycle_input *input,
			      struct lifecycle_decision *decision)
{
	if (!stop(input, decision)) {
		lifecycle_because(decision, "restarting");
		return;
	}
	decision->action = ACTION_NONE;
	decision->phase = PHASE_CREATING;
	decision->stage = input->host ? STAGE_STARTING : STAGE_PLACING;
}

/* Nothing is known of the container under this assignment: nothing is done to its ports. */
static void decide_unknown(const struct lifecycle_input *input, struct lifecycle_decision *decision)
{
	const struct environment *environment = input->environment;

	decision->stage = environment->stage;
	decision->crashes = environment->crashes;
	decision->next_try = environment->next_try;
	switch (environment->phase) {
	case PHASE_RUNNING:
	case PHASE_FAILED:
	case PHASE_STOPPED:
		lifecycle_because(decision, "%s", environment->reason);
		return;
	case PHASE_UNREACHABLE:
		lifecycle_because(decision, "host %s is back: waiting for its report",
				  input->host->name);
		return;
	case PHASE_PENDING:
	case PHASE_CREATING:
	case PHASE_STOPPING:
	case PHASE_DELETING:
	case PHASE_DELETED:
	case PHASE_MAX:
	case PHASE_INVALID:
		break;
	}
	decision->phase = PHASE_CREATING;
	if (decision->stage == STAGE_NONE || decision->stage == STAGE_PLACING)
		decision->stage = STAGE_CREATING;
	lifecycle_because(decision, "waiting for host %s to take the assignment",
			  input->host->name);
}

/* Its host is not heard of. A partition is not a death: what is published stays, until the lease
 * of what can run elsewhere is over. What has ended stays as it is, whatever becomes of its host.
 */
static void decide_unreachable(const struct lifecycle_input *input,
			       struct lifecycle_decision *decision)
{
	if (lifecycle_has_ended(input->environment) && decision->action == ACTION_NONE) {
		lifecycle_because(decision, "%s", input->environment->reason);
		(void)lifecycle_withdraw(input, decision);
		return;
	}
	if (lifecycle_is_lost(input)) {
		(void)lifecycle_withdraw(input, decision);
		leave(input, decision);
		return;
	}
	decision->phase = PHASE_UNREACHABLE;
	lifecycle_await_lease(input, decision);
	lifecycle_offline_reason(input, decision);
}

static void decide_running(const struct lifecycle_input *input, struct lifecycle_decision *decision)
{
	const struct environment *environment = input->environment;

	if (!environment->host[0]) {
		/* What it had is lost with its host: nobody makes it anew without being asked. */
		bool lost = environment->phase == PHASE_FAILED;

		if (lost)
			lifecycle_because(decision, "%s", environment->reason);
		(void)lifecycle_withdraw(input, decision);
		if (lost)
			return;
		decision->phase = PHASE_PENDING;
		decision->action = ACTION_NONE;
		decision->place = true;
		return;
	}
	decision->assignment = ASSIGNMENT_RUNNING;
	if (!input->host)
		return;
	if (!input->host->online) {
		decide_unreachable(input, decision);
		return;
	}
	if (environment->assignment != ASSIGNMENT_RUNNING) {
		decision->phase = PHASE_CREATING;
		decision->stage = environment->assignment == ASSIGNMENT_STOPPED ? STAGE_STARTING
										: STAGE_CREATING;
		lifecycle_because(decision, "waiting for host %s to take the assignment",
				  input->host->name);
	} else if (!lifecycle_report_is_current(input)) {
		decide_unknown(input, decision);
	} else {
		lifecycle_follow(input, decision);
	}
}

/* ---- deadlines ---- */

static bool deadline_has_passed(const struct lifecycle_input *input)
{
	const struct environment *environment = input->environment;

	return environment->expires_at > 0 && input->now >= environment->expires_at;
}

/* True where the deadline decides: what follows from it is the next decision. */
static bool expire(const struct lifecycle_input *input, struct lifecycle_decision *decision)
{
	const struct environment *environment = input->environment;
	bool delete = environment->origin->spec.on_expiry == EXPIRY_DELETE;
	char at[TIME_STRING_MAX];

	if (!deadline_has_passed(input) || (!delete &&!environment->power))
		return false;
	time_format(environment->expires_at, at);
	decision->stage = STAGE_NONE;
	if (delete || environment->action == ACTION_RESTART)
		decision->action = ACTION_NONE;
	if (delete)
		decision->phase = PHASE_DELETING;
	else
		decision->power = false;
	lifecycle_because(decision, "its time was over at %s", at);
	return true;
}

/* Says what is ahead where nothing else is to be said, and wakes up in time for it. */
static void note_deadline(const struct lifecycle_input *input, struct lifecycle_decision *decision)
{
	const struct environment *environment = input->environment;
	bool delete = environment->origin->spec.on_expiry == EXPIRY_DELETE;
	int64_t left = environment->expires_at - input->now;
	int64_t to_warning = left - input->limits->expiry_warning_s;
	char at[TIME_STRING_MAX];

	if (environment->expires_at == 0 || decision->phase == PHASE_DELETED)
		return;
	time_format(environment->expires_at, at);
	if (left <= 0) {
		if (decision->phase == PHASE_STOPPED)
			lifecycle_because(decision,
					  "its time was over at %s: extend it to start it", at);
		return;
	}
	if (to_warning <= 0 && decision->phase == PHASE_RUNNING)
		lifecycle_because(decision, "its time is over at %s: it will be %s then", at,
				  delete ? "deleted" : "stopped");
	if (to_warning <= 0)
		to_warning = left;
	lifecycle_recheck(decision, (uint64_t)MIN(to_warning, DEADLINE_RECHECK_MAX_S) * 1000);
}

static void note_draining(const struct lifecycle_input *input, struct lifecycle_decision *decision)
{
	const char *name = input->host->name;

	if (!environment_spec_is_movable(&input->environment->origin->spec))
		lifecycle_because(decision,
				  "host %s is draining, and not all of its volumes are shared: it "
				  "stays until it is deleted",
				  name);
	else if (input->no_room)
		lifecycle_because(decision, "host %s is draining: it waits for room elsewhere: %s",
				  name, input->no_room);
	else
		lifecycle_because(decision, "host %s is draining: it moves when its turn comes",
				  name);
}

/* What its host's mode means for an environment that runs there. */
static void note_mode(const struct lifecycle_input *input, struct lifecycle_decision *decision)
{
	const struct lifecycle_host *host = input->host;

	if (!host || decision->phase != PHASE_RUNNING)
		return;
	switch (host->mode) {
	case HOST_DRAINING:
		note_draining(input, decision);
		break;
	case HOST_MAINTENANCE:
		lifecycle_because(decision, "host %s is in maintenance: it may go away",
				  host->name);
		break;
	case HOST_ACTIVE:
	case HOST_CORDONED:
	case HOST_MODE_MAX:
	case HOST_MODE_INVALID:
		break;
	}
}

/* ---- all of it ---- */

static void decide_by_wish(const struct lifecycle_input *input, struct lifecycle_decision *decision)
{
	const struct environment *environment = input->environment;

	if (environment->action == ACTION_MOVE)
		decide_moving(input, decision);
	else if (!environment->power)
		decide_stopped(input, decision);
	else if (environment->action == ACTION_RESTART && !lifecycle_is_lost(input))
		decide_restarting(input, decision);
	else
		decide_running(input, decision);
}

void lifecycle_decide(const struct lifecycle_input *input, struct lifecycle_decision *ret)
{
	start_from_rows(input, ret);
	switch (input->environment->phase) {
	case PHASE_DELETED:
		return;
	case PHASE_DELETING:
		decide_deleting(input, ret);
		return;
	case PHASE_PENDING:
	case PHASE_CREATING:
	case PHASE_RUNNING:
	case PHASE_STOPPING:
	case PHASE_STOPPED:
	case PHASE_FAILED:
	case PHASE_UNREACHABLE:
	case PHASE_MAX:
	case PHASE_INVALID:
		break;
	}
	if (expire(input, ret))
		return;
	decide_by_wish(input, ret);
	note_deadline(input, ret);
	note_mode(input, ret);
}
