/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The command "top": which mappings of one gateway are busy now, drawn again and again on a
 * terminal, once elsewhere.
 */

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>

#include "lib/clock.h"
#include "lib/number.h"
#include "schedctl/command.h"
#include "schedctl/quantity.h"
#include "schedctl/show.h"
#include "schedctl/text.h"

#define LIMIT_DEFAULT 20
#define LIMIT_MAX 1000
#define INTERVAL_DEFAULT_MS 2000
#define INTERVAL_MIN_MS 100
/* Lines of a screen that are no mapping: the sums, an empty one, the titles, and one to spare. */
#define OTHER_LINES 4
/* The cursor to the upper left corner; what is behind the end of a line, or below, goes away. */
#define HOME "\033[H"
#define CLEAR_BELOW "\033[J"

static const struct table_column columns[] = {
	{ .title = "PORT" },
	{ .title = "TARGET" },
	{ .title = "ENVIRONMENT" },
	{ .title = "IN/S", .right = true },
	{ .title = "OUT/S", .right = true },
	{ .title = "NEW/S", .right = true },
	{ .title = "CONNECTIONS", .right = true },
	{ .title = "IN", .right = true },
	{ .title = "OUT", .right = true },
	{ .title = "SERVICE", .wide_only = true },
};

struct top {
	const char *by;
	uint64_t limit; /* 0: what the screen has room for */
	uint64_t interval_ms;
};

static double rate(const json_t *object, const char *field)
{
	return json_number_value(json_object_get(object, field));
}

static const char *rate_text(const json_t *object, const char *field,
			     char buffer[QUANTITY_STRING_MAX])
{
	return memory_format((uint64_t)(rate(object, field) + 0.5), buffer);
}

static void add_row(struct table *table, json_t *item)
{
	_cleanup_free_ char *port = show_port_text(item);
	char text[QUANTITY_STRING_MAX];
	bool busy = rate(item, "bytes_in_per_second") + rate(item, "bytes_out_per_second") >= 1;
	enum table_style style = busy ? STYLE_GOOD : STYLE_PLAIN;

	table_cell(table, style, port);
	show_endpoint_cell(table, json_object_get(item, "target"));
	table_cell(table, STYLE_PLAIN, text_field(item, "environment"));
	table_cell(table, STYLE_PLAIN, rate_text(item, "bytes_in_per_second", text));
	table_cell(table, STYLE_PLAIN, rate_text(item, "bytes_out_per_second", text));
	table_cellf(table, "%.1f", rate(item, "connections_per_second"));
	table_cellf(table, "%" PRIu64, number_field(item, "connections"));
	table_cell(table, STYLE_PLAIN, memory_format(number_field(item, "bytes_in"), text));
	table_cell(table, STYLE_PLAIN, memory_format(number_field(item, "bytes_out"), text));
	table_cell(table, STYLE_PLAIN, text_field(item, "service"));
}

static int print_sums(const json_t *answer)
{
	char in[QUANTITY_STRING_MAX], out[QUANTITY_STRING_MAX];
	int n;

	n = printf("sessions %" PRIu64 "   in %s/s   out %s/s   new %.1f/s   conntrack %" PRIu64
		   " of %" PRIu64 "\n\n",
		   number_field(answer, "sessions"), rate_text(answer, "bytes_in_per_second", in),
		   rate_text(answer, "bytes_out_per_second", out),
		   rate(answer, "connections_per_second"),
		   number_field(answer, "conntrack_entries"),
		   number_field(answer, "conntrack_limit"));
	return n < 0 ? -EIO : 0;
}

static int print(const struct output *output, json_t *answer, struct error *err)
{
	static const struct output_list list = { .columns = columns,
						 .n_columns = ARRAY_SIZE(columns),
						 .name_key = "name",
						 .row = add_row };
	int r = 0;

	if (output->format == OUTPUT_NAME)
		r = show_name_ports(answer);
	else if (output->format != OUTPUT_JSON)
		r = print_sums(answer);
	return r < 0 ? r : output_list(output, &list, answer, err);
}

