/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Lines of text that carry their own checksum: made in a buffer, and read back with a verdict on
 * what is left of them.
 */
#include "lib/checked_lines.h"

#include <errno.h>
#include <string.h>
#include <zlib.h>

#define SUM_DIGITS 8
#define PREFIX (SUM_DIGITS + 1) /* and the space behind them */
#define LINE_BYTES_MAX (PREFIX + CHECKED_LINE_MAX + 1)
#define READ_BYTES ((size_t)256 << 10)

static void put_sum(char *at, const char *text, size_t length)
{
	static const char digits[] = "0123456789abcdef";
	uLong sum = crc32(0, (const Bytef *)text, (uInt)length);

	for (int i = 0; i < SUM_DIGITS; i++)
		at[i] = digits[sum >> (4 * (SUM_DIGITS - 1 - i)) & 0xf];
	at[SUM_DIGITS] = ' ';
}

int line_open(struct line_buffer *buffer, char **ret)
{
	size_t wanted = buffer->length + LINE_BYTES_MAX;

	if (wanted > buffer->allocated) {
		char *grown = realloc(buffer->data, wanted + wanted / 2);

		if (!grown)
			return -ENOMEM;
		buffer->data = grown;
		buffer->allocated = wanted + wanted / 2;
	}
	*ret = buffer->data + buffer->length + PREFIX;
	return 0;
}

void line_close(struct line_buffer *buffer, size_t length)
{
	char *line = buffer->data + buffer->length;

	put_sum(line, line + PREFIX, length);
	line[PREFIX + length] = '\n';
	buffer->length += PREFIX + length + 1;
	buffer->n++;
}

int line_add(struct line_buffer *buffer, const char *text, size_t length)
{
	char *at;
	int r;

	if (length > CHECKED_LINE_MAX)
		return -EMSGSIZE;
	r = line_open(buffer, &at);
	if (r < 0)
		return r;
	memcpy(at, text, length);
	line_close(buffer, length);
	return 0;
}

void line_buffer_clear(struct line_buffer *buffer)
{
	free(buffer->data);
	*buffer = (struct line_buffer){ 0 };
}

/* ---- reading ---- */

struct scan {
	int (*on_line)(const char *text, size_t length, uint64_t end, void *userdata);
	void *userdata;
	struct line_scan *result;
	bool bad; /* a bad line has been seen */
};

static bool is_good(const char *line, size_t length)
{
	char sum[PREFIX];

	if (length < PREFIX || length > PREFIX + CHECKED_LINE_MAX)
		return false;
	put_sum(sum, line + PREFIX, length - PREFIX);
	return memcmp(sum, line, PREFIX) == 0;
}

/* One line without its newline, which becomes its terminating zero. */
static int take_line(struct scan *scan, char *line, size_t length)
{
	struct line_scan *result = scan->result;

	if (!is_good(line, length)) {
		scan->bad = true;
		if (result->damage == LINES_WHOLE)
			result->damage = LINES_CUT;
		return 0;
	}
	if (scan->bad) {
		result->damage = LINES_GARBLED;
		return 0;
	}
	line[length] = '\0';
	result->good += length + 1;
	result->n++;
	if (!scan->on_line)
		return 0;
	return scan->on_line(line + PREFIX, length - PREFIX, result->good, scan->userdata);
}

/* Takes the whole lines of the buffer and moves the rest to its beginning. */
static int take_lines(struct scan *scan, char *buffer, size_t *used)
{
	char *at = buffer, *end = buffer + *used, *newline;
	int r = 0;

	while (r == 0 && (newline = memchr(at, '\n', (size_t)(end - at)))) {
		r = take_line(scan, at, (size_t)(newline - at));
		at = newline + 1;
	}
	*used = (size_t)(end - at);
	memmove(buffer, at, *used);
	return r;
}

/* A line without end that fills the buffer is bad, however it goes on. */
static void drop_overlong(struct scan *scan, size_t *used)
{
	scan->bad = true;
	if (scan->result->damage == LINES_WHOLE)
		scan->result->damage = LINES_CUT;
	*used = 0;
}

int lines_scan(int fd, uint64_t from, uint64_t to,
	       int (*on_line)(const char *text, size_t length, uint64_t end, void *userdata),
	       void *userdata, struct line_scan *ret)
{
	_cleanup_free_ char *buffer = malloc(READ_BYTES);
	struct scan scan = { .on_line = on_line, .userdata = userdata, .result = ret };
	uint64_t offset = from;
	size_t used = 0;
	int r = 0;

	*ret = (struct line_scan){ .good = from };
	if (!buffer)
		return -ENOMEM;
	while (r == 0 && offset < to) {
		ssize_t n = pread(fd, buffer + used, MIN(READ_BYTES - used, to - offset),
				  (off_t)offset);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		if (n == 0)
			break;
		offset += (uint64_t)n;
		used += (size_t)n;
		r = take_lines(&scan, buffer, &used);
		if (used == READ_BYTES)
			drop_overlong(&scan, &used);
	}
	if (r == 0 && used > 0 && ret->damage == LINES_WHOLE)
		ret->damage = LINES_CUT;
	return r;
}
