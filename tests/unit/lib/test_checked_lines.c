/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Lines with checksums: what is left of them after each cut and each flipped bit. */
#include <criterion/criterion.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

#include "lib/checked_lines.h"
#include "lib/file.h"

#define LINES 4

static struct line_buffer lines;
static size_t ends[LINES + 1]; /* bytes of the first i lines */

static void make_lines(void)
{
	for (int i = 0; i < LINES; i++) {
		char text[64];

		(void)snprintf(text, sizeof(text), "line %d%.*s", i, i * 7, "01234567890123456789");
		cr_assert_eq(line_add(&lines, text, strlen(text)), 0);
		ends[i + 1] = lines.length;
	}
}

static void clear(void)
{
	line_buffer_clear(&lines);
}

TestSuite(checked_lines, .init = make_lines, .fini = clear);

static int count_line(const char *text, size_t length, uint64_t end, void *userdata)
{
	unsigned *n = userdata;
	char expected[16];

	(void)snprintf(expected, sizeof(expected), "line %u", *n);
	cr_assert_eq(strncmp(text, expected, strlen(expected)), 0, "%s", text);
	cr_assert_eq(strlen(text), length);
	cr_assert_eq(end, ends[*n + 1]);
	(*n)++;
	return 0;
}

static struct line_scan scan(const char *data, size_t length, unsigned *ret_n)
{
	_cleanup_close_ int fd = memfd_create("lines", MFD_CLOEXEC);
	struct line_scan result;

	cr_assert_geq(fd, 0);
	cr_assert_eq(write_all(fd, data, length), 0);
	*ret_n = 0;
	cr_assert_eq(lines_scan(fd, 0, length, count_line, ret_n, &result), 0);
	cr_assert_eq(result.n, *ret_n);
	cr_assert_eq(result.good, ends[*ret_n]);
	return result;
}

Test(checked_lines, whole)
{
	unsigned n;

	cr_expect_eq(scan(lines.data, lines.length, &n).damage, LINES_WHOLE);
	cr_expect_eq(n, LINES);
	cr_expect_eq(lines.n, LINES);
	cr_expect_eq(scan(lines.data, 0, &n).damage, LINES_WHOLE, "an empty file lacks nothing");
}

Test(checked_lines, cut_at_every_byte)
{
	for (size_t length = 0; length <= lines.length; length++) {
		unsigned n, whole = 0;
		struct line_scan result = scan(lines.data, length, &n);

		while (whole < LINES && ends[whole + 1] <= length)
			whole++;
		cr_assert_eq(n, whole, "%u lines of %zu bytes", n, length);
		cr_assert_eq(result.damage, length == ends[whole] ? LINES_WHOLE : LINES_CUT,
			     "at %zu", length);
	}
}

Test(checked_lines, each_bit_flipped)
{
	for (size_t bit = 0; bit < lines.length * 8; bit++) {
		unsigned n, line = 0;
		struct line_scan result;

		while (ends[line + 1] <= bit / 8)
			line++;
		lines.data[bit / 8] ^= (char)(1 << bit % 8);
		result = scan(lines.data, lines.length, &n);
		lines.data[bit / 8] ^= (char)(1 << bit % 8);
		cr_assert_eq(n, line, "bit %zu of line %u is not seen", bit, line);
		/* A lost newline makes one bad line of two. */
		cr_assert_eq(result.damage,
			     line == LINES - 1 ||
					     (line == LINES - 2 && bit / 8 == ends[line + 1] - 1)
				     ? LINES_CUT
				     : LINES_GARBLED,
			     "bit %zu", bit);
	}
}

Test(checked_lines, longest_line)
{
	_cleanup_free_ char *text = malloc(CHECKED_LINE_MAX + 1);
	_cleanup_close_ int fd = memfd_create("lines", MFD_CLOEXEC);
	struct line_scan result;

	memset(text, 'x', CHECKED_LINE_MAX + 1);
	cr_expect_eq(line_add(&lines, text, CHECKED_LINE_MAX + 1), -EMSGSIZE);
	cr_expect_eq(lines.length, ends[LINES], "nothing is added of it");
	for (int i = 0; i < 10; i++)
		cr_assert_eq(line_add(&lines, text, CHECKED_LINE_MAX), 0);
	cr_assert_eq(write_all(fd, lines.data, lines.length), 0);
	cr_assert_eq(lines_scan(fd, 0, UINT64_MAX, NULL, NULL, &result), 0);
	cr_expect_eq(result.damage, LINES_WHOLE);
	cr_expect_eq(result.n, LINES + 10);
}

Test(checked_lines, a_line_without_end_is_bad_and_bounded)
{
	_cleanup_close_ int fd = memfd_create("lines", MFD_CLOEXEC);
	struct line_scan result;

	cr_assert_eq(write_all(fd, lines.data, lines.length), 0);
	cr_assert_eq(ftruncate(fd, (off_t)lines.length + (1 << 20)), 0);
	cr_assert_eq(lines_scan(fd, 0, UINT64_MAX, NULL, NULL, &result), 0);
	cr_expect_eq(result.damage, LINES_CUT);
	cr_expect_eq(result.good, lines.length);
	cr_assert_geq(lseek(fd, 0, SEEK_END), 0);
	cr_assert_eq(write_all(fd, "\n", 1), 0);
	cr_assert_eq(write_all(fd, lines.data, lines.length), 0);
	cr_assert_eq(lines_scan(fd, 0, UINT64_MAX, NULL, NULL, &result), 0);
	cr_expect_eq(result.damage, LINES_GARBLED);
	cr_expect_eq(result.n, LINES);
}
