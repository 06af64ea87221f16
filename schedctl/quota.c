/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The noun "quota": how much customers may have at once, and have. */

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "lib/number.h"
#include "schedctl/command.h"
#include "schedctl/quantity.h"
#include "schedctl/show.h"
#include "schedctl/text.h"

#define COLLECTION "/v1/quotas"

static int parse_count(const char *text, uint64_t *ret)
{
	return number_parse(text, ret, NULL);
}

static const char *format_count(uint64_t number, char buffer[QUANTITY_STRING_MAX])
{
	(void)snprintf(buffer, QUANTITY_STRING_MAX, "%" PRIu64, number);
	return buffer;
}

/* In the order of columns and lines. */
static const struct {
	const char *option, *field, *title;
	int (*parse)(const char *text, uint64_t *ret);
	const char *(*format)(uint64_t number, char buffer[QUANTITY_STRING_MAX]);
} limits[] = {
	{ "environments", "environments", "Environments", parse_count, format_count },
	{ "cpu", "cpu_milli", "CPU", cpu_parse, cpu_format },
	{ "memory", "memory_bytes", "Memory", memory_parse, memory_format },
	{ "gpu", "gpu", "GPUs", parse_count, format_count },
	{ "ports", "ports", "Ports", parse_count, format_count },
};

static const struct table_column columns[] = {
	{ .title = "CUSTOMER" },           { .title = "ENVS", .right = true },
	{ .title = "CPU", .right = true }, { .title = "MEMORY", .right = true },
	{ .title = "GPU", .right = true }, { .title = "PORTS", .right = true },
};

/* A use may have thousandths: of GPUs. */
static const char *used_text(const json_t *quota, size_t i, char buffer[QUANTITY_STRING_MAX])
{
	const json_t *value = json_object_get(json_object_get(quota, "used"), limits[i].field);

	if (!json_is_real(value))
		return limits[i].format((uint64_t)json_integer_value(value), buffer);
	(void)snprintf(buffer, QUANTITY_STRING_MAX, "%g", json_real_value(value));
	return buffer;
}

/* "3/10", or "3" where there is no limit. */
static void add_cell(struct table *table, const json_t *quota, size_t i)
{
	const json_t *limit = json_object_get(json_object_get(quota, "limits"), limits[i].field);
	char left[QUANTITY_STRING_MAX], right[QUANTITY_STRING_MAX];

	if (json_is_integer(limit))
		table_cellf(table, "%s/%s", used_text(quota, i, left),
			    limits[i].format((uint64_t)json_integer_value(limit), right));
	else
		table_cell(table, STYLE_PLAIN, used_text(quota, i, left));
}

static void add_row(struct table *table, json_t *quota)
{
	table_cell(table, STYLE_PLAIN, text_field(quota, "id"));
	for (size_t i = 0; i < ARRAY_SIZE(limits); i++)
		add_cell(table, quota, i);
}

static const struct output_list list = {
	.columns = columns, .n_columns = ARRAY_SIZE(columns), .name_key = "id", .row = add_row
};

static int run_list(struct context *context, const struct args *args, struct error *err)
{
	return show_list(context, COLLECTION, &list, err);
}

static int print_details(const struct output *output, json_t *quota)
{
	_cleanup_(cleanup_table) struct table *table = NULL;
	char left[QUANTITY_STRING_MAX], right[QUANTITY_STRING_MAX];
	int r = show_new(&table);

	if (r < 0)
		return r;
	show_text(table, "Customer", text_field(quota, "id"));
	for (size_t i = 0; i < ARRAY_SIZE(limits); i++) {
		const json_t *limit =
			json_object_get(json_object_get(quota, "limits"), limits[i].field);

		table_cellf(table, "%s:", limits[i].title);
		if (json_is_integer(limit))
			table_cellf(table, "%s of %s", used_text(quota, i, left),
				    limits[i].format((uint64_t)json_integer_value(limit), right));
		else
			table_cellf(table, "%s, no limit", used_text(quota, i, left));
	}
	return output_table(output, table);
}

