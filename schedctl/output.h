/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Where schedctl's words go: data to stdout in the form that was asked for, everything else to
 * stderr.
 */
#pragma once

#include "lib/error.h"
#include "lib/json.h"
#include "schedctl/table.h"

enum output_format {
	OUTPUT_TABLE,
	OUTPUT_WIDE,
	OUTPUT_JSON, /* the server's answer, indented, with every field */
	OUTPUT_NAME, /* one name a line, for scripts */
	OUTPUT_INVALID = -1,
};

struct output {
	enum output_format format;
	bool colours;     /* stdout is a terminal and NO_COLOR is not set */
	bool interactive; /* stderr is a terminal that can overwrite a line */
};

/* "table", "wide", "json" or "name"; OUTPUT_INVALID for anything else. */
enum output_format output_format_parse(const char *text);

/* What stdout and stderr allow, for this format. */
struct output output_detect(enum output_format format);

/* Writes json and a newline to stdout; compact (one line) for streams. -EIO, -ENOMEM. */
int output_json(const json_t *json, bool compact) _must_check_;

/* Writes text and a newline to stdout, made printable. -EIO, -ENOMEM. */
int output_line(const char *text) _must_check_;

/* Writes a table to stdout as output says. */
int output_table(const struct output *output, const struct table *table) _must_check_;

/* The end of a command that changed something: as JSON the server's answer, as a name the name of
 * what was changed, else a sentence for people on stderr. */
int output_done(const struct output *output, const json_t *answer, const char *name,
		const char *format, ...) _printf_(4, 5) _must_check_;

/* Prints a list answer ({"items":[…]}) in any format. */
struct output_list {
	const struct table_column *columns;
	size_t n_columns;
	const char *name_key; /* the item's field for OUTPUT_NAME */
	void (*row)(struct table *table, json_t *item);
};
int output_list(const struct output *output, const struct output_list *list, json_t *answer,
		struct error *err) _must_check_;

/* Checks that all of stdout was written, as a full disk shows only here. */
int output_finish(struct error *err) _must_check_;
/* Stdout is a pipe or a socket that nobody reads any more. */
bool output_reader_gone(void);

/* One line on stderr, made printable: "schedctl: …" for note_error, bare for note. */
void note(const char *format, ...) _printf_(1, 2);
void note_error(const char *sentence);
