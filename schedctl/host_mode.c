/* SPDX-License-Identifier: GPL-2.0-or-later */
/* cordon, drain, maintenance, uncordon, set, delete; and with drain's --wait, how the host empties.
 */

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "lib/number.h"
#include "schedctl/env.h"
#include "schedctl/host_mode.h"
#include "schedctl/progress.h"
#include "schedctl/text.h"
#include "schedctl/wait.h"

/* ---- a host that empties ---- */

struct emptying {
	struct context *context;
	struct progress progress;
	const char *host;
	json_t *left;      /* its environments by id */
	json_t *told;      /* why each was there when that was told last, by id */
	char summary[400]; /* told last */
	bool empty;
};

#define REASONS_MAX 8 /* told at a time: others are told as these leave */

static bool can_move(json_t *environment)
{
	json_t *volumes = json_object_get(environment, "volumes"), *kind;
	const char *name;

	json_object_foreach (volumes, name, kind)
		if (!json_is_string(kind) || strcmp(json_string_value(kind), "shared") != 0)
			return false;
	return json_object_size(volumes) > 0;
}

/* "host1: 3 left, 1 moving; cannot move: alice, bob" */
static void describe(const struct emptying *emptying, char *buffer, size_t size)
{
	char names[256] = "";
	size_t moving = 0;
	const char *id;
	json_t *environment;

	json_object_foreach (emptying->left, id, environment) {
		size_t length = strlen(names);

		moving += strcmp(text_field(environment, "action"), "move") == 0;
		if (!can_move(environment))
			(void)snprintf(names + length, sizeof(names) - length, "%s%s",
				       length ? ", " : "", text_field(environment, "name"));
	}
	(void)snprintf(buffer, size, "%s: %zu left, %zu moving%s%s", emptying->host,
		       json_object_size(emptying->left), moving, *names ? "; cannot move: " : "",
		       names);
}

/* "host1: alice: waiting for …", where that is news. */
static void tell_reason(struct emptying *emptying, const char *id, const json_t *environment)
{
	const char *reason = text_field(environment, "reason");
	_cleanup_free_ char *line = NULL;

	if (strcmp(reason, text_field(emptying->told, id)) == 0)
		return;
	line = text_format("%s: %s: %s", emptying->host, text_field(environment, "name"), reason);
	if (!line || json_object_set_new(emptying->told, id, json_string(reason)) < 0)
		return;
	progress_note(&emptying->progress, line);
}

/* First of what is on its way, then of what waits for its turn or for room. What runs and cannot
 * move was named. */
static void tell_reasons(struct emptying *emptying)
{
	json_t *environment;
	const char *id;
	size_t n = 0;

	for (int running = 0; running <= 1; running++)
		json_object_foreach (emptying->left, id, environment) {
			bool runs = strcmp(text_field(environment, "phase"), "running") == 0;

			if (runs != running || (runs && !can_move(environment)) ||
			    !*text_field(environment, "reason") || n++ >= REASONS_MAX)
				continue;
			tell_reason(emptying, id, environment);
		}
}

static void tell(struct emptying *emptying)
{
	char line[sizeof(emptying->summary)];

	emptying->empty = json_object_size(emptying->left) == 0;
	describe(emptying, line, sizeof(line));
	if (strcmp(line, emptying->summary) != 0)
		progress_note(&emptying->progress, line);
	memcpy(emptying->summary, line, sizeof(line));
	tell_reasons(emptying);
	if (emptying->empty)
		client_stop(emptying->context->client);
}

static void see(struct emptying *emptying, json_t *environment)
{
	const char *id = text_field(environment, "id");

	if (strcmp(text_field(environment, "host"), emptying->host) == 0)
		(void)json_object_set(emptying->left, id, environment);
	else
		(void)json_object_del(emptying->left, id);
}

static void on_snapshot(void *userdata, uint64_t epoch, uint64_t revision, json_t *items)
{
	struct emptying *emptying = userdata;
	json_t *environment;
	size_t i;

	(void)json_object_clear(emptying->left);
	json_array_foreach (items, i, environment)
		see(emptying, environment);
	tell(emptying);
}

static void on_change(void *userdata, uint64_t epoch, uint64_t revision, json_t *put,
		      json_t *deleted)
{
	struct emptying *emptying = userdata;
	json_t *environment;
	size_t i;

	json_array_foreach (put, i, environment)
		see(emptying, environment);
	json_array_foreach (deleted, i, environment)
		(void)json_object_del(emptying->left, text_field(environment, "id"));
	tell(emptying);
}

static void on_lost(void *userdata, const char *reason)
{
	struct emptying *emptying = userdata;

	progress_note(&emptying->progress, reason);
}

static int wait_until_empty(struct context *context, const char *host, uint64_t timeout_ms,
			    struct error *err)
{
	static const struct watch_events events = { .on_snapshot = on_snapshot,
						    .on_change = on_change };
	_cleanup_json_ json_t *left = json_object(), *told = json_object();
	struct emptying emptying = { .context = context, .host = host, .left = left, .told = told };
	char line[sizeof(emptying.summary)];
	int r;

