/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Tables, compared to the last blank. */

#include <criterion/criterion.h>
#include <errno.h>
#include <stdio.h>

#include "schedctl/table.h"

static const struct table_column columns[] = {
	{ .title = "NAME" },
	{ .title = "NUMBER", .right = true },
	{ .title = "ID", .wide_only = true },
	{ .title = "STATE" },
};

static void expect(const struct table *table, bool wide, bool colours, const char *text)
{
	_cleanup_free_ char *written = NULL;
	size_t size = 0;
	FILE *out = open_memstream(&written, &size);

	cr_assert_not_null(out);
	cr_expect_eq(table_write(table, out, wide, colours), 0);
	(void)fclose(out);
	cr_expect_str_eq(written, text);
}

static struct table *make(void)
{
	struct table *table = NULL;

	cr_assert_eq(table_new(&table, columns, ARRAY_SIZE(columns)), 0);
	return table;
}

Test(table, aligned_without_trailing_blanks)
{
	_cleanup_(cleanup_table) struct table *table = make();

	table_cell(table, STYLE_PLAIN, "a");
	table_cellf(table, "%d", 7);
	table_cell(table, STYLE_PLAIN, "x1");
	table_cell(table, STYLE_GOOD, "running");
	table_cell(table, STYLE_PLAIN, "longer-name");
	table_cellf(table, "%d", 1234567);
	table_cell(table, STYLE_PLAIN, "");
	table_cell(table, STYLE_PLAIN, NULL);
	expect(table, false, false,
	       "NAME          NUMBER  STATE\n"
	       "a                  7  running\n"
	       "longer-name  1234567  -\n");
	expect(table, true, false,
	       "NAME          NUMBER  ID  STATE\n"
	       "a                  7  x1  running\n"
	       "longer-name  1234567  -   -\n");
}

Test(table, titles_alone_when_empty)
{
	_cleanup_(cleanup_table) struct table *table = make();

	expect(table, false, false, "NAME  NUMBER  STATE\n");
}

Test(table, colours_do_not_move_columns)
{
	static const struct table_column two[] = { { .title = "A" }, { .title = "B" } };
	_cleanup_(cleanup_table) struct table *table = NULL;

	cr_assert_eq(table_new(&table, two, 2), 0);
	table_cell(table, STYLE_BAD, "bad");
	table_cell(table, STYLE_PENDING, "x");
	expect(table, false, true, "A    B\n\033[31mbad\033[0m  \033[33mx\033[0m\n");
}

Test(table, terminal_controls_are_shown_not_obeyed)
{
	static const struct table_column two[] = { { .title = "A" }, { .title = "B" } };
	_cleanup_(cleanup_table) struct table *table = NULL;

	cr_assert_eq(table_new(&table, two, 2), 0);
	table_cell(table, STYLE_PLAIN, "\033]0;x\a\n\xc2\x9b");
	table_cellf(table, "%s", "\177");
	expect(table, false, false, "A          B\n?]0;x????  ?\n");
}

Test(table, width_counts_characters)
{
	static const struct table_column two[] = { { .title = "A" }, { .title = "B" } };
	_cleanup_(cleanup_table) struct table *table = NULL;

	cr_assert_eq(table_new(&table, two, 2), 0);
	table_cell(table, STYLE_PLAIN, "äöü");
	table_cell(table, STYLE_PLAIN, "1");
	table_cell(table, STYLE_PLAIN, "abc");
	table_cell(table, STYLE_PLAIN, "2");
	expect(table, false, false, "A    B\näöü  1\nabc  2\n");
}

Test(table, no_title_line)
{
	static const struct table_column untitled[2];
	_cleanup_(cleanup_table) struct table *table = NULL;

	cr_assert_eq(table_new(&table, untitled, 2), 0);
	table_cell(table, STYLE_PLAIN, "Name:");
	table_cell(table, STYLE_PLAIN, "demo");
	table_cell(table, STYLE_PLAIN, "ID:");
	table_cell(table, STYLE_PLAIN, "env-1");
	expect(table, false, false, "Name:  demo\nID:    env-1\n");
}

Test(table, many_rows)
{
	_cleanup_(cleanup_table) struct table *table = make();
	_cleanup_free_ char *written = NULL;
	size_t size = 0, lines = 0;
	FILE *out = open_memstream(&written, &size);

	for (unsigned i = 0; i < 5000; i++) {
		table_cellf(table, "row-%u", i);
		table_cellf(table, "%u", i);
		table_cell(table, STYLE_PLAIN, "x");
		table_cell(table, STYLE_PLAIN, "y");
	}
	cr_assert_not_null(out);
	cr_assert_eq(table_write(table, out, true, false), 0);
	(void)fclose(out);
	for (const char *c = written; *c; c++)
		lines += *c == '\n';
	cr_expect_eq(lines, 5001);
}

Test(table, full_disk_is_an_error)
{
	_cleanup_(cleanup_table) struct table *table = make();
	FILE *full = fopen("/dev/full", "we");

	cr_assert_not_null(full);
	(void)setvbuf(full, NULL, _IONBF, 0);
	cr_expect_eq(table_write(table, full, false, false), -EIO);
	(void)fclose(full);
}
