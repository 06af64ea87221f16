/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Text put together by hand, for answers of very many lines: printf would take most of their time.
 * Whoever puts has made room before.
 */
#pragma once

#include <stdint.h>
#include <string.h>

struct text {
	char *data; /* borrowed, with room for what is put */
	size_t n;
};

static inline void text_put(struct text *text, const char *data, size_t length)
{
	memcpy(text->data + text->n, data, length);
	text->n += length;
}
#define TEXT_PUT(text, literal) text_put(text, literal, sizeof(literal) - 1)

static inline void text_put_number(struct text *text, uint64_t value)
{
	char digits[20];
	size_t n = sizeof(digits);

	do
		digits[--n] = (char)('0' + value % 10);
	while ((value /= 10) > 0);
	text_put(text, digits + n, sizeof(digits) - n);
}
