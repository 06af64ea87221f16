/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The noun "ban": sources that one gateway lets open no connections to its ports. */

#include <errno.h>
#include <inttypes.h>

#include "lib/clock.h"
#include "proto/mapping.h"
#include "schedctl/command.h"
#include "schedctl/show.h"
#include "schedctl/text.h"

#define COLLECTION "/v1/bans"

static const struct table_column columns[] = {
	{ .title = "SOURCE" },
	{ .title = "EXPIRES" },
	{ .title = "REFUSED", .right = true },
	{ .title = "REASON" },
};

static void add_row(struct table *table, json_t *item)
{
	table_cell(table, STYLE_PLAIN, text_field(item, "source"));
	table_cell(table, STYLE_PLAIN, text_field(item, "expires_at"));
	table_cellf(table, "%" PRIu64, number_field(item, "refused"));
	table_cell(table, STYLE_PLAIN, text_field(item, "reason"));
}

static const struct output_list list = {
	.columns = columns, .n_columns = ARRAY_SIZE(columns), .name_key = "source", .row = add_row
};

static int run_list(struct context *context, const struct args *args, struct error *err)
{
	_cleanup_json_ json_t *answer = NULL;
	int r = client_call(context->client, "GET", COLLECTION, NULL, &answer, err);

	return r < 0 ? r : output_list(&context->output, &list, answer, err);
}

static int check_source(const char *text, struct error *err)
{
	struct prefix prefix;

	if (prefix_parse(text, &prefix) == 0)
		return 0;
	return error_set(err, -EINVAL, "usage", "source",
			 "source \"%s\" is neither an address nor a network such as "
			 "198.51.100.0/24",
			 text);
}

static int set_expiry(json_t *body, const char *text, struct error *err)
{
	uint64_t ms;

	if (duration_parse(text, &ms) < 0 || ms < 1000)
		return error_set(err, -EINVAL, "usage", "for",
				 "--for \"%s\" is not a duration like 10m or 12h", text);
	return json_object_set_new(body, "expires_at",
				   json_time(clock_unix_seconds() + (int64_t)(ms / 1000))) < 0
		       ? -ENOMEM
		       : 0;
}

static int run_add(struct context *context, const struct args *args, struct error *err)
{
	const char *source = args->positional[0], *lasts = args_text(args, "for");
	_cleanup_json_ json_t *body =
		json_pack("{s:s, s:s*}", "source", source, "reason", args_text(args, "reason"));
	_cleanup_json_ json_t *answer = NULL;
	int r;

	if (!body)
		return error_set(err, -EINVAL, "usage", "reason", "--reason is not UTF-8");
	r = check_source(source, err);
	if (r == 0 && lasts)
		r = set_expiry(body, lasts, err);
	if (r == 0)
		r = client_call(context->client, "PUT", COLLECTION, body, &answer, err);
	if (r == 0)
		r = output_done(&context->output, answer, source, "%s is banned%s%s", source,
				lasts ? " for " : "", lasts ? lasts : "");
	return r;
}

static int run_remove(struct context *context, const struct args *args, struct error *err)
{
	const char *source = args->positional[0];
	_cleanup_json_ json_t *answer = NULL;
	char path[CLIENT_PATH_MAX];
	int r;

	r = check_source(source, err);
	if (r == 0)
		r = client_path(path, COLLECTION, source, NULL, err);
	if (r == 0)
		r = client_call(context->client, "DELETE", path, NULL, &answer, err);
	if (r == 0)
		r = output_done(&context->output, answer, source, "%s is not banned any more",
				source);
	return r;
}

static const struct args_option add_options[] = {
	{ .name = "for", .argument = "DURATION", .help = "10m, 12h, 7d; default: until removed" },
	{ .name = "reason", .argument = "TEXT", .help = "why, shown in the list" },
};

static const struct args_table add_table = { add_options, ARRAY_SIZE(add_options) };

static const struct command commands[] = {
	{ .verb = "list",
	  .summary = "List banned sources, and how many packets of theirs were refused",
	  .sides = SIDE_GATEWAY,
	  .run = run_list },
	{ .verb = "add",
	  .arguments = "SOURCE",
	  .summary = "Ban an address or a network from opening connections to mapped ports",
	  .options = &add_table,
	  .min_arguments = 1,
	  .max_arguments = 1,
	  .sides = SIDE_GATEWAY,
	  .run = run_add },
	{ .verb = "remove",
	  .arguments = "SOURCE",
	  .summary = "End all bans of an address or a network, and of what lies within it",
	  .min_arguments = 1,
	  .max_arguments = 1,
	  .sides = SIDE_GATEWAY,
	  .run = run_remove },
};

const struct noun noun_ban = {
	.name = "ban",
	.summary = "Sources that a gateway refuses",
	.commands = commands,
	.n_commands = ARRAY_SIZE(commands),
};
