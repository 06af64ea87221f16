/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The noun "session": live connections through one gateway, listed and ended. */

#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "proto/mapping.h"
#include "schedctl/command.h"
#include "schedctl/quantity.h"
#include "schedctl/show.h"
#include "schedctl/text.h"

#define COLLECTION "/v1/sessions"
#define PAGE_SIZE "1000"

static const struct table_column columns[] = {
	{ .title = "ID" },
	{ .title = "SOURCE" },
	{ .title = "PORT" },
	{ .title = "TARGET" },
	{ .title = "ENVIRONMENT" },
	{ .title = "STATE" },
	{ .title = "AGE", .right = true },
	{ .title = "IN", .right = true },
	{ .title = "OUT", .right = true },
	{ .title = "SERVICE", .wide_only = true },
	{ .title = "PACKETS IN", .right = true, .wide_only = true },
	{ .title = "PACKETS OUT", .right = true, .wide_only = true },
};

static enum table_style state_style(const json_t *session)
{
	const char *state = text_field(session, "state");

	if (json_is_true(json_object_get(session, "draining")))
		return STYLE_PENDING;
	return strcmp(state, "established") == 0 || strcmp(state, "assured") == 0 ? STYLE_GOOD
										  : STYLE_PLAIN;
}

static void add_row(struct table *table, json_t *session)
{
	_cleanup_free_ char *port = show_port_text(session);
	char text[QUANTITY_STRING_MAX];

	table_cell(table, STYLE_PLAIN, text_field(session, "id"));
	show_endpoint_cell(table, json_object_get(session, "source"));
	table_cell(table, STYLE_PLAIN, port);
	show_endpoint_cell(table, json_object_get(session, "target"));
	table_cell(table, STYLE_PLAIN, text_field(session, "environment"));
	table_cell(table, state_style(session), text_field(session, "state"));
	table_cell(table, STYLE_PLAIN,
		   age_format((int64_t)number_field(session, "age_seconds"), text));
	table_cell(table, STYLE_PLAIN, memory_format(number_field(session, "bytes_in"), text));
	table_cell(table, STYLE_PLAIN, memory_format(number_field(session, "bytes_out"), text));
	table_cell(table, STYLE_PLAIN, text_field(session, "service"));
	table_cellf(table, "%" PRIu64, number_field(session, "packets_in"));
	table_cellf(table, "%" PRIu64, number_field(session, "packets_out"));
}

static bool is_name(const char *text)
{
	return *text && text[strspn(text, "abcdefghijklmnopqrstuvwxyz0123456789-")] == '\0' &&
	       strlen(text) <= MAPPING_NAME_MAX;
}

/* The query without cursor. What goes into it needs no encoding once it is checked. */
static int make_query(const struct args *args, char query[CLIENT_PATH_MAX], struct error *err)
{
	const char *port = args_text(args, "port"), *source = args_text(args, "source"),
		   *environment = args_text(args, "environment");
	struct prefix prefix;
	uint16_t number;

	if (port && port_parse(port, &number) < 0)
		return error_set(err, -EINVAL, "usage", "port", "--port \"%s\" is not in 1…65535",
				 port);
	if (source && prefix_parse(source, &prefix) < 0)
		return error_set(err, -EINVAL, "usage", "source",
				 "--source \"%s\" is neither an address nor a prefix like "
				 "198.51.100.0/24",
				 source);
	if (environment && !is_name(environment))
		return error_set(err, -EINVAL, "usage", "environment",
				 "--environment \"%s\" is no name of an environment", environment);
	(void)snprintf(query, CLIENT_PATH_MAX, "limit=" PAGE_SIZE "%s%s%s%s%s%s",
		       port ? "&port=" : "", port ? port : "", source ? "&source=" : "",
		       source ? source : "", environment ? "&environment=" : "",
		       environment ? environment : "");
	return 0;
}

/* Appends one page to items; *cursor is what follows it, "" at the end. */
static int fetch_page(struct context *context, const char *query, char cursor[32], json_t *items,
		      struct error *err)
{
	_cleanup_json_ json_t *answer = NULL;
	char path[CLIENT_PATH_MAX];
	int n, r;

	n = snprintf(path, sizeof(path), COLLECTION "?%s%s%s", query, *cursor ? "&cursor=" : "",
		     cursor);
	if (n < 0 || (size_t)n >= sizeof(path))
		return error_set(err, -EINVAL, "usage", NULL, "the options are too long");
	r = client_call(context->client, "GET", path, NULL, &answer, err);
	if (r < 0)
		return r;
	if (!json_is_array(json_object_get(answer, "items")))
		return error_set(err, -EPROTO, "protocol", "items",
				 "the answer has no list of items; is that server a newer one?");
	(void)snprintf(cursor, 32, "%s", text_field(answer, "next_cursor"));
	return json_array_extend(items, json_object_get(answer, "items")) < 0 ? -ENOMEM : 0;
}

static int run_list(struct context *context, const struct args *args, struct error *err)
{
	static const struct output_list list = { .columns = columns,
						 .n_columns = ARRAY_SIZE(columns),
						 .name_key = "id",
						 .row = add_row };
	_cleanup_json_ json_t *answer = json_pack("{s:[]}", "items");
	char query[CLIENT_PATH_MAX], cursor[32] = "";
	int r;

	if (!answer)
		return -ENOMEM;
	r = make_query(args, query, err);
	do {
		if (r == 0)
			r = fetch_page(context, query, cursor, json_object_get(answer, "items"),
				       err);
		if (r < 0)
			return r;
	} while (*cursor);
	return output_list(&context->output, &list, answer, err);
}

static int run_end(struct context *context, const struct args *args, struct error *err)
{
	for (size_t i = 0; i < args->n_positional; i++) {
		_cleanup_json_ json_t *answer = NULL;
		const char *id = args->positional[i];
		char path[CLIENT_PATH_MAX];
		int r;

		r = client_path(path, COLLECTION, id, NULL, err);
		if (r == 0)
			r = client_call(context->client, "DELETE", path, NULL, &answer, err);
		if (r == 0)
			r = output_done(&context->output, answer, id, "session %s is ended", id);
		if (r < 0)
			return r;
	}
	return 0;
}

static const struct args_option list_options[] = {
	{ .name = "port", .argument = "PORT", .help = "only of this public port" },
	{ .name = "environment", .argument = "ENV", .help = "only of this environment" },
	{ .name = "source",
	  .argument = "ADDRESS|PREFIX",
	  .help = "only from this client, or from these" },
};

static const struct args_table list_table = { list_options, ARRAY_SIZE(list_options) };

static const struct command commands[] = {
	{ .verb = "list",
	  .summary = "List live connections through one gateway: who, where to, how much",
	  .options = &list_table,
	  .sides = SIDE_GATEWAY,
	  .run = run_list },
	{ .verb = "end",
	  .arguments = "ID…",
	  .summary = "End connections by the ids that session list shows",
	  .min_arguments = 1,
	  .max_arguments = SIZE_MAX,
	  .sides = SIDE_GATEWAY,
	  .run = run_end },
};

const struct noun noun_session = {
	.name = "session",
	.summary = "Live connections through one gateway",
	.commands = commands,
	.n_commands = ARRAY_SIZE(commands),
};
