/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The noun "gateway": gateways listed, shown and removed as schedd knows them. */

#include <inttypes.h>
#include <string.h>

#include "schedctl/command.h"
#include "schedctl/show.h"
#include "schedctl/text.h"

#define COLLECTION "/v1/gateways"

static const struct table_column columns[] = {
	{ .title = "NAME" },
	{ .title = "STATUS" },
	{ .title = "ADDRESSES" },
	{ .title = "MAPPINGS", .right = true },
	{ .title = "FAILED", .right = true },
	{ .title = "BEHIND", .right = true },
	{ .title = "SEEN", .right = true },
	{ .title = "REVISION", .right = true, .wide_only = true },
	{ .title = "VERSION", .wide_only = true },
};

static enum table_style status_style(const char *status)
{
	return strcmp(status, "online") == 0 ? STYLE_GOOD : STYLE_BAD;
}

/* Revisions that are asked for and not yet in the kernel. */
static uint64_t behind(const json_t *gateway)
{
	uint64_t desired = number_field(gateway, "desired_revision");
	uint64_t applied = number_field(gateway, "revision");

	return desired > applied ? desired - applied : 0;
}

static char *join_addresses(const json_t *gateway)
{
	char *joined = strdup("");
	json_t *address;
	size_t i;

	json_array_foreach (json_object_get(gateway, "addresses"), i, address) {
		_cleanup_free_ char *before = TAKE_PTR(joined);

		if (!before)
			break;
		joined = text_format("%s%s%s", before, i > 0 ? "," : "",
				     json_is_string(address) ? json_string_value(address) : "?");
	}
	return joined;
}

static void add_row(struct table *table, json_t *gateway)
{
	_cleanup_free_ char *addresses = join_addresses(gateway);
	const char *status = text_field(gateway, "status");

	table_cell(table, STYLE_PLAIN, text_field(gateway, "id"));
	table_cell(table, status_style(status), status);
	table_cell(table, STYLE_PLAIN, addresses);
	table_cellf(table, "%" PRIu64, number_field(gateway, "mappings"));
	table_cellf(table, "%zu", json_array_size(json_object_get(gateway, "failed")));
	table_cellf(table, "%" PRIu64, behind(gateway));
	show_age_cell(table, text_field(gateway, "last_heartbeat"));
	table_cellf(table, "%" PRIu64, number_field(gateway, "revision"));
	table_cell(table, STYLE_PLAIN, text_field(gateway, "version"));
}

static const struct output_list list = {
	.columns = columns, .n_columns = ARRAY_SIZE(columns), .name_key = "id", .row = add_row
};

static int run_list(struct context *context, const struct args *args, struct error *err)
{
	return show_list(context, COLLECTION, &list, err);
}

static void add_failures(struct table *table, const json_t *gateway)
{
	json_t *failure;
	size_t i;

	json_array_foreach (json_object_get(gateway, "failed"), i, failure) {
		table_cellf(table, "Failed:");
		table_cellf(table, "%s:%" PRIu64 "/%s: %s", text_field(failure, "address"),
			    number_field(failure, "port"), text_field(failure, "protocol"),
			    text_field(failure, "reason"));
	}
}

static int print_details(const struct output *output, json_t *gateway)
{
	_cleanup_(cleanup_table) struct table *table = NULL;
	_cleanup_free_ char *addresses = join_addresses(gateway);
	const char *status = text_field(gateway, "status");
	int r;

	r = show_new(&table);
	if (r < 0)
		return r;
	show_text(table, "Name", text_field(gateway, "id"));
	table_cell(table, STYLE_PLAIN, "Status:");
	table_cell(table, status_style(status), status);
	show_text(table, "Addresses", addresses);
	table_cell(table, STYLE_PLAIN, "Mappings:");
	table_cellf(table, "%" PRIu64, number_field(gateway, "mappings"));
	table_cell(table, STYLE_PLAIN, "Revision:");
	if (behind(gateway) > 0)
		table_cellf(table, "%" PRIu64 " applied, %" PRIu64 " asked for",
			    number_field(gateway, "revision"),
			    number_field(gateway, "desired_revision"));
	else
		table_cellf(table, "%" PRIu64 ", with all that is asked for",
			    number_field(gateway, "revision"));
	add_failures(table, gateway);
	show_time(table, "Last heartbeat", text_field(gateway, "last_heartbeat"));
	show_optional(table, "Version", text_field(gateway, "version"));
	return output_table(output, table);
}

static int run_show(struct context *context, const struct args *args, struct error *err)
{
	return show_one(context, COLLECTION, args->positional[0], "id", print_details, err);
}

static int run_delete(struct context *context, const struct args *args, struct error *err)
{
	_cleanup_json_ json_t *answer = NULL;
	const char *name = args->positional[0];
	char path[CLIENT_PATH_MAX];
	int r = client_action_path(path, COLLECTION, name,
				   args_flag(args, "force") ? "?force=1" : "", err);

	if (r == 0)
		r = client_call(context->client, "DELETE", path, NULL, &answer, err);
	if (r == 0)
		r = output_done(&context->output, answer, name,
				"gateway %s is removed, and its tokens are revoked", name);
	return r;
}

static const struct args_option delete_options[] = {
	{ .name = "force",
	  .help = "also where it may lead ports somewhere, if its machine is off and never returns" },
};

static const struct args_table delete_table = { delete_options, ARRAY_SIZE(delete_options) };

static const struct command commands[] = {
	{ .verb = "list", .summary = "List gateways", .sides = SIDE_SCHEDD, .run = run_list },
	{ .verb = "show",
	  .arguments = "GATEWAY",
	  .summary = "Show one gateway, with the mappings that it could not apply",
	  .min_arguments = 1,
	  .max_arguments = 1,
	  .sides = SIDE_SCHEDD,
	  .run = run_show },
	{ .verb = "delete",
	  .arguments = "GATEWAY",
	  .summary = "Remove a gateway and revoke its tokens",
	  .options = &delete_table,
	  .min_arguments = 1,
	  .max_arguments = 1,
	  .sides = SIDE_SCHEDD,
	  .run = run_delete },
};

const struct noun noun_gateway = {
	.name = "gateway",
	.summary = "Gateways: machines whose public ports lead to environments",
	.commands = commands,
	.n_commands = ARRAY_SIZE(commands),
};
