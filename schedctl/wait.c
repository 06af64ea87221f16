/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Waiting for an environment, along its watch stream. */

#include <errno.h>
#include <string.h>

#include "lib/clock.h"
#include "schedctl/progress.h"
#include "schedctl/text.h"
#include "schedctl/wait.h"

enum outcome {
	OUTCOME_OPEN,
	OUTCOME_REACHED,
	OUTCOME_MISSED,
};

struct waiter {
	struct context *context;
	struct progress progress;
	enum wait_goal goal;
	enum outcome outcome;
	json_t *last; /* owned */
};

int wait_timeout(const struct args *args, uint64_t *ret_ms, struct error *err)
{
	const char *text = args_text(args, "timeout");

	if (!text) {
		*ret_ms = WAIT_TIMEOUT_DEFAULT_MS;
		return 0;
	}
	if (duration_parse(text, ret_ms) < 0)
		return error_set(err, -EINVAL, "usage", "timeout",
				 "--timeout \"%s\" is not a duration like 90s, 10m or 2h", text);
	return 0;
}

static void finish(struct waiter *waiter, enum outcome outcome)
{
	if (waiter->outcome == OUTCOME_OPEN)
		waiter->outcome = outcome;
	client_stop(waiter->context->client);
}

static void see_gone(struct waiter *waiter)
{
	finish(waiter, waiter->goal == WAIT_GONE ? OUTCOME_REACHED : OUTCOME_MISSED);
}

static bool is(const json_t *environment, const char *key, const char *value)
{
	return strcmp(text_field(environment, key), value) == 0;
}

/* It ended by itself, or somebody else wants it stopped. One that was just told to start may still
 * be seen as stopped, for no reason. */
static bool runs_no_more(const json_t *environment)
{
	return is(environment, "phase", "failed") || is(environment, "power", "off") ||
	       (is(environment, "phase", "stopped") && *text_field(environment, "reason"));
}

/* What was asked for is done before the phase counts. */
static enum outcome outcome_of(enum wait_goal goal, const json_t *environment)
{
	if (is(environment, "phase", "deleting"))
		return goal == WAIT_GONE ? OUTCOME_OPEN : OUTCOME_MISSED;
	if (goal == WAIT_GONE || !is(environment, "action", ""))
		return OUTCOME_OPEN;
	if (goal == WAIT_STOPPED) {
		if (is(environment, "power", "on"))
			return OUTCOME_MISSED;
		return is(environment, "phase", "stopped") ? OUTCOME_REACHED : OUTCOME_OPEN;
	}
	if (is(environment, "phase", "running"))
		return OUTCOME_REACHED;
	return runs_no_more(environment) ? OUTCOME_MISSED : OUTCOME_OPEN;
}

static void see(struct waiter *waiter, json_t *environment)
{
	enum outcome outcome = outcome_of(waiter->goal, environment);

	json_decref(waiter->last);
	waiter->last = json_incref(environment);
	progress_show(&waiter->progress, environment);
	if (is(environment, "phase", "deleted"))
		see_gone(waiter);
	else if (outcome != OUTCOME_OPEN)
		finish(waiter, outcome);
}

static void on_snapshot(void *userdata, uint64_t epoch, uint64_t revision, json_t *items)
{
	struct waiter *waiter = userdata;

	if (json_array_size(items) == 0)
		see_gone(waiter);
	else
		see(waiter, json_array_get(items, 0));
}

static void on_change(void *userdata, uint64_t epoch, uint64_t revision, json_t *put,
		      json_t *deleted)
{
	struct waiter *waiter = userdata;
	json_t *environment;
	size_t i;

	json_array_foreach (put, i, environment)
		see(waiter, environment);
	if (json_array_size(deleted) > 0)
		see_gone(waiter);
}

static void on_lost(void *userdata, const char *reason)
{
	struct waiter *waiter = userdata;

	progress_note(&waiter->progress, reason);
}

/* Why the goal was not reached, with the next step. */
static int explain(const struct waiter *waiter, const char *name, int r, struct error *err)
{
	char phase[64] = "unknown";
	const char *reason = "";

	if (waiter->last) {
		(void)progress_phase(waiter->last, phase, sizeof(phase));
		reason = text_field(waiter->last, "reason");
	}
	if (r == -ETIMEDOUT)
		return error_set(
			err, r, "timeout", NULL,
			"%s is still %s%s%s; it goes on without us, see schedctl env show %s", name,
			phase, *reason ? ": " : "", reason, name);
	if (strcmp(phase, "failed") == 0)
		return error_set(err, -ECANCELED, "failed", NULL,
				 "%s failed: %s; schedctl env delete %s removes it", name,
				 *reason ? reason : "no reason was given", name);
	if (strcmp(phase, "deleting") == 0 || strcmp(phase, "deleted") == 0 || !waiter->last)
		return error_set(err, -ECANCELED, "deleted", NULL, "%s was deleted meanwhile",
				 name);
	return error_set(err, -ECANCELED, "failed", NULL, "%s is %s%s%s; schedctl env show %s",
			 name, phase, *reason ? ": " : "", reason, name);
}

int wait_for(struct context *context, const char *id, const char *name, enum wait_goal goal,
	     uint64_t timeout_ms, json_t **ret_last, struct error *err)
{
	static const struct watch_events events = { .on_snapshot = on_snapshot,
						    .on_change = on_change };
	struct waiter waiter = {
		.context = context,
		.progress = { .interactive = context->output.interactive },
		.goal = goal,
	};
	char path[CLIENT_PATH_MAX];
	int r;

	r = client_path(path, "/v1/environments", id, "watch=1", err);
	if (r == 0)
		r = client_watch(context->client, path, &events, on_lost, &waiter, timeout_ms, err);
	progress_end(&waiter.progress);
	/* Gone so completely that there is nothing left to follow. */
	if (r == -ENOENT && goal == WAIT_GONE) {
		if (err)
			*err = ERROR_INIT;
		r = 0;
	} else if (r == -ETIMEDOUT || (r == 0 && waiter.outcome == OUTCOME_MISSED)) {
		r = explain(&waiter, name, r, err);
	}
	if (ret_last)
		*ret_last = TAKE_PTR(waiter.last);
	json_decref(waiter.last);
	return r;
}
