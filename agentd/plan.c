/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The planner's table: unassigned, refused, absent, outdated, and then by the instance's status. */
#include "agentd/plan.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static void set(struct plan *plan, enum plan_action action, enum container_state state)
{
	plan->action = action;
	plan->state = state;
}

_printf_(2, 3) static void because(struct plan *plan, const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(plan->reason, sizeof(plan->reason), format, arguments);
	va_end(arguments);
}

/* Stop first, so that what runs in it may end in order; then remove. */
static void plan_removal(const struct instance *instance, struct plan *plan)
{
	switch (instance->status) {
	case INSTANCE_RUNNING:
		set(plan, PLAN_STOP, CONTAINER_STOPPING);
		return;
	case INSTANCE_REMOVING:
		set(plan, PLAN_NOTHING, CONTAINER_REMOVING);
		return;
	case INSTANCE_CREATED:
	case INSTANCE_RESTARTING:
	case INSTANCE_PAUSED:
	case INSTANCE_EXITED:
	case INSTANCE_DEAD:
		set(plan, PLAN_REMOVE, CONTAINER_REMOVING);
		return;
	}
}

/* Nothing is made and nothing is removed: when the scheduler is heard again it says what is to be.
 */
static void plan_lapsed(const struct instance *instance, struct plan *plan)
{
	bool running = instance && (instance->status == INSTANCE_RUNNING ||
				    instance->status == INSTANCE_RESTARTING ||
				    instance->status == INSTANCE_PAUSED);

	plan->hold = running;
	set(plan, running ? PLAN_STOP : PLAN_NOTHING,
	    running ? CONTAINER_STOPPING : CONTAINER_WAITING);
	because(plan,
		"the scheduler was not reached for the time of its lease: it may run on another "
		"host by now");
}

static void plan_unassigned(const struct plan_input *input, struct plan *plan)
{
	if (!input->instance) {
		bool left = input->complete && input->kept;

		plan->purge = left;
		set(plan, left ? PLAN_REMOVE : PLAN_FORGET,
		    left ? CONTAINER_REMOVING : CONTAINER_WAITING);
		return;
	}
	if (!input->complete && input->lapsed) {
		plan_lapsed(input->instance, plan);
		return;
	}
	if (!input->complete) {
		set(plan, PLAN_NOTHING, CONTAINER_WAITING);
		because(plan, "the scheduler has not said yet whether it should exist");
		return;
	}
	plan->purge = true;
	plan_removal(input->instance, plan);
}

static void describe_exit(const struct instance *instance, struct plan *plan)
{
	if (instance->error)
		because(plan, "it could not be started: %s", instance->error);
	else if (instance->out_of_memory)
		because(plan, "it ran out of memory and ended with status %d", instance->exit_code);
	else
		because(plan, "it ended with status %d", instance->exit_code);
}

static bool should_start_again(const struct assignment *assignment, const struct instance *instance)
{
	if (instance->stopped_on_request || instance->error)
		return true;
	switch (assignment->spec.restart) {
	case RESTART_ALWAYS:
		return true;
	case RESTART_ON_FAILURE:
		return instance->exit_code != 0;
	case RESTART_NEVER:
		return false;
	}
	return false;
}

static void plan_exited(const struct plan_input *input, struct plan *plan)
{
	/* One that ended by itself is stopped all the same: so it is known, when it is wanted
	 * again, that another run is asked for. */
	if (!input->assignment->running && !input->instance->stopped_on_request) {
		plan->hold = true;
		set(plan, PLAN_STOP, CONTAINER_STOPPING);
		return;
	}
	if (!input->assignment->running) {
		set(plan, PLAN_NOTHING, CONTAINER_STOPPED);
		return;
	}
	if (!input->instance->stopped_on_request)
		describe_exit(input->instance, plan);
	if (should_start_again(input->assignment, input->instance))
		set(plan, PLAN_START, CONTAINER_STARTING);
	else
		set(plan, PLAN_NOTHING, CONTAINER_STOPPED);
}

static void plan_current(const struct plan_input *input, struct plan *plan)
{
	const struct instance *instance = input->instance;
	bool running = input->assignment->running;

	switch (instance->status) {
	case INSTANCE_CREATED:
		if (running)
			set(plan, PLAN_START, CONTAINER_STARTING);
		else
			set(plan, PLAN_NOTHING, CONTAINER_STOPPED);
		return;
	case INSTANCE_RUNNING:
	case INSTANCE_RESTARTING:
	case INSTANCE_PAUSED:
		if (!running) {
			plan->hold = true;
			set(plan, PLAN_STOP, CONTAINER_STOPPING);
			return;
		}
		set(plan, PLAN_NOTHING, CONTAINER_STARTING);
		if (instance->status == INSTANCE_PAUSED)
			because(plan, "the container is paused");
		if (instance->status == INSTANCE_RESTARTING)
			because(plan,
				"its command keeps ending, last with status %d, after %u restarts",
				instance->exit_code, instance->restarts);
		return;
	case INSTANCE_EXITED:
		plan_exited(input, plan);
		return;
	case INSTANCE_REMOVING:
		set(plan, PLAN_NOTHING, CONTAINER_CREATING);
		because(plan, "the old container is being removed");
		return;
	case INSTANCE_DEAD:
		set(plan, PLAN_REMOVE, CONTAINER_CREATING);
		because(plan, "the old container is being removed");
		return;
	}
}

void plan_next(const struct plan_input *input, struct plan *ret)
{
	memset(ret, 0, sizeof(*ret));
	if (!input->assignment) {
		plan_unassigned(input, ret);
		return;
	}
	if (input->refusal) {
		set(ret, PLAN_NOTHING, CONTAINER_FAILED);
		because(ret, "%s", input->refusal);
		return;
	}
	if (input->lapsed) {
		plan_lapsed(input->instance, ret);
		return;
	}
	if (!input->instance) {
		set(ret, PLAN_CREATE, CONTAINER_CREATING);
		return;
	}
	if (strcmp(input->instance->digest, input->digest) != 0) {
		plan_removal(input->instance, ret);
		because(ret, "the container is being replaced: its specification has changed");
		return;
	}
	plan_current(input, ret);
}
