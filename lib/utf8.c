/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The forms of RFC 3629, and no others. */
#include "lib/utf8.h"

#include <string.h>

/* How many bytes a sequence has that begins so; 0: none does. */
static size_t sequence_length(unsigned char first)
{
	if (first < 0x80)
		return 1;
	if (first >= 0xc2 && first <= 0xdf)
		return 2;
	if (first >= 0xe0 && first <= 0xef)
		return 3;
	return first >= 0xf0 && first <= 0xf4 ? 4 : 0;
}

/* Whether the second byte may follow the first: no overlong form, no surrogate, none too large. */
static bool may_follow(unsigned char first, unsigned char second)
{
	unsigned char low = first == 0xe0 ? 0xa0 : first == 0xf0 ? 0x90 : 0x80;
	unsigned char high = first == 0xed ? 0x9f : first == 0xf4 ? 0x8f : 0xbf;

	return second >= low && second <= high;
}

size_t utf8_sequence(const char *text, size_t length)
{
	const unsigned char *bytes = (const unsigned char *)text;
	size_t n = sequence_length(bytes[0]);

	if (n == 0 || n > length || (n > 1 && !may_follow(bytes[0], bytes[1])))
		return 0;
	for (size_t i = 2; i < n; i++)
		if ((bytes[i] & 0xc0) != 0x80)
			return 0;
	return n;
}

bool utf8_is_valid(const char *text)
{
	size_t length = strlen(text), n = 1;

	for (size_t i = 0; i < length && n > 0; i += n)
		n = utf8_sequence(text + i, length - i);
	return n > 0;
}

size_t utf8_whole_length(const char *text, size_t length)
{
	const unsigned char *bytes = (const unsigned char *)text;
	size_t back = 1;

	while (back <= 3 && back <= length && (bytes[length - back] & 0xc0) == 0x80)
		back++;
	if (back > 3 || back > length || sequence_length(bytes[length - back]) <= back)
		return length;
	return length - back;
}

void utf8_mend(char *text)
{
	size_t length = utf8_whole_length(text, strlen(text)), i = 0;

	text[length] = '\0';
	while (i < length) {
		size_t n = utf8_sequence(text + i, length - i);

		if (n == 0)
			text[i] = '?';
		i += n > 0 ? n : 1;
	}
}
