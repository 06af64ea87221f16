/* SPDX-License-Identifier: GPL-2.0-or-later */
/* "env logs": what an environment has written, from its host through schedd. Nothing of it obeys a
 * terminal but the colours that it asks for. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "lib/clock.h"
#include "lib/number.h"
#include "proto/log_session.h"
#include "schedctl/env.h"
#include "schedctl/text.h"

/* schedd says something every LOG_IDLE_MS, and gives up a silent host after some time. */
#define SILENCE_MS 60000

static const struct args_option options[] = {
	{ .name = "follow", .letter = 'f', .help = "go on with what is written, until it ends" },
	{ .name = "tail", .argument = "N", .help = "only the newest N lines, and what follows" },
	{ .name = "since",
	  .argument = "TIME",
	  .help = "only what was written since 2027-01-01T00:00:00Z, or in the last 10m, 2h, 3d" },
	{ .name = "timestamps", .help = "each line with its time" },
};

const struct args_table env_logs_options = { options, ARRAY_SIZE(options) };

struct reading {
	struct context *context;
	struct log_reader *lines;
	struct error *err;
	bool begun;     /* a line has come */
	bool ended;     /* the last line has come */
	bool mid_line;  /* what was written last has no end yet */
	bool printable; /* stdout is a terminal */
};

/* ---- the query ---- */

static int add_since(const char *text, char *query, size_t size, struct error *err)
{
	char time[TIME_STRING_MAX];
	int64_t seconds;
	uint64_t ms;

	if (time_parse(text, &seconds) < 0) {
		if (duration_parse(text, &ms) < 0 || (int64_t)(ms / 1000) > clock_unix_seconds())
			return error_set(err, -EINVAL, "usage", "since",
					 "--since \"%s\" is neither a time like "
					 "2027-01-01T00:00:00Z nor a duration like 10m, 2h or 3d",
					 text);
		seconds = clock_unix_seconds() - (int64_t)(ms / 1000);
	}
	(void)snprintf(query, size, "&since=%s", time_format(seconds, time));
	return 0;
}

static int make_path(const struct args *args, char path[CLIENT_PATH_MAX], struct error *err)
{
	const char *tail = args_text(args, "tail"), *since = args_text(args, "since");
	char suffix[160], since_query[48] = "", tail_query[32] = "";
	uint64_t lines;
	int r;

	if (tail && (number_parse(tail, &lines, NULL) < 0 || lines > LOG_TAIL_MAX))
		return error_set(err, -EINVAL, "usage", "tail", "--tail \"%s\" is not in 0…%d",
				 tail, LOG_TAIL_MAX);
	if (tail)
		(void)snprintf(tail_query, sizeof(tail_query), "&tail=%" PRIu64, lines);
	r = since ? add_since(since, since_query, sizeof(since_query), err) : 0;
	if (r < 0)
		return r;
	(void)snprintf(suffix, sizeof(suffix), "/logs?follow=%d&timestamps=%d%s%s",
		       args_flag(args, "follow"), args_flag(args, "timestamps"), tail_query,
		       since_query);
	return client_action_path(path, ENV_COLLECTION, args->positional[0], suffix, err);
}

/* ---- output ---- */

/* The length of a sequence at text that sets colours, "ESC [ 1 ; 31 m"; 0: it is another. */
static size_t colour_length(const char *text)
{
	size_t n = strspn(text + 2, "0123456789;") + 2;

	return text[1] == '[' && text[n] == 'm' ? n + 1 : 0;
}

/* As it was written, but for what a terminal would obey. */
static void write_text(const struct reading *reading, const char *text)
{
	if (!reading->printable) {
		(void)fputs(text, stdout);
		return;
	}
	while (*text) {
		unsigned char c = (unsigned char)*text;
		size_t n = c == 0x1b && text[1] ? colour_length(text) : 0;

		if (n > 0)
			(void)fwrite(text, 1, n, stdout);
		else if (c == 0xc2 && (unsigned char)text[1] >= 0x80 &&
			 (unsigned char)text[1] < 0xa0)
			n = (size_t)fprintf(stdout, "?") + 1; /* C1 has two bytes */
		else
			(void)fputc((c < ' ' && !strchr("\n\r\t", c)) || c == 0x7f ? '?' : c,
				    stdout);
		text += MAX(n, (size_t)1);
	}
}

static int print_text(struct reading *reading, const struct log_line *line, json_t *json)
{
	size_t length = strlen(line->text);

	if (reading->context->output.format == OUTPUT_JSON)
		return output_json(json, true);
	if (*line->time && !reading->mid_line)
		(void)printf("%s ", line->time);
	write_text(reading, line->text);
	if (length > 0)
		reading->mid_line = line->text[length - 1] != '\n';
	return ferror(stdout) ? -EIO : 0;
}

/* Why it is over, for exit_status_of. */
static int take_end(struct reading *reading, const struct log_line *line)
{
	int errnum = -EIO;

	reading->ended = true;
	if (strcmp(line->code, "complete") == 0)
		return 0;
	if (strcmp(line->code, "unauthenticated") == 0)
		errnum = -EPERM;
	else if (strcmp(line->code, "host_silent") == 0 || strcmp(line->code, "unavailable") == 0)
		errnum = -ENOTCONN;
	return error_set(reading->err, errnum, "log", NULL, "the log ends here: %s", line->message);
}

static int on_line(void *userdata, const struct log_line *line, json_t *json)
{
	((struct reading *)userdata)->begun = true;
	switch (line->type) {
	case LOG_LINE_TEXT:
		return print_text(userdata, line, json);
	case LOG_LINE_IDLE:
		return 0;
	case LOG_LINE_END:
		return take_end(userdata, line);
	}
	return 0;
}

static int on_data(const char *data, size_t length, void *userdata)
{
	struct reading *reading = userdata;
	struct error detail = ERROR_INIT;
	int r = log_reader_feed(reading->lines, data, length, &detail);

	if (detail.errnum < 0)
		return error_set(reading->err, r == -ENOMEM ? r : -EPROTO, "protocol", NULL,
				 "schedd sent a log that makes no sense: %s",
				 error_text(&detail, r));
	return fflush(stdout) != 0 && r == 0 ? -EIO : r;
}

/* The stream is over: r says how. */
static int conclude(struct reading *reading, int r)
{
	const struct error cause = *reading->err;

	if (reading->mid_line && reading->printable)
		(void)fputc('\n', stdout);
	if (reading->ended)
		return r;
	if (r == -ENOTCONN && reading->begun) {
		*reading->err = ERROR_INIT;
		return error_set(reading->err, r, "unreachable", NULL, "the log was cut off: %s",
				 error_text(&cause, r));
	}
	return r < 0 ? r
		     : error_set(reading->err, -ENOTCONN, "unreachable", NULL,
				 "the log was cut off: schedd does not say why");
}

int env_logs(struct context *context, const struct args *args, struct error *err)
{
	_cleanup_(cleanup_log_reader) struct log_reader *lines = NULL;
	struct reading reading = { .context = context, .err = err };
	char path[CLIENT_PATH_MAX];
	int r = make_path(args, path, err);

	if (r == 0)
		r = log_reader_new(&lines, on_line, &reading);
	if (r < 0)
		return r;
	reading.lines = lines;
	reading.printable = isatty(STDOUT_FILENO) == 1;
	r = client_read(context->client, path, SILENCE_MS, on_data, &reading, err);
	return conclude(&reading, r);
}