static int run_show(struct context *context, const struct args *args, struct error *err)
{
	return show_one(context, COLLECTION, args->positional[0], "id", print_details, err);
}

/* ---- set ---- */

static int set_limit(json_t *body, const struct args *args, size_t i, bool *changed,
		     struct error *err)
{
	const char *text = args_text(args, limits[i].option);
	uint64_t number = 0;

	if (!text)
		return 0;
	*changed = true;
	if (strcmp(text, "none") == 0)
		return json_object_set_new(body, limits[i].field, json_null()) < 0 ? -ENOMEM : 0;
	if (limits[i].parse(text, &number) < 0 || number > INT64_MAX)
		return error_set(err, -EINVAL, "usage", limits[i].option,
				 "--%s \"%s\" is neither an amount nor none", limits[i].option,
				 text);
	return json_object_set_new(body, limits[i].field, json_integer((json_int_t)number)) < 0
		       ? -ENOMEM
		       : 0;
}

static int change_limits(json_t *body, const struct args *args, struct error *err)
{
	bool changed = false;
	int r = 0;

	for (size_t i = 0; i < ARRAY_SIZE(limits) && r == 0; i++)
		r = set_limit(body, args, i, &changed, err);
	if (r == 0 && !changed)
		r = error_set(err, -EINVAL, "usage", NULL,
			      "say which limit: --environments, --cpu, --memory, --gpu or --ports");
	return r;
}

/* The server takes all limits at once: what is not named stays as it is. */
static int run_set(struct context *context, const struct args *args, struct error *err)
{
	_cleanup_json_ json_t *quota = NULL, *answer = NULL, *nothing = json_object();
	const char *customer = args->positional[0];
	char path[CLIENT_PATH_MAX];
	int r = nothing ? change_limits(nothing, args, err) : -ENOMEM;

	if (r == 0)
		r = show_fetch(context, COLLECTION, customer, &quota, err);
	if (r == 0)
		r = client_path(path, COLLECTION, customer, NULL, err);
	if (r == 0)
		r = change_limits(json_object_get(quota, "limits"), args, err);
	if (r == 0)
		r = client_call(context->client, "PUT", path, json_object_get(quota, "limits"),
				&answer, err);
	if (r < 0)
		return r;
	switch (context->output.format) {
	case OUTPUT_JSON:
		return output_json(answer, false);
	case OUTPUT_NAME:
		return output_line(customer);
	case OUTPUT_TABLE:
	case OUTPUT_WIDE:
		return print_details(&context->output, answer);
	case OUTPUT_INVALID:
		break;
	}
	return -EINVAL;
}

static const struct args_option set_options[] = {
	{ .name = "environments", .argument = "N", .help = "environments; none: no limit" },
	{ .name = "cpu", .argument = "CORES", .help = "CPU cores of all of them: 64, 500m, none" },
	{ .name = "memory", .argument = "BYTES", .help = "memory of all of them: 256G, none" },
	{ .name = "gpu", .argument = "N", .help = "GPUs, in which shares count; none: no limit" },
	{ .name = "ports", .argument = "N", .help = "public ports; none: no limit" },
};

static const struct args_table set_table = { set_options, ARRAY_SIZE(set_options) };

static const struct command commands[] = {
	{ .verb = "list",
	  .summary = "List what customers have of what they may have",
	  .sides = SIDE_SCHEDD,
	  .run = run_list },
	{ .verb = "show",
	  .arguments = "CUSTOMER",
	  .summary = "Show what one customer has and may have",
	  .min_arguments = 1,
	  .max_arguments = 1,
	  .sides = SIDE_SCHEDD,
	  .run = run_show },
	{ .verb = "set",
	  .arguments = "CUSTOMER",
	  .summary = "Set how much a customer may have; what is not named stays",
	  .options = &set_table,
	  .min_arguments = 1,
	  .max_arguments = 1,
	  .sides = SIDE_SCHEDD,
	  .run = run_set },
};

const struct noun noun_quota = {
	.name = "quota",
	.summary = "Quotas: how much customers may have at once",
	.commands = commands,
	.n_commands = ARRAY_SIZE(commands),
};
