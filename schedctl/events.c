/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The noun "events": who did what, to what, and why, listed and followed. */

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "lib/number.h"
#include "schedctl/command.h"
#include "schedctl/show.h"
#include "schedctl/text.h"

#define LIMIT_DEFAULT 50
#define LIMIT_MAX 1000

static const struct table_column columns[] = {
	{ .title = "AT" },
	{ .title = "ACTOR" },
	{ .title = "ACTION" },
	{ .title = "SUBJECT" },
	{ .title = "MESSAGE" },
	{ .title = "ID", .right = true, .wide_only = true },
	{ .title = "REVISION", .right = true, .wide_only = true },
};

static void add_row(struct table *table, json_t *event)
{
	table_cell(table, STYLE_PLAIN, text_field(event, "at"));
	table_cell(table, STYLE_PLAIN, text_field(event, "actor"));
	table_cell(table, STYLE_PLAIN, text_field(event, "action"));
	table_cellf(table, "%s %s", text_field(event, "kind"), text_field(event, "subject"));
	table_cell(table, STYLE_PLAIN, text_field(event, "message"));
	table_cellf(table, "%" PRIu64, number_field(event, "id"));
	table_cellf(table, "%" PRIu64, number_field(event, "revision"));
}

/* An event has no field that names it, so that the list is given one for -o name. */
static int add_names(json_t *answer)
{
	json_t *event;
	size_t i;

	json_array_foreach (json_object_get(answer, "items"), i, event) {
		_cleanup_free_ char *text = text_format("%" PRIu64, number_field(event, "id"));

		if (!text || json_object_set_new(event, "name", json_string(text)) < 0)
			return -ENOMEM;
	}
	return 0;
}

static int print_list(const struct output *output, json_t *answer, struct error *err)
{
	static const struct output_list list = { .columns = columns,
						 .n_columns = ARRAY_SIZE(columns),
						 .name_key = "name",
						 .row = add_row };
	int r = output->format == OUTPUT_NAME ? add_names(answer) : 0;

	return r < 0 ? r : output_list(output, &list, answer, err);
}

/* One line as soon as it is known: columns cannot wait for what is still to come. */
static int print_line(const struct output *output, const json_t *event)
{
	_cleanup_free_ char *line = NULL;

	if (output->format == OUTPUT_JSON)
		return output_json(event, true);
	if (output->format == OUTPUT_NAME)
		line = text_format("%" PRIu64, number_field(event, "id"));
	else
		line = text_format("%s  %s  %s  %s %s  %s", text_field(event, "at"),
				   text_field(event, "actor"), text_field(event, "action"),
				   text_field(event, "kind"), text_field(event, "subject"),
				   text_field(event, "message"));
	return line ? output_line(line) : -ENOMEM;
}

/* ---- the query ---- */

/* Adds "&NAME=VALUE" of an option that was given. */
static int add_filter(const struct args *args, const char *name, char query[CLIENT_PATH_MAX],
		      struct error *err)
{
	const char *value = args_text(args, name);
	size_t length = strlen(query);
	int n;

	if (!value)
		return 0;
	if (!*value || strspn(value, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
				     "0123456789.:/_-") != strlen(value))
		return error_set(err, -EINVAL, "usage", name,
				 "--%s \"%s\" is not of letters, digits and . : / _ -", name,
				 value);
	n = snprintf(query + length, CLIENT_PATH_MAX - length, "&%s=%s", name, value);
	return (size_t)n < CLIENT_PATH_MAX - length
		       ? 0
		       : error_set(err, -EINVAL, "usage", name, "--%s is too long", name);
}

static int make_query(const struct args *args, char query[CLIENT_PATH_MAX], uint64_t *ret_limit,
		      struct error *err)
{
	static const char *const filters[] = { "kind", "subject", "actor", "action", "customer" };
	const char *limit = args_text(args, "limit");
	int r = 0;

