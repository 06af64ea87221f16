/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Text that others wrote, made fit for a terminal. */

#include <stdio.h>

#include "schedctl/text.h"

size_t text_width(const char *text)
{
	size_t width = 0;

	/* Continuation bytes of UTF-8 take no column. */
	for (; *text; text++)
		width += ((unsigned char)*text & 0xc0) != 0x80;
	return width;
}

void text_make_printable(char *text)
{
	for (unsigned char *c = (unsigned char *)text; *c; c++) {
		if (*c < 0x20 || *c == 0x7f)
			*c = '?';
		else if (c[0] == 0xc2 && c[1] >= 0x80 && c[1] < 0xa0)
			c[0] = c[1] = '?';
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
