/* SPDX-License-Identifier: GPL-2.0-or-later */
/* start, stop, restart, move, extend, delete. */

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "lib/clock.h"
#include "schedctl/env.h"
#include "schedctl/env_act.h"
#include "schedctl/text.h"
#include "schedctl/wait.h"

/* One verb, as asked for on this command line. */
struct act {
	const char *method, *suffix; /* "POST", ":start" */
	json_t *body;                /* borrowed; NULL for none */
	enum wait_goal goal;
	bool wait;
	uint64_t timeout_ms;
	const char *begun, *done; /* "is starting", "runs" */
};

/* The last known answer, in the form that was asked for. */
static int tell(const struct context *context, const struct act *act, const char *name,
		json_t *environment)
{
	switch (context->output.format) {
	case OUTPUT_JSON:
		return output_json(environment, false);
	case OUTPUT_NAME:
		return output_line(name);
	case OUTPUT_TABLE:
	case OUTPUT_WIDE:
		note("%s %s", name, act->wait ? act->done : act->begun);
		return 0;
	case OUTPUT_INVALID:
		break;
	}
	return -EINVAL;
}

/* What was stopped when it was told to move is stopped afterwards. */
static enum wait_goal goal_of(const struct act *act, const json_t *environment)
{
	bool off = strcmp(text_field(environment, "power"), "off") == 0;

	return act->goal == WAIT_RUNNING && off ? WAIT_STOPPED : act->goal;
}

static int act_on(struct context *context, const struct act *act, const char *name,
		  struct error *err)
{
	_cleanup_json_ json_t *before = NULL, *answer = NULL, *last = NULL;
	char path[CLIENT_PATH_MAX];
	const char *id;
	int r;

	/* By its id, since the name is free for another one as soon as this one is gone. */
	r = env_fetch(context, name, &before, err);
	if (r < 0)
		return r;
	id = text_field(before, "id");
	r = client_action_path(path, ENV_COLLECTION, *id ? id : name, act->suffix, err);
	if (r == 0)
		r = client_call(context->client, act->method, path, act->body, &answer, err);
	if (r == 0 && act->wait)
		r = wait_for(context, *id ? id : name, name, goal_of(act, answer), act->timeout_ms,
			     &last, err);
	if (r < 0)
		return r;
	return tell(context, act, text_field(before, "name"), last ? last : answer);
}

/* Goes on after a failure, so that one wrong name does not keep the others; the first error
 * decides. */
static int act_on_each(struct context *context, const struct args *args, struct act *act,
		       struct error *err)
{
	int first = 0, r;

	act->wait = args_flag(args, "wait");
	r = wait_timeout(args, &act->timeout_ms, err);
	if (r < 0)
		return r;
	for (size_t i = 0; i < args->n_positional; i++) {
		struct error detail = ERROR_INIT;

		r = act_on(context, act, args->positional[i], &detail);
		if (r < 0 && first < 0)
			note_error(error_text(&detail, r));
		else if (r < 0)
			first = error_set(err, r, "failed", NULL, "%s", error_text(&detail, r));
	}
	return first;
}

int env_start(struct context *context, const struct args *args, struct error *err)
{
	struct act act = { .method = "POST",
			   .suffix = ":start",
			   .goal = WAIT_RUNNING,
			   .begun = "is starting",
			   .done = "runs" };

	return act_on_each(context, args, &act, err);
}

int env_stop(struct context *context, const struct args *args, struct error *err)
{
	struct act act = { .method = "POST",
			   .suffix = ":stop",
			   .goal = WAIT_STOPPED,
			   .begun = "is being stopped",
			   .done = "is stopped" };

	return act_on_each(context, args, &act, err);
}

int env_restart(struct context *context, const struct args *args, struct error *err)
{
	struct act act = { .method = "POST",
			   .suffix = ":restart",
			   .goal = WAIT_RUNNING,
			   .begun = "is being restarted",
			   .done = "runs again" };

	return act_on_each(context, args, &act, err);
}

int env_delete(struct context *context, const struct args *args, struct error *err)
{
	struct act act = { .method = "DELETE",
			   .suffix = "",
			   .goal = WAIT_GONE,
			   .begun = "is being deleted",
			   .done = "is deleted" };

	return act_on_each(context, args, &act, err);
}

int env_move(struct context *context, const struct args *args, struct error *err)
{
	_cleanup_json_ json_t *body = json_object();
	const char *host = args_text(args, "to");
	struct act act = { .method = "POST",
			   .suffix = ":move",
			   .goal = WAIT_RUNNING,
			   .begun = "is moving",
			   .done = "has moved",
			   .body = body };

	if (!body)
		return -ENOMEM;
	if (host && json_object_set_new(body, "host", json_string(host)) < 0)
		return error_set(err, -EINVAL, "usage", "to", "--to \"%s\" is not UTF-8", host);
	return act_on_each(context, args, &act, err);
}

/* {"seconds"} or {"expires_at"}, whichever was asked for. */
static int extension(const struct args *args, json_t **ret, struct error *err)
{
	const char *by = args_text(args, "by"), *until = args_text(args, "until");
	bool never = args_flag(args, "never");
	uint64_t ms;
	int64_t at;

	if ((by != NULL) + (until != NULL) + never != 1)
		return error_set(err, -EINVAL, "usage", NULL,
				 "env extend needs one of --by, --until and --never");
	if (by && (duration_parse(by, &ms) < 0 || ms < 1000))
		return error_set(err, -EINVAL, "usage", "by",
				 "--by \"%s\" is not a duration like 90m, 2h or 7d", by);
	if (until && time_parse(until, &at) < 0)
		return error_set(err, -EINVAL, "usage", "until",
				 "--until \"%s\" is not a time like 2027-01-01T00:00:00Z", until);
	if (by)
		*ret = json_pack("{s:I}", "seconds", (json_int_t)(ms / 1000));
	else if (until)
		*ret = json_pack("{s:s}", "expires_at", until);
	else
		*ret = json_pack("{s:n}", "expires_at");
	return *ret ? 0 : -ENOMEM;
}

int env_extend(struct context *context, const struct args *args, struct error *err)
{
	_cleanup_json_ json_t *body = NULL;
	struct act act = { .method = "POST", .suffix = ":extend", .begun = "has a new deadline" };
	int r;

	r = extension(args, &body, err);
	if (r < 0)
		return r;
	act.body = body;
	return act_on_each(context, args, &act, err);
}

#define WAIT_OPTIONS                                                            \
	{ .name = "wait", .help = "wait until it is done, and show progress" }, \
	{                                                                       \
		.name = "timeout", .argument = "DURATION",                      \
		.help = "how long --wait waits, 0 for ever (default: 15m)"      \
	}

static const struct args_option wait_options[] = { WAIT_OPTIONS };
static const struct args_option move_options[] = {
	{ .name = "to", .argument = "HOST", .help = "the host to move to (default: any other)" },
	WAIT_OPTIONS,
};
static const struct args_option extend_options[] = {
	{ .name = "by", .argument = "DURATION", .help = "so much more time than is left" },
	{ .name = "until",
	  .argument = "TIME",
	  .help = "the new deadline, as 2027-01-01T00:00:00Z" },
	{ .name = "never", .help = "no deadline any more" },
};

const struct args_table env_wait_options = { wait_options, ARRAY_SIZE(wait_options) };
const struct args_table env_move_options = { move_options, ARRAY_SIZE(move_options) };
const struct args_table env_extend_options = { extend_options, ARRAY_SIZE(extend_options) };
