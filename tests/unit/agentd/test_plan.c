/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The planner as a table: what is wanted, what is there, what follows. */
#include <criterion/criterion.h>
#include <string.h>

#include "agentd/plan.h"

#define NOTHING_THERE -1

struct row {
	const char *name;
	bool assigned, running;
	enum restart_policy restart;
	int status; /* enum instance_status, or NOTHING_THERE */
	int exit_code;
	bool stopped_on_request, outdated, incomplete, lapsed, kept;
	enum plan_action action;
	enum container_state state;
	bool hold, purge;
};

static const struct row rows[] = {
	{ "new", true, true, .status = NOTHING_THERE, .action = PLAN_CREATE,
	  .state = CONTAINER_CREATING },
	{ "new, to be stopped", true, false, .status = NOTHING_THERE, .action = PLAN_CREATE,
	  .state = CONTAINER_CREATING },
	{ "half made", true, true, .status = INSTANCE_CREATED, .action = PLAN_START,
	  .state = CONTAINER_STARTING },
	{ "half made, to be stopped", true, false, .status = INSTANCE_CREATED,
	  .action = PLAN_NOTHING, .state = CONTAINER_STOPPED },
	{ "runs as it should", true, true, .status = INSTANCE_RUNNING, .action = PLAN_NOTHING,
	  .state = CONTAINER_STARTING },
	{ "restarted by the engine", true, true, .status = INSTANCE_RESTARTING,
	  .action = PLAN_NOTHING, .state = CONTAINER_STARTING },
	{ "paused by hand", true, true, .status = INSTANCE_PAUSED, .action = PLAN_NOTHING,
	  .state = CONTAINER_STARTING },
	{ "to be stopped", true, false, .status = INSTANCE_RUNNING, .action = PLAN_STOP,
	  .state = CONTAINER_STOPPING, .hold = true },
	{ "to be stopped while restarting", true, false, .status = INSTANCE_RESTARTING,
	  .action = PLAN_STOP, .state = CONTAINER_STOPPING, .hold = true },
	{ "stopped", true, false, .status = INSTANCE_EXITED, .stopped_on_request = true,
	  .action = PLAN_NOTHING, .state = CONTAINER_STOPPED },
	{ "to be stopped, ended by itself before", true, false, .status = INSTANCE_EXITED,
	  .action = PLAN_STOP, .state = CONTAINER_STOPPING, .hold = true },
	{ "ended, always", true, true, RESTART_ALWAYS, INSTANCE_EXITED, 0, .action = PLAN_START,
	  .state = CONTAINER_STARTING },
	{ "failed, on-failure", true, true, RESTART_ON_FAILURE, INSTANCE_EXITED, 1,
	  .action = PLAN_START, .state = CONTAINER_STARTING },
	{ "ended, on-failure", true, true, RESTART_ON_FAILURE, INSTANCE_EXITED, 0,
	  .action = PLAN_NOTHING, .state = CONTAINER_STOPPED },
	{ "failed, no", true, true, RESTART_NEVER, INSTANCE_EXITED, 1, .action = PLAN_NOTHING,
	  .state = CONTAINER_STOPPED },
	{ "stopped on request, no, wanted again", true, true, RESTART_NEVER, INSTANCE_EXITED, 143,
	  .stopped_on_request = true, .action = PLAN_START, .state = CONTAINER_STARTING },
	{ "outdated and running", true, true, .status = INSTANCE_RUNNING, .outdated = true,
	  .action = PLAN_STOP, .state = CONTAINER_STOPPING },
	{ "outdated and stopped", true, true, .status = INSTANCE_EXITED, .outdated = true,
	  .action = PLAN_REMOVE, .state = CONTAINER_REMOVING },
	{ "being removed by the engine", true, true, .status = INSTANCE_REMOVING,
	  .action = PLAN_NOTHING, .state = CONTAINER_CREATING },
	{ "dead", true, true, .status = INSTANCE_DEAD, .action = PLAN_REMOVE,
	  .state = CONTAINER_CREATING },
	{ "lapsed and running", true, true, .status = INSTANCE_RUNNING, .lapsed = true,
	  .action = PLAN_STOP, .state = CONTAINER_STOPPING, .hold = true },
	{ "lapsed and restarting", true, true, .status = INSTANCE_RESTARTING, .lapsed = true,
	  .action = PLAN_STOP, .state = CONTAINER_STOPPING, .hold = true },
	{ "lapsed and paused", true, true, .status = INSTANCE_PAUSED, .lapsed = true,
	  .action = PLAN_STOP, .state = CONTAINER_STOPPING, .hold = true },
	{ "lapsed and stopped for it", true, true, .status = INSTANCE_EXITED,
	  .stopped_on_request = true, .lapsed = true, .action = PLAN_NOTHING,
	  .state = CONTAINER_WAITING },
	{ "lapsed and ended by itself", true, true, .status = INSTANCE_EXITED, .lapsed = true,
	  .action = PLAN_NOTHING, .state = CONTAINER_WAITING },
	{ "lapsed and never made", true, true, .status = NOTHING_THERE, .lapsed = true,
	  .action = PLAN_NOTHING, .state = CONTAINER_WAITING },
	{ "lapsed and half made", true, true, .status = INSTANCE_CREATED, .lapsed = true,
	  .action = PLAN_NOTHING, .state = CONTAINER_WAITING },
	{ "unassigned, no complete list, lapsed", false, .status = INSTANCE_RUNNING,
	  .incomplete = true, .lapsed = true, .action = PLAN_STOP, .state = CONTAINER_STOPPING,
	  .hold = true },
	{ "unassigned, no complete list, lapsed and stopped", false, .status = INSTANCE_EXITED,
	  .incomplete = true, .lapsed = true, .action = PLAN_NOTHING, .state = CONTAINER_WAITING },
	{ "unassigned, whatever its lease", false, .status = INSTANCE_EXITED, .lapsed = true,
	  .action = PLAN_REMOVE, .state = CONTAINER_REMOVING, .purge = true },
	{ "neither", false, .status = NOTHING_THERE, .action = PLAN_FORGET,
	  .state = CONTAINER_WAITING },
	{ "neither, and its volumes may be left", false, .status = NOTHING_THERE, .kept = true,
	  .action = PLAN_REMOVE, .state = CONTAINER_REMOVING, .purge = true },
	{ "neither, and no complete list", false, .status = NOTHING_THERE, .kept = true,
	  .incomplete = true, .action = PLAN_FORGET, .state = CONTAINER_WAITING },
	{ "unassigned and running", false, .status = INSTANCE_RUNNING, .action = PLAN_STOP,
	  .state = CONTAINER_STOPPING, .purge = true },
	{ "unassigned and stopped", false, .status = INSTANCE_EXITED, .action = PLAN_REMOVE,
	  .state = CONTAINER_REMOVING, .purge = true },
	{ "unassigned and half made", false, .status = INSTANCE_CREATED, .action = PLAN_REMOVE,
	  .state = CONTAINER_REMOVING, .purge = true },
	{ "unassigned and restarting", false, .status = INSTANCE_RESTARTING, .action = PLAN_REMOVE,
	  .state = CONTAINER_REMOVING, .purge = true },
	{ "unassigned and paused", false, .status = INSTANCE_PAUSED, .action = PLAN_REMOVE,
	  .state = CONTAINER_REMOVING, .purge = true },
	{ "unassigned, no complete list: running", false, .status = INSTANCE_RUNNING,
	  .incomplete = true, .action = PLAN_NOTHING, .state = CONTAINER_WAITING },
	{ "unassigned, no complete list: stopped", false, .status = INSTANCE_EXITED,
	  .incomplete = true, .action = PLAN_NOTHING, .state = CONTAINER_WAITING },
	{ "unassigned, no complete list: dead", false, .status = INSTANCE_DEAD, .incomplete = true,
	  .action = PLAN_NOTHING, .state = CONTAINER_WAITING },
};

