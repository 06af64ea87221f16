/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Aligned text tables. Widths come from the content; nothing is cut. Control characters in cells
 * are shown as '?', since cells hold text that others wrote and a terminal obeys.
 */
#pragma once

#include <stdio.h>

#include "lib/util.h"

enum table_style {
	STYLE_PLAIN,
	STYLE_GOOD,    /* green */
	STYLE_PENDING, /* yellow */
	STYLE_BAD,     /* red */
	STYLE_MAX,
};

struct table_column {
	const char *title;
	bool right;     /* numbers line up on the right */
	bool wide_only; /* left out of the short form */
};

struct table;

/* columns must outlive the table. title NULL in the first column: no title line at all. */
int table_new(struct table **ret, const struct table_column *columns, size_t n_columns)
	_must_check_;
void table_free(struct table *table); /* NULL is fine */

/* Adds the next cell of the row that is being filled. NULL or "" is written as "-". Out of memory
 * is remembered and returned by table_write. */
void table_cell(struct table *table, enum table_style style, const char *text);
void table_cellf(struct table *table, const char *format, ...) _printf_(2, 3);

/* Writes all rows. -ENOMEM where a cell was lost, -EIO where out cannot be written. */
int table_write(const struct table *table, FILE *out, bool wide, bool colours) _must_check_;

DEFINE_CLEANUP(struct table *, table_free, cleanup_table)
