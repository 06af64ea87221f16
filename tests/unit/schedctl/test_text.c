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

Test(text, width_of_ideographs_and_marks)
{
	cr_expect_eq(text_width("\xe6\x9d\xb1\xe4\xba\xac"), 4); /* two ideographs */
	cr_expect_eq(text_width("e\xcc\x81x"), 2);               /* a mark on the e */
	cr_expect_eq(text_width("\xf0\x9f\x9a\x80"), 2);         /* an emoji */
	cr_expect_eq(text_width("a\xff\xe6\x9d"), 4);            /* no UTF-8 */
}

Test(text, cut_between_characters)
{
	static const struct {
		const char *text;
		size_t width;
		const char *cut;
	} cases[] = {
		{ "abc", 3, "abc" },
		{ "abc", 2, "ab" },
		{ "abc", 0, "" },
		{ "a\xe6\x9d\xb1z", 3, "a\xe6\x9d\xb1" },
		{ "a\xe6\x9d\xb1z", 2, "a" },
		{ "e\xcc\x81x", 1, "e\xcc\x81" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		char text[16];

		(void)snprintf(text, sizeof(text), "%s", cases[i].text);
		text_cut(text, cases[i].width);
		cr_expect_str_eq(text, cases[i].cut, "case %zu", i);
	}
}

Test(text, what_turns_the_direction_is_shown)
{
	char text[] = "a\xe2\x80\xae"
		      "b\xe2\x81\xa6"
		      "c\xd8\x9c"
		      "d\xe2\x80\xa6 \xd8\xa7 \xe2\x80";

	text_make_printable(text);
	cr_expect_str_eq(text, "a???b???c??d\xe2\x80\xa6 \xd8\xa7 \xe2\x80");
}
