/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The noun "usage": what environments held of hosts, summed up over a time. */

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "schedctl/command.h"
#include "schedctl/show.h"
#include "schedctl/text.h"

#define COLLECTION "/v1/usage"

static const struct table_column columns[] = {
	{ .title = "ENVIRONMENT" },
	{ .title = "CUSTOMER" },
	{ .title = "HOURS", .right = true },
	{ .title = "RUNNING", .right = true },
	{ .title = "CPU HOURS", .right = true },
	{ .title = "GIB HOURS", .right = true },
	{ .title = "GPU HOURS", .right = true },
	{ .title = "ID", .wide_only = true },
};

static void add_hours(struct table *table, const json_t *item, const char *field)
{
	table_cellf(table, "%.2f", json_number_value(json_object_get(item, field)) / 3600);
}

static void add_row(struct table *table, json_t *item)
{
	table_cell(table, STYLE_PLAIN, text_field(item, "name"));
	table_cell(table, STYLE_PLAIN, text_field(item, "customer"));
	add_hours(table, item, "seconds");
	add_hours(table, item, "running_seconds");
	add_hours(table, item, "cpu_core_seconds");
	add_hours(table, item, "memory_gib_seconds");
	add_hours(table, item, "gpu_seconds");
	table_cell(table, STYLE_PLAIN, text_field(item, "id"));
}

static const struct output_list list = {
	.columns = columns, .n_columns = ARRAY_SIZE(columns), .name_key = "id", .row = add_row
};

/* Names and times need no encoding but for what would end them. */
static int add_parameter(const struct args *args, const char *name, char path[CLIENT_PATH_MAX],
			 struct error *err)
{
	const char *value = args_text(args, name);
	size_t length = strlen(path);

	if (!value)
		return 0;
	if (!*value || strspn(value, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
				     "0123456789:.-") != strlen(value))
		return error_set(err, -EINVAL, "usage", name,
				 "--%s \"%s\" is not of letters, digits and : . -", name, value);
	if (snprintf(path + length, CLIENT_PATH_MAX - length, "&%s=%s", name, value) >=
	    (int)(CLIENT_PATH_MAX - length))
		return error_set(err, -EINVAL, "usage", name, "--%s is too long", name);
	return 0;
}

static int add_page(json_t *all, const json_t *page)
{
	json_t *items = json_object_get(all, "items");

	if (json_array_extend(items, json_object_get(page, "items")) < 0 ||
	    json_object_set(all, "next", json_object_get(page, "next")) < 0)
		return -EPROTO;
	return 0;
}

static int fetch(struct context *context, const char *query, json_t **ret, struct error *err)
{
	_cleanup_json_ json_t *all = NULL;
	int r = client_call(context->client, "GET", query, NULL, &all, err);

	while (r == 0 && *text_field(all, "next")) {
		_cleanup_json_ json_t *page = NULL;
		_cleanup_free_ char *path =
			text_format("%s&after=%s", query, text_field(all, "next"));

		r = path ? client_call(context->client, "GET", path, NULL, &page, err) : -ENOMEM;
		if (r == 0 && add_page(all, page) < 0)
			r = error_set(err, -EPROTO, "protocol", "items",
				      "a page of the list has no items");
	}
	if (r == 0)
		*ret = TAKE_PTR(all);
	return r;
}

static int run_show(struct context *context, const struct args *args, struct error *err)
{
	static const char *const names[] = { "customer", "since", "until", "by" };
	_cleanup_json_ json_t *answer = NULL;
	char path[CLIENT_PATH_MAX] = COLLECTION "?limit=1000";
	int r = 0;

	for (size_t i = 0; i < ARRAY_SIZE(names) && r == 0; i++)
		r = add_parameter(args, names[i], path, err);
	if (r == 0)
		r = fetch(context, path, &answer, err);
	if (r < 0)
		return r;
	if (context->output.format == OUTPUT_TABLE || context->output.format == OUTPUT_WIDE)
		note("%s to %s", text_field(answer, "since"), text_field(answer, "until"));
	return output_list(&context->output, &list, answer, err);
}

static const struct args_option options[] = {
	{ .name = "customer", .argument = "NAME", .help = "only of what is this customer's" },
	{ .name = "since",
	  .argument = "TIME",
	  .help = "from when, as 2027-01-01T00:00:00Z (default: the first of this month, UTC)" },
	{ .name = "until", .argument = "TIME", .help = "until when (default: now)" },
	{ .name = "by",
	  .argument = "WHAT",
	  .help = "a line for each environment (default) or for each customer" },
};

static const struct args_table table = { options, ARRAY_SIZE(options) };

static const struct command commands[] = {
	{ .verb = "show",
	  .summary = "Show what environments held over a time, in hours",
	  .options = &table,
	  .sides = SIDE_SCHEDD,
	  .run = run_show },
};

const struct noun noun_usage = {
	.name = "usage",
	.summary = "Usage: what is billed",
	.commands = commands,
	.n_commands = ARRAY_SIZE(commands),
};