static void plan_row(const struct row *row, struct plan *ret)
{
	struct assignment assignment = { .running = row->running };
	struct instance instance = {
		.digest = (char *)(row->outdated ? "old" : "digest"),
		.status = (enum instance_status)MAX(row->status, 0),
		.exit_code = row->exit_code,
		.stopped_on_request = row->stopped_on_request,
	};

	assignment.spec.restart = row->restart;
	plan_next(
		&(struct plan_input){
			.assignment = row->assigned ? &assignment : NULL,
			.digest = "digest",
			.instance = row->status == NOTHING_THERE ? NULL : &instance,
			.complete = !row->incomplete,
			.kept = row->kept,
			.lapsed = row->lapsed,
		},
		ret);
}

Test(plan, table)
{
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct plan plan;

		plan_row(&rows[i], &plan);
		cr_expect_eq(plan.action, rows[i].action, "%s: action %d", rows[i].name,
			     plan.action);
		cr_expect_eq(plan.state, rows[i].state, "%s: state %d", rows[i].name, plan.state);
		cr_expect_eq(plan.hold, rows[i].hold, "%s: hold", rows[i].name);
		cr_expect_eq(plan.purge, rows[i].purge, "%s: purge", rows[i].name);
	}
}

/* Whatever there is: without a complete list nothing that is not assigned is touched. */
Test(plan, never_removes_before_a_complete_list)
{
	for (int status = INSTANCE_CREATED; status <= INSTANCE_DEAD; status++) {
		struct plan plan;

		plan_row(&(struct row){ .status = status, .incomplete = true }, &plan);
		cr_expect_eq(plan.action, PLAN_NOTHING, "status %d", status);
		cr_expect(strstr(plan.reason, "scheduler"));
	}
}