	*ret_limit = LIMIT_DEFAULT;
	if (limit &&
	    (number_parse(limit, ret_limit, NULL) < 0 || *ret_limit < 1 || *ret_limit > LIMIT_MAX))
		return error_set(err, -EINVAL, "usage", "limit", "--limit \"%s\" is not in 1…%d",
				 limit, LIMIT_MAX);
	query[0] = '\0';
	for (size_t i = 0; i < ARRAY_SIZE(filters) && r == 0; i++)
		r = add_filter(args, filters[i], query, err);
	return r;
}

static int fetch(struct context *context, const char *query, uint64_t limit, json_t **ret,
		 struct error *err)
{
	char path[2 * CLIENT_PATH_MAX];

	(void)snprintf(path, sizeof(path), "/v1/events?limit=%" PRIu64 "%s", limit, query);
	return client_call(context->client, "GET", path, NULL, ret, err);
}

/* ---- running ---- */

struct following {
	struct context *context;
	const char *query;
	char path[2 * CLIENT_PATH_MAX]; /* where a stream begins that is opened now */
	int r;
};

/* Prints what has come. A stream that is lost goes on behind it. */
static void print_news(struct following *following, json_t *events)
{
	json_t *event;
	size_t i;

	json_array_foreach (events, i, event) {
		following->r = print_line(&following->context->output, event);
		if (following->r < 0)
			break;
		(void)snprintf(following->path, sizeof(following->path),
			       "/v1/events?watch=1&after=%" PRIu64 "%s", number_field(event, "id"),
			       following->query);
	}
	if (following->r == 0 && fflush(stdout) != 0)
		following->r = -EIO;
	if (following->r < 0)
		client_stop(following->context->client);
}

static void on_snapshot(void *userdata, uint64_t epoch, uint64_t revision, json_t *items)
{
	print_news(userdata, items);
}

static void on_change(void *userdata, uint64_t epoch, uint64_t revision, json_t *put,
		      json_t *deleted)
{
	print_news(userdata, put);
}

static void on_lost(void *userdata, const char *reason)
{
	note("%s; trying again", reason);
}

static int follow(struct context *context, const char *query, uint64_t limit, struct error *err)
{
	static const struct watch_events events = { .on_snapshot = on_snapshot,
						    .on_change = on_change,
						    .may_resume = true };
	struct following following = { .context = context, .query = query };
	int r;

	(void)snprintf(following.path, sizeof(following.path),
		       "/v1/events?watch=1&limit=%" PRIu64 "%s", limit, query);
	r = client_watch(context->client, following.path, &events, on_lost, &following, 0, err);
	return r < 0 ? r : following.r;
}

static int run_events(struct context *context, const struct args *args, struct error *err)
{
	_cleanup_json_ json_t *answer = NULL;
	char query[CLIENT_PATH_MAX];
	uint64_t limit;
	int r;

	r = make_query(args, query, &limit, err);
	if (r < 0)
		return r;
	if (args_flag(args, "follow"))
		return follow(context, query, limit, err);
	r = fetch(context, query, limit, &answer, err);
	return r < 0 ? r : print_list(&context->output, answer, err);
}

static const struct args_option options[] = {
	{ .name = "follow", .help = "go on with each further event, until interrupted" },
	{ .name = "limit", .argument = "N", .help = "the newest N (default: 50)" },
	{ .name = "kind",
	  .argument = "KIND",
	  .help = "only of environments, hosts, …: environment, host, gateway, port, token, "
		  "customer" },
	{ .name = "subject", .argument = "ID", .help = "only of this environment, host, …" },
	{ .name = "actor", .argument = "WHO", .help = "only what this one did" },
	{ .name = "action", .argument = "WHAT", .help = "only this" },
	{ .name = "customer", .argument = "NAME", .help = "only of what is this customer's" },
};

static const struct args_table table = { options, ARRAY_SIZE(options) };

static const struct command commands[] = {
	{ .verb = "",
	  .summary = "Show who did what, to what, and why; the newest last",
	  .options = &table,
	  .sides = SIDE_SCHEDD,
	  .run = run_events },
};

const struct noun noun_events = {
	.name = "events",
	.summary = "What happened",
	.commands = commands,
	.n_commands = ARRAY_SIZE(commands),
	.alone = true,
};
