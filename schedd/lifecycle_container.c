/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the host's report says of the container, and what follows for an environment that is wanted
 * to run. Pure. */
#include <stdio.h>
#include <string.h>

#include "lib/clock.h"
#include "schedd/lifecycle_private.h"

bool lifecycle_report_is_current(const struct lifecycle_input *input)
{
	return input->host->reported &&
	       input->host->revision >= input->environment->assignment_revision;
}

bool lifecycle_is_lost(const struct lifecycle_input *input)
{
	const struct lifecycle_host *host = input->host;

	return host && !host->online && host->lease_left_ms == 0 &&
	       host->mode != HOST_MAINTENANCE &&
	       environment_spec_is_movable(&input->environment->origin->spec);
}

void lifecycle_await_lease(const struct lifecycle_input *input, struct lifecycle_decision *decision)
{
	const struct lifecycle_host *host = input->host;

	if (host->lease_left_ms > 0 && host->lease_left_ms < UINT64_MAX &&
	    environment_spec_is_movable(&input->environment->origin->spec))
		lifecycle_recheck(decision, host->lease_left_ms);
}

void lifecycle_offline_reason(const struct lifecycle_input *input,
			      struct lifecycle_decision *decision)
{
	const struct lifecycle_host *host = input->host;
	char since[TIME_STRING_MAX];

	time_format(host->status_since, since);
	if (host->mode == HOST_MAINTENANCE)
		lifecycle_because(decision,
				  "host %s is in maintenance and was not heard of since %s: it is "
				  "expected back",
				  host->name, since);
	else if (environment_spec_is_movable(&input->environment->origin->spec))
		lifecycle_because(decision,
				  "host %s was not heard of since %s: another one takes over when "
				  "its lease is over",
				  host->name, since);
	else
		lifecycle_because(
			decision,
			"host %s was not heard of since %s: what is kept there comes back "
			"with it",
			host->name, since);
}

/* What a host that answers is waited for to do. */
static void waiting_reason(const struct lifecycle_input *input, const char *what,
			   struct lifecycle_decision *decision)
{
	const struct lifecycle_host *host = input->host;

	if (host->engine_error)
		lifecycle_because(decision, "waiting for host %s to %s the container: %s",
				  host->name, what, host->engine_error);
	else
		lifecycle_because(decision, "waiting for host %s to %s the container", host->name,
				  what);
}

/* A host that is not heard of has stopped the container for sure once its lease is over. */
static bool is_over(const struct lifecycle_input *input, const char *what,
		    struct lifecycle_decision *decision)
{
	char since[TIME_STRING_MAX];

	if (lifecycle_is_lost(input))
		return true;
	lifecycle_await_lease(input, decision);
	lifecycle_because(decision, "waiting for host %s, offline since %s, to %s the container",
			  input->host->name, time_format(input->host->status_since, since), what);
	return false;
}

bool lifecycle_is_stopped(const struct lifecycle_input *input, struct lifecycle_decision *decision)
{
	const struct lifecycle_host *host = input->host;

	if (!host)
		return true;
	if (!host->online)
		return is_over(input, "stop", decision);
	if (lifecycle_report_is_current(input) &&
	    (!host->container || host->container->state == CONTAINER_STOPPED))
		return true;
	waiting_reason(input, "stop", decision);
	return false;
}

bool lifecycle_is_removed(const struct lifecycle_input *input, struct lifecycle_decision *decision)
{
	const struct lifecycle_host *host = input->host;

	if (!host)
		return true;
	if (!host->online)
		return is_over(input, "remove", decision);
	if (lifecycle_report_is_current(input) && !host->container)
		return true;
	waiting_reason(input, "remove", decision);
	return false;
}

/* ---- wanted to run ---- */

/* Not to be reached: its ports are not led there. */
static void not_ready(const struct lifecycle_input *input, struct lifecycle_decision *decision,
		      enum environment_phase phase, enum environment_stage stage,
		      const char *fallback)
{
	const struct lifecycle_host *host = input->host;
	const char *reason = host->container ? host->container->reason : NULL;

	if (reason && reason[0])
		lifecycle_because(decision, "%s", reason);
	else if (host->engine_error)
		lifecycle_because(decision, "%s: %s", host->name, host->engine_error);
	else
		lifecycle_because(decision, "%s", fallback);
	(void)lifecycle_withdraw(input, decision);
	decision->phase = phase;
	decision->stage = stage;
}

