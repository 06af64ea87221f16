/* SPDX-License-Identifier: GPL-2.0-or-later */
/* UTF-8: what is a sequence, and texts that were cut or never were UTF-8. */
#include "lib/utf8.h"

#include <criterion/criterion.h>
#include <jansson.h>
#include <stdio.h>
#include <string.h>

Test(utf8, sequences_are_those_of_the_standard)
{
	static const struct {
		const char *text;
		size_t length;
	} cases[] = {
		{ "a", 1 },
		{ "\xc2\x80", 2 },
		{ "\xe2\x82\xac", 3 },
		{ "\xf4\x8f\xbf\xbf", 4 },
		{ "\x80", 0 },
		{ "\xc1\xbf", 0 },         /* an overlong form */
		{ "\xe0\x9f\xbf", 0 },     /* so is this */
		{ "\xed\xa0\x80", 0 },     /* a surrogate */
		{ "\xf4\x90\x80\x80", 0 }, /* too large */
		{ "\xe2\x82", 0 },         /* cut */
		{ "\xe2\x82x", 0 },
		{ "\xff", 0 },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		cr_assert_eq(utf8_is_valid(cases[i].text), cases[i].length > 0, "case %zu", i);
		cr_assert_eq(utf8_sequence(cases[i].text, strlen(cases[i].text)), cases[i].length,
			     "case %zu", i);
	}
	cr_assert(utf8_is_valid(""));
	cr_assert_not(utf8_is_valid("a\xe2\x82\xac\xff"));
}

Test(utf8, a_sentence_that_was_cut_is_mended_wherever_the_cut_is)
{
	char text[] = "ab\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80";

	for (size_t length = strlen(text); length > 0; length--) {
		char cut[sizeof(text)];
		json_t *json;

		(void)snprintf(cut, length + 1, "%s", text);
		utf8_mend(cut);
		json = json_string(cut);
		cr_assert(json, "at %zu", length);
		cr_assert(strlen(cut) + 3 >= length && !strchr(cut, '?'), "at %zu", length);
		json_decref(json);
	}
}

Test(utf8, what_is_amid_a_text_becomes_question_marks)
{
	char text[] = "a\xc3; \xff\xfe \xc3\xa9";

	utf8_mend(text);
	cr_assert_str_eq(text, "a?; ?? \xc3\xa9");
}

Test(utf8, what_is_right_stays)
{
	char text[] = "\xc3\xa9 and \xe2\x82\xac", empty[] = "";

	utf8_mend(text);
	cr_assert_str_eq(text, "\xc3\xa9 and \xe2\x82\xac");
	utf8_mend(empty);
	cr_assert_str_eq(empty, "");
}
