/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Where schedctl's words go. */

#include <errno.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "schedctl/output.h"
#include "schedctl/text.h"

enum output_format output_format_parse(const char *text)
{
	static const char *const names[] = {
		[OUTPUT_TABLE] = "table",
		[OUTPUT_WIDE] = "wide",
		[OUTPUT_JSON] = "json",
		[OUTPUT_NAME] = "name",
	};

	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		if (strcmp(text, names[i]) == 0)
			return (enum output_format)i;
	}
	return OUTPUT_INVALID;
}

struct output output_detect(enum output_format format)
{
	const char *no_color = getenv("NO_COLOR"), *term = getenv("TERM");
	bool dumb = !term || strcmp(term, "dumb") == 0;

	return (struct output){
		.format = format,
		.colours = isatty(STDOUT_FILENO) && !dumb && !(no_color && *no_color),
		.interactive = isatty(STDERR_FILENO) && !dumb,
	};
}

/* One piece of JSON to stdout. jansson escapes C0 alone: DEL and C1, which a terminal obeys as
 * well, stand in strings only, and are written as JSON can say them, too. A C1 may come in two
 * pieces: *userdata has its first byte until the second one is here. */
static int write_piece(const char *text, size_t length, void *userdata)
{
	unsigned char *lead = userdata;

	for (size_t i = 0; i < length; i++) {
		unsigned char c = (unsigned char)text[i];

		if (*lead && c < 0xa0)
			(void)printf("\\u%04x", c);
		else if (*lead)
			(void)printf("%c%c", *lead, c);
		else if (c == 0x7f)
			(void)fputs("\\u007f", stdout);
		else if (c != 0xc2)
			(void)fputc(c, stdout);
		*lead = !*lead && c == 0xc2 ? c : 0;
	}
	return ferror(stdout) ? -1 : 0;
}

int output_json(const json_t *json, bool compact)
{
	size_t flags = JSON_ENCODE_ANY | (compact ? JSON_COMPACT : JSON_INDENT(2));
	unsigned char lead = 0;

	if (json_dump_callback(json, write_piece, &lead, flags) < 0)
		return ferror(stdout) ? -EIO : -ENOMEM;
	return fputc('\n', stdout) == EOF ? -EIO : 0;
}

int output_line(const char *text)
{
	_cleanup_free_ char *line = strdup(text);

	if (!line)
		return -ENOMEM;
	text_make_printable(line);
	return printf("%s\n", line) < 0 ? -EIO : 0;
}

int output_table(const struct output *output, const struct table *table)
{
	return table_write(table, stdout, output->format == OUTPUT_WIDE, output->colours);
}

int output_list(const struct output *output, const struct output_list *list, json_t *answer,
		struct error *err)
{
	_cleanup_(cleanup_table) struct table *table = NULL;
	json_t *items = json_object_get(answer, "items"), *item;
	size_t i;
	int r;

	if (output->format == OUTPUT_JSON)
		return output_json(answer, false);
	if (!json_is_array(items))
		return error_set(err, -EPROTO, "protocol", "items",
				 "the answer has no list of items; is that server a newer one?");
	r = table_new(&table, list->columns, list->n_columns);
	if (r < 0)
		return r;
	json_array_foreach (items, i, item) {
		if (output->format != OUTPUT_NAME)
			list->row(table, item);
		else
			r = output_line(text_field(item, list->name_key));
		if (r < 0)
			return r;
	}
	return output->format == OUTPUT_NAME ? 0 : output_table(output, table);
}

int output_finish(struct error *err)
{
	int r = fflush(stdout) == 0 ? 0 : -errno;

	if (r == 0 && !ferror(stdout))
		return 0;
	/* What was lost on the way left no reason but that it was lost. */
	return error_set(err, -EIO, "output", NULL, "cannot write to standard output: %s",
			 r < 0 ? strerror(-r) : "not all of it was taken");
}

bool output_reader_gone(void)
{
	struct pollfd stdout_end = { .fd = STDOUT_FILENO };

	return poll(&stdout_end, 1, 0) == 1 && stdout_end.revents & POLLERR;
}

static void note_text(const char *prefix, char *text)
{
	if (!text) {
		(void)fputs("schedctl: out of memory\n", stderr);
		return;
	}
	text_make_printable(text);
	(void)fprintf(stderr, "%s%s\n", prefix, text);
}

void note(const char *format, ...)
{
	_cleanup_free_ char *text = NULL;
	va_list arguments;

	va_start(arguments, format);
	text = text_vformat(format, arguments);
	va_end(arguments);
	note_text("", text);
}

int output_done(const struct output *output, const json_t *answer, const char *name,
		const char *format, ...)
{
	_cleanup_free_ char *text = NULL;
	va_list arguments;

	switch (output->format) {
	case OUTPUT_JSON:
		return output_json(answer, false);
	case OUTPUT_NAME:
		return output_line(name);
	case OUTPUT_TABLE:
	case OUTPUT_WIDE:
		break;
	case OUTPUT_INVALID:
		return -EINVAL;
	}
	va_start(arguments, format);
	text = text_vformat(format, arguments);
	va_end(arguments);
	note_text("", text);
	return 0;
}

void note_error(const char *sentence)
{
	_cleanup_free_ char *text = strdup(sentence);

	note_text("schedctl: ", text);
}