static void starting(const struct lifecycle_input *input, struct lifecycle_decision *decision)
{
	const char *reason = input->host->container->reason;
	bool all = lifecycle_all_published(input);

	if (!lifecycle_is_published(input) ||
	    input->unready_ms >= input->limits->unready_grace_ms) {
		not_ready(input, decision, PHASE_CREATING, STAGE_STARTING,
			  "waiting for the services to answer");
		return;
	}
	/* A service that falls silent for a moment keeps its port: the target is still its own. */
	decision->watch_ready = true;
	lifecycle_recheck(decision, input->limits->unready_grace_ms - input->unready_ms);
	decision->phase = all ? PHASE_RUNNING : PHASE_CREATING;
	decision->stage = all ? STAGE_NONE : STAGE_PUBLISHING;
	lifecycle_because(decision, "%s",
			  reason && reason[0] ? reason : "a service does not answer");
}

static void ready(const struct lifecycle_input *input, struct lifecycle_decision *decision)
{
	bool all = lifecycle_publish(input, decision);

	decision->phase = all ? PHASE_RUNNING : PHASE_CREATING;
	decision->stage = all ? STAGE_NONE : STAGE_PUBLISHING;
}

/* It ended by itself, and its restart policy leaves nothing to do. */
static void ended(const struct lifecycle_input *input, struct lifecycle_decision *decision)
{
	bool well = input->host->container->exit_code <= 0;

	not_ready(input, decision, well ? PHASE_STOPPED : PHASE_FAILED, STAGE_NONE, "it has ended");
}

static void crash_loop(const struct lifecycle_input *input, struct lifecycle_decision *decision)
{
	const struct container_report *container = input->host->container;
	char next[TIME_STRING_MAX], status[32] = "";

	/* What ended while nobody looked has left none. */
	if (container->exit_code != EXIT_CODE_NONE)
		(void)snprintf(status, sizeof(status), ", with status %d", container->exit_code);
	if (container->next_try > 0)
		lifecycle_because(decision, "it ended %u times in a row%s; next try %s",
				  decision->crashes, status,
				  time_format(container->next_try, next));
	else
		lifecycle_because(decision,
				  "it ended %u times in a row%s; it runs again, and is published "
				  "once it has run for a while",
				  decision->crashes, status);
	not_ready(input, decision, PHASE_CREATING, STAGE_CRASH_LOOP, "");
}

static void pulling(const struct lifecycle_input *input, struct lifecycle_decision *decision)
{
	char fallback[REASON_MAX];

	(void)snprintf(fallback, sizeof(fallback), "pulling image %s",
		       input->environment->origin->spec.image);
	not_ready(input, decision, PHASE_CREATING, STAGE_PULLING, fallback);
}

static void by_state(const struct lifecycle_input *input, struct lifecycle_decision *decision)
{
	switch (input->host->container->state) {
	case CONTAINER_WAITING:
	case CONTAINER_CREATING:
		not_ready(input, decision, PHASE_CREATING, STAGE_CREATING,
			  "creating the container");
		break;
	case CONTAINER_PULLING:
		pulling(input, decision);
		break;
	case CONTAINER_STARTING:
		starting(input, decision);
		break;
	case CONTAINER_READY:
		ready(input, decision);
		break;
	case CONTAINER_STOPPING:
	case CONTAINER_REMOVING:
		/* Its host port may be another's at any moment. */
		not_ready(input, decision, PHASE_CREATING, STAGE_STARTING,
			  "the container has stopped");
		break;
	case CONTAINER_STOPPED:
		ended(input, decision);
		break;
	case CONTAINER_FAILED:
		not_ready(input, decision, PHASE_FAILED, STAGE_NONE, "the host gave up");
		break;
	case CONTAINER_STATE_MAX:
	case CONTAINER_STATE_INVALID:
		break;
	}
}

static bool is_settled(enum container_state state)
{
	return state == CONTAINER_STOPPED || state == CONTAINER_FAILED;
}

void lifecycle_follow(const struct lifecycle_input *input, struct lifecycle_decision *decision)
{
	const struct container_report *container = input->host->container;
	char waiting[REASON_MAX];

	if (!container) {
		(void)snprintf(waiting, sizeof(waiting),
			       "waiting for host %s to create the container", input->host->name);
		not_ready(input, decision, PHASE_CREATING, STAGE_CREATING, waiting);
		return;
	}
	decision->exit_code = container->exit_code;
	decision->crashes = (unsigned)container->crashes;
	decision->next_try = container->next_try;
	if (decision->crashes >= CRASH_LOOP_ENDS && !is_settled(container->state))
		crash_loop(input, decision);
	else
		by_state(input, decision);
}
