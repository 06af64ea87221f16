/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Text that others wrote, made fit for a terminal. */

#include <locale.h>
#include <stdio.h>
#include <string.h>
#include <wchar.h>

#include "schedctl/text.h"

/* Whether or not the terminal's user has a UTF-8 locale, what servers say is UTF-8. */
static locale_t utf8(void)
{
	static locale_t locale;

	if (!locale)
		locale = newlocale(LC_CTYPE_MASK, "C.UTF-8", NULL);
	return locale;
}

/* The bytes of the character at text, which is not the end, and the columns that it takes. */
static size_t character(const char *text, size_t *ret_columns)
{
	locale_t before = uselocale(utf8());
	mbstate_t state = { 0 };
	wchar_t wide;
	size_t n = mbrtowc(&wide, text, strlen(text), &state);
	int columns = n == (size_t)-1 || n == (size_t)-2 ? 1 : wcwidth(wide);

	if (n == (size_t)-1 || n == (size_t)-2)
		n = 1;
	(void)uselocale(before);
	*ret_columns = columns < 0 ? 1 : (size_t)columns;
	return n;
}

size_t text_width(const char *text)
{
	size_t width = 0, columns;

	while (*text) {
		text += character(text, &columns);
		width += columns;
	}
	return width;
}

void text_cut(char *text, size_t width)
{
	size_t columns;

	while (*text) {
		size_t n = character(text, &columns);

		if (columns > width)
			break;
		width -= columns;
		text += n;
	}
	*text = '\0';
}

/* U+061C, U+200E, U+200F, U+202A to U+202E, U+2066 to U+2069. 0: it is none, else its bytes. */
static size_t direction_mark(const unsigned char *c)
{
	if (c[0] == 0xd8 && c[1] == 0x9c)
		return 2;
	if (c[0] != 0xe2)
		return 0;
	if (c[1] == 0x80 && (c[2] == 0x8e || c[2] == 0x8f || (c[2] >= 0xaa && c[2] <= 0xae)))
		return 3;
	return c[1] == 0x81 && c[2] >= 0xa6 && c[2] <= 0xa9 ? 3 : 0;
}

void text_make_printable(char *text)
{
	for (unsigned char *c = (unsigned char *)text; *c; c++) {
		size_t n = direction_mark(c);

		if (*c < 0x20 || *c == 0x7f)
			*c = '?';
		else if (c[0] == 0xc2 && c[1] >= 0x80 && c[1] < 0xa0)
			c[0] = c[1] = '?';
		else if (n > 0)
			memset(c, '?', n);
	}
}

char *text_vformat(const char *format, va_list arguments)
{
	char *text;

	/* What vasprintf leaves in text where it fails is not defined. */
	return vasprintf(&text, format, arguments) < 0 ? NULL : text;
}

char *text_format(const char *format, ...)
{
	va_list arguments;
	char *text;

	va_start(arguments, format);
	text = text_vformat(format, arguments);
	va_end(arguments);
	return text;
}

const char *text_field(const json_t *object, const char *key)
{
	const char *text = json_string_value(json_object_get(object, key));

	return text ? text : "";
}

uint64_t number_field(const json_t *object, const char *key)
{
	json_int_t number = json_integer_value(json_object_get(object, key));

	return number > 0 ? (uint64_t)number : 0;
}
