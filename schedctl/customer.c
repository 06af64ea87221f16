/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The noun "customer": who owns environments. */

#include <errno.h>

#include "schedctl/command.h"
#include "schedctl/show.h"
#include "schedctl/text.h"

#define COLLECTION "/v1/customers"

static const struct table_column columns[] = {
	{ .title = "NAME" },
	{ .title = "AGE", .right = true },
};

static void add_row(struct table *table, json_t *customer)
{
	table_cell(table, STYLE_PLAIN, text_field(customer, "id"));
	show_age_cell(table, text_field(customer, "created_at"));
}

static const struct output_list list = {
	.columns = columns, .n_columns = ARRAY_SIZE(columns), .name_key = "id", .row = add_row
};

static int run_list(struct context *context, const struct args *args, struct error *err)
{
	return show_list(context, COLLECTION, &list, err);
}

static int run_create(struct context *context, const struct args *args, struct error *err)
{
	_cleanup_json_ json_t *body = json_pack("{s:s}", "name", args->positional[0]);
	_cleanup_json_ json_t *customer = NULL;
	int r;

	if (!body)
		return error_set(err, -EINVAL, "usage", NULL, "the name is not UTF-8");
	r = client_call(context->client, "POST", COLLECTION, body, &customer, err);
	if (r < 0)
		return r;
	if (context->output.format == OUTPUT_JSON)
		return output_json(customer, false);
	return output_line(text_field(customer, "id"));
}

static int run_delete(struct context *context, const struct args *args, struct error *err)
{
	_cleanup_json_ json_t *answer = NULL;
	const char *name = args->positional[0];
	char path[CLIENT_PATH_MAX];
	int r = client_path(path, COLLECTION, name, NULL, err);

	if (r == 0)
		r = client_call(context->client, "DELETE", path, NULL, &answer, err);
	if (r == 0)
		r = output_done(&context->output, answer, name,
				"customer %s is deleted, and its tokens with it", name);
	return r;
}

static const struct command commands[] = {
	{ .verb = "create",
	  .arguments = "NAME",
	  .summary = "Make a customer",
	  .min_arguments = 1,
	  .max_arguments = 1,
	  .sides = SIDE_SCHEDD,
	  .run = run_create },
	{ .verb = "list", .summary = "List customers", .sides = SIDE_SCHEDD, .run = run_list },
	{ .verb = "delete",
	  .arguments = "NAME",
	  .summary = "Delete a customer without environments, and its tokens",
	  .min_arguments = 1,
	  .max_arguments = 1,
	  .sides = SIDE_SCHEDD,
	  .run = run_delete },
};

const struct noun noun_customer = {
	.name = "customer",
	.summary = "Customers: who owns environments",
	.commands = commands,
	.n_commands = ARRAY_SIZE(commands),
};
