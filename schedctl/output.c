/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Where schedctl's words go. */

#include <errno.h>
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

int output_json(const json_t *json, bool compact)
{
	size_t flags = JSON_ENCODE_ANY | (compact ? JSON_COMPACT : JSON_INDENT(2));

	if (json_dumpf(json, stdout, flags) < 0)
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
	if (fflush(stdout) == 0 && !ferror(stdout))
		return 0;
	return error_set(err, -EIO, "output", NULL, "cannot write to standard output: %s",
			 strerror(errno));
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