	if (!left || !told)
		return -ENOMEM;
	r = client_watch(context->client, ENV_COLLECTION "?watch=1", &events, on_lost, &emptying,
			 timeout_ms, err);
	progress_end(&emptying.progress);
	if (r == -ETIMEDOUT) {
		describe(&emptying, line, sizeof(line));
		r = error_set(err, r, "timeout", NULL,
			      "%s; it goes on without us, see schedctl host show %s", line, host);
	}
	return r;
}

/* ---- the verbs ---- */

struct change {
	const char *method; /* NULL: POST */
	const char *suffix, *done;
	json_t *body; /* borrowed; NULL: none */
	bool wait;
	uint64_t timeout_ms;
};

static int change_one(struct context *context, const struct change *change, const char *host,
		      struct error *err)
{
	_cleanup_json_ json_t *answer = NULL;
	char path[CLIENT_PATH_MAX];
	int r;

	r = client_action_path(path, HOST_COLLECTION, host, change->suffix, err);
	if (r == 0)
		r = client_call(context->client, change->method ? change->method : "POST", path,
				change->body, &answer, err);
	if (r == 0 && change->wait)
		r = wait_until_empty(context, host, change->timeout_ms, err);
	return r < 0 ? r : output_done(&context->output, answer, host, "%s %s", host, change->done);
}

/* Goes on after a failure; the first error decides. */
static int change_each(struct context *context, const struct args *args,
		       const struct change *change, struct error *err)
{
	int first = 0, r;

	for (size_t i = 0; i < args->n_positional; i++) {
		struct error detail = ERROR_INIT;

		r = change_one(context, change, args->positional[i], &detail);
		if (r < 0 && first < 0)
			note_error(error_text(&detail, r));
		else if (r < 0)
			first = error_set(err, r, "failed", NULL, "%s", error_text(&detail, r));
	}
	return first;
}

int host_cordon(struct context *context, const struct args *args, struct error *err)
{
	const struct change change = { .suffix = ":cordon", .done = "takes nothing new" };

	return change_each(context, args, &change, err);
}

int host_drain(struct context *context, const struct args *args, struct error *err)
{
	struct change change = { .suffix = ":drain", .wait = args_flag(args, "wait") };
	int r;

	change.done = change.wait ? "is empty" : "is being emptied";
	r = wait_timeout(args, &change.timeout_ms, err);
	return r < 0 ? r : change_each(context, args, &change, err);
}

int host_maintenance(struct context *context, const struct args *args, struct error *err)
{
	const struct change change = { .suffix = ":maintenance", .done = "is in maintenance" };

	return change_each(context, args, &change, err);
}

int host_uncordon(struct context *context, const struct args *args, struct error *err)
{
	const struct change change = { .suffix = ":uncordon", .done = "takes environments again" };

	return change_each(context, args, &change, err);
}

int host_set(struct context *context, const struct args *args, struct error *err)
{
	const char *percent = args_text(args, "cpu-overcommit");
	struct change change = { .method = "PATCH", .suffix = "", .done = "is set" };
	_cleanup_json_ json_t *body = NULL;
	uint64_t number = 0;

	if (!percent)
		return error_set(err, -EINVAL, "usage", "cpu-overcommit",
				 "say what to set: --cpu-overcommit PERCENT or default");
	if (strcmp(percent, "default") != 0 && number_parse(percent, &number, NULL) < 0)
		return error_set(err, -EINVAL, "usage", "cpu-overcommit",
				 "--cpu-overcommit \"%s\" is neither a number of percent nor "
				 "default",
				 percent);
	body = change.body = json_pack(
		"{s:o}", "cpu_overcommit_percent",
		strcmp(percent, "default") == 0 ? json_null() : json_integer((json_int_t)number));
	return body ? change_each(context, args, &change, err) : -ENOMEM;
}

int host_delete(struct context *context, const struct args *args, struct error *err)
{
	const struct change change = {
		.method = "DELETE",
		.suffix = args_flag(args, "force") ? "?force=1" : "",
		.done = "is removed, and its tokens are revoked",
	};

	return change_each(context, args, &change, err);
}

static const struct args_option delete_options[] = {
	{ .name = "force",
	  .help = "also where it has environments, if it is not heard of and never returns" },
};

const struct args_table host_delete_options = { delete_options, ARRAY_SIZE(delete_options) };

static const struct args_option set_options[] = {
	{ .name = "cpu-overcommit",
	  .argument = "PERCENT",
	  .help = "how much of its CPU environments may have, 100 to 1600; default: as configured" },
};

const struct args_table host_set_options = { set_options, ARRAY_SIZE(set_options) };

static const struct args_option drain_options[] = {
	{ .name = "wait", .help = "wait until it is empty, and show progress" },
	{ .name = "timeout",
	  .argument = "DURATION",
	  .help = "how long --wait waits, 0 for ever (default: 15m)" },
};

const struct args_table host_drain_options = { drain_options, ARRAY_SIZE(drain_options) };