/* A replacement keeps the volumes. */
Test(plan, replacement_never_purges)
{
	for (int status = INSTANCE_CREATED; status <= INSTANCE_DEAD; status++) {
		struct plan plan;

		plan_row(&(struct row){ .assigned = true,
					.running = true,
					.status = status,
					.outdated = true },
			 &plan);
		cr_expect_not(plan.purge, "status %d", status);
		cr_expect_not(plan.hold, "status %d", status);
	}
}

Test(plan, refused_is_failed_with_the_reason)
{
	struct assignment assignment = { .running = true };
	struct plan plan;

	plan_next(&(struct plan_input){ .assignment = &assignment,
					.refusal = "this host has no GPUs",
					.digest = "" },
		  &plan);
	cr_expect_eq(plan.action, PLAN_NOTHING);
	cr_expect_eq(plan.state, CONTAINER_FAILED);
	cr_expect_str_eq(plan.reason, "this host has no GPUs");
}

Test(plan, says_why_it_ended)
{
	struct assignment assignment = { .running = true };
	struct instance instance = { .digest = (char *)"d",
				     .status = INSTANCE_EXITED,
				     .exit_code = 137,
				     .out_of_memory = true };
	struct plan plan;

	assignment.spec.restart = RESTART_NEVER;
	plan_next(&(struct plan_input){ .assignment = &assignment,
					.digest = "d",
					.instance = &instance },
		  &plan);
	cr_expect_str_eq(plan.reason, "it ran out of memory and ended with status 137");
}

/* A start that failed, because of a port for one, is not an end of the command. */
Test(plan, failed_start_is_tried_again_under_every_policy)
{
	struct assignment assignment = { .running = true };
	struct instance instance = { .digest = (char *)"d",
				     .status = INSTANCE_EXITED,
				     .exit_code = 128,
				     .error = (char *)"address already in use" };
	struct plan plan;

	assignment.spec.restart = RESTART_NEVER;
	plan_next(&(struct plan_input){ .assignment = &assignment,
					.digest = "d",
					.instance = &instance },
		  &plan);
	cr_expect_eq(plan.action, PLAN_START);
	cr_expect(strstr(plan.reason, "address already in use"));
}