/* Mappings that the screen has room for. */
static uint64_t screen_limit(void)
{
	struct winsize size;

	if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) < 0 || size.ws_row <= OTHER_LINES)
		return LIMIT_DEFAULT;
	return MIN((uint64_t)size.ws_row - OTHER_LINES, (uint64_t)LIMIT_MAX);
}

static int show(struct context *context, const struct top *top, bool redraw, struct error *err)
{
	_cleanup_json_ json_t *answer = NULL;
	uint64_t limit = top->limit > 0 ? top->limit : redraw ? screen_limit() : LIMIT_DEFAULT;
	char path[CLIENT_PATH_MAX];
	int r;

	(void)snprintf(path, sizeof(path), "/v1/top?limit=%" PRIu64 "&by=%s", limit, top->by);
	r = client_call(context->client, "GET", path, NULL, &answer, err);
	if (r < 0)
		return r;
	if (redraw)
		(void)fputs(HOME CLEAR_BELOW, stdout);
	r = print(&context->output, answer, err);
	return r == 0 && fflush(stdout) != 0 ? -EIO : r;
}

static bool can_redraw(const struct output *output)
{
	const char *term = getenv("TERM");

	return (output->format == OUTPUT_TABLE || output->format == OUTPUT_WIDE) &&
	       isatty(STDOUT_FILENO) && term && strcmp(term, "dumb") != 0;
}

static int read_options(const struct args *args, struct top *ret, struct error *err)
{
	const char *by = args_text(args, "by"), *limit = args_text(args, "limit"),
		   *interval = args_text(args, "interval");
	struct top top = { .by = by ? by : "bytes", .interval_ms = INTERVAL_DEFAULT_MS };

	if (by && strcmp(by, "bytes") != 0 && strcmp(by, "connections") != 0)
		return error_set(err, -EINVAL, "usage", "by",
				 "--by \"%s\" is neither bytes nor connections", by);
	if (limit &&
	    (number_parse(limit, &top.limit, NULL) < 0 || top.limit == 0 || top.limit > LIMIT_MAX))
		return error_set(err, -EINVAL, "usage", "limit", "--limit \"%s\" is not in 1…%d",
				 limit, LIMIT_MAX);
	if (interval &&
	    (duration_parse(interval, &top.interval_ms) < 0 || top.interval_ms < INTERVAL_MIN_MS))
		return error_set(err, -EINVAL, "usage", "interval",
				 "--interval \"%s\" is not a duration like 2s, of 100ms or more",
				 interval);
	*ret = top;
	return 0;
}

static int run_top(struct context *context, const struct args *args, struct error *err)
{
	struct top top;
	int r;

	r = read_options(args, &top, err);
	if (r < 0)
		return r;
	if (!can_redraw(&context->output))
		return show(context, &top, false, err);
	while ((r = show(context, &top, true, err)) == 0) {
		const struct timespec pause = {
			.tv_sec = (time_t)(top.interval_ms / 1000),
			.tv_nsec = (long)(top.interval_ms % 1000) * 1000000,
		};

		(void)nanosleep(&pause, NULL);
	}
	return r;
}

static const struct args_option options[] = {
	{ .name = "by", .argument = "ORDER", .help = "bytes (default) or connections" },
	{ .name = "limit",
	  .argument = "N",
	  .help = "so many mappings (default: what the screen has room for, else 20)" },
	{ .name = "interval",
	  .argument = "DURATION",
	  .help = "how often a terminal is drawn again (default: 2s)" },
};

static const struct args_table table = { options, ARRAY_SIZE(options) };

static const struct command commands[] = {
	{ .verb = "",
	  .summary = "Show which mappings of one gateway are busy, until interrupted",
	  .options = &table,
	  .sides = SIDE_GATEWAY,
	  .run = run_top },
};

const struct noun noun_top = {
	.name = "top",
	.summary = "What is busy now",
	.commands = commands,
	.n_commands = ARRAY_SIZE(commands),
	.alone = true,
};
