/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Lines of text that carry their own checksum ("5d4f0c31 TEXT"), for files that are appended to and
 * may end anywhere: made in a buffer, and read back with a verdict on what is left of them. It
 * knows nothing of what the lines say, and opens no file.
 */
#pragma once

#include "lib/util.h"

/* Bytes of one line's text, which has neither newline nor zero. */
#define CHECKED_LINE_MAX ((size_t)64 << 10)

struct line_buffer {
	char *data; /* owned */
	size_t length, allocated;
	size_t n; /* lines */
};

/* Starts a line: room for CHECKED_LINE_MAX bytes of text is at *ret until the next call. -ENOMEM.
 */
int line_open(struct line_buffer *buffer, char **ret) _must_check_;
/* Ends it after length bytes of text. */
void line_close(struct line_buffer *buffer, size_t length);
/* Both, for a text that is there already. -EMSGSIZE, -ENOMEM. */
int line_add(struct line_buffer *buffer, const char *text, size_t length) _must_check_;
void line_buffer_clear(struct line_buffer *buffer);

enum line_damage {
	LINES_WHOLE,
	LINES_CUT, /* what follows the good lines has no good line in it: an end that was lost */
	LINES_GARBLED, /* good lines follow a bad one: something else than an append wrote here */
};

struct line_scan {
	enum line_damage damage;
	uint64_t good; /* the offset behind the good lines at the beginning */
	uint64_t n;    /* and how many they are */
};

/* Reads fd between two offsets, where a line begins and at most to where one ends. Each good line
 * before the first bad one goes to on_line (may be NULL) with its text, which is zero-terminated,
 * and the offset behind it; a negative value of on_line ends the scan and is returned. read(2)'s
 * errors, -ENOMEM. */
int lines_scan(int fd, uint64_t from, uint64_t to,
	       int (*on_line)(const char *text, size_t length, uint64_t end, void *userdata),
	       void *userdata, struct line_scan *ret) _must_check_;

static inline void cleanup_line_buffer(struct line_buffer *buffer)
{
	line_buffer_clear(buffer);
}
