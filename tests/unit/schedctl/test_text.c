/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Text from others, and fields that may be missing. */

#include <criterion/criterion.h>

#include "schedctl/text.h"

Test(text, printable)
{
	char text[] = "ok \033[31m\t\r\n\x7f \xc2\x85 \xc3\xa4";

	text_make_printable(text);
	cr_expect_str_eq(text, "ok ?[31m???? ?? \xc3\xa4");
}

Test(text, width)
{
	cr_expect_eq(text_width(""), 0);
	cr_expect_eq(text_width("abc"), 3);
	cr_expect_eq(text_width("…ä"), 2);
}

Test(text, fields)
{
	_cleanup_json_ json_t *object =
		json_pack("{s:s, s:i, s:i, s:n}", "text", "x", "number", 5, "negative", -5, "null");

	cr_expect_str_eq(text_field(object, "text"), "x");
	cr_expect_str_eq(text_field(object, "number"), "");
	cr_expect_str_eq(text_field(object, "null"), "");
	cr_expect_str_eq(text_field(object, "absent"), "");
	cr_expect_str_eq(text_field(NULL, "text"), "");
	cr_expect_eq(number_field(object, "number"), 5);
	cr_expect_eq(number_field(object, "negative"), 0);
	cr_expect_eq(number_field(object, "text"), 0);
	cr_expect_eq(number_field(NULL, "number"), 0);
}

Test(text, format)
{
	_cleanup_free_ char *text = text_format("%s-%d", "a", 7);

	cr_expect_str_eq(text, "a-7");
}
