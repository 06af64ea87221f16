/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Aligned text tables: two blanks between columns, no blank at a line's end, so that awk and cut
 * work on what people read.
 */

#include <errno.h>
#include <stdarg.h>
#include <string.h>

#include "schedctl/table.h"
#include "schedctl/text.h"

#define GAP 2

struct cell {
	char *text; /* owned, printable */
	size_t width;
	enum table_style style;
};

struct table {
	const struct table_column *columns;
	size_t n_columns;
	struct cell *cells; /* row by row */
	size_t n_cells, n_allocated;
	bool failed;
};

int table_new(struct table **ret, const struct table_column *columns, size_t n_columns)
{
	struct table *table = calloc(1, sizeof(*table));

	if (!table)
		return -ENOMEM;
	table->columns = columns;
	table->n_columns = n_columns;
	*ret = table;
	return 0;
}

void table_free(struct table *table)
{
	if (!table)
		return;
	for (size_t i = 0; i < table->n_cells; i++)
		free(table->cells[i].text);
	free(table->cells);
	free(table);
}

static bool reserve(struct table *table)
{
	size_t n = table->n_allocated ? 2 * table->n_allocated : 16 * table->n_columns;
	struct cell *cells;

	if (table->n_cells < table->n_allocated)
		return true;
	cells = reallocarray(table->cells, n, sizeof(*cells));
	if (!cells)
		return false;
	table->cells = cells;
	table->n_allocated = n;
	return true;
}

/* Takes over text. */
static void add_cell(struct table *table, enum table_style style, char *text)
{
	if (!text || !reserve(table)) {
		free(text);
		table->failed = true;
		return;
	}
	text_make_printable(text);
	table->cells[table->n_cells++] = (struct cell){
		.text = text,
		.width = text_width(text),
		.style = style,
	};
}

void table_cell(struct table *table, enum table_style style, const char *text)
{
	add_cell(table, style, strdup(text && *text ? text : "-"));
}

void table_cellf(struct table *table, const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	add_cell(table, STYLE_PLAIN, text_vformat(format, arguments));
	va_end(arguments);
}

static size_t column_width(const struct table *table, size_t column)
{
	const char *title = table->columns[column].title;
	size_t width = title ? text_width(title) : 0;

	for (size_t i = column; i < table->n_cells; i += table->n_columns)
		width = MAX(width, table->cells[i].width);
	return width;
}

static void write_blanks(FILE *out, size_t n)
{
	while (n-- > 0)
		(void)fputc(' ', out);
}

static void write_text(FILE *out, const char *text, enum table_style style, bool colours)
{
	static const char *const start[STYLE_MAX] = {
		[STYLE_PLAIN] = NULL,
		[STYLE_GOOD] = "\033[32m",
		[STYLE_PENDING] = "\033[33m",
		[STYLE_BAD] = "\033[31m",
	};

	if (colours && start[style])
		(void)fprintf(out, "%s%s\033[0m", start[style], text);
	else
		(void)fputs(text, out);
}

/* One line; row NULL writes the titles. Blanks are owed until the next text comes, so that none
 * ends a line. */
static void write_row(const struct table *table, const struct cell *row, const size_t *widths,
		      FILE *out, bool wide, bool colours)
{
	size_t owed = 0;

	for (size_t i = 0; i < table->n_columns; i++) {
		const struct table_column *column = &table->columns[i];
		const char *text = row ? row[i].text : column->title;
		size_t padding = widths[i] - (row ? row[i].width : text_width(text));

		if (column->wide_only && !wide)
			continue;
		write_blanks(out, owed + (column->right ? padding : 0));
		write_text(out, text, row ? row[i].style : STYLE_PLAIN, colours);
		owed = GAP + (column->right ? 0 : padding);
	}
	(void)fputc('\n', out);
}

int table_write(const struct table *table, FILE *out, bool wide, bool colours)
{
	_cleanup_free_ size_t *widths = calloc(table->n_columns, sizeof(*widths));

	if (!widths || table->failed)
		return -ENOMEM;
	for (size_t i = 0; i < table->n_columns; i++)
		widths[i] = column_width(table, i);
	if (table->columns[0].title)
		write_row(table, NULL, widths, out, wide, colours);
	for (size_t i = 0; i + table->n_columns <= table->n_cells; i += table->n_columns)
		write_row(table, &table->cells[i], widths, out, wide, colours);
	return ferror(out) ? -EIO : 0;
}
