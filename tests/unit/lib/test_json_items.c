/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A long array item by item: what is taken, and what is left to the reader of whole texts. */
#include "lib/json_items.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>

/* The items' sum, or what ends them before their end; -ENOENT where the text does not begin so. */
static int sum(const char *text, const char *field)
{
	struct json_items items;
	json_t *item;
	int r, total = 0;

	if (!json_items_begin(&items, text, strlen(text), field))
		return -ENOENT;
	while ((r = json_items_next(&items, &item)) > 0) {
		total += (int)json_integer_value(json_object_get(item, "n"));
		json_decref(item);
	}
	return r < 0 ? r : total;
}

Test(json_items, arrays_with_and_without_an_object_around_them)
{
	cr_assert_eq(sum("[]", NULL), 0);
	cr_assert_eq(sum(" [ ]\n", NULL), 0);
	cr_assert_eq(sum("[{\"n\":1},{\"n\":20},{\"n\":300}]", NULL), 321);
	cr_assert_eq(sum("\t[\r\n{ \"n\" : 1 } , {\"n\":20}\n]\n ", NULL), 21);
	cr_assert_eq(sum("{\"list\":[]}", "list"), 0);
	cr_assert_eq(sum(" { \"list\" : [ {\"n\":7} ] } \n", "list"), 7);
	cr_assert_eq(sum("[{\"n\":1,\"s\":\"]}, [{\\\"\"},{\"n\":2}]", NULL), 3);
}

Test(json_items, the_length_ends_the_text)
{
	struct json_items items;
	json_t *item;

	cr_assert(json_items_begin(&items, "[{}]]", 4, NULL));
	cr_assert_eq(json_items_next(&items, &item), 1);
	json_decref(item);
	cr_assert_eq(json_items_next(&items, &item), 0);
	cr_assert_eq(items.n, 1);
	cr_assert(json_items_begin(&items, "[{}]", 3, NULL));
	cr_assert_eq(json_items_next(&items, &item), 1);
	json_decref(item);
	cr_assert_eq(json_items_next(&items, &item), -EBADMSG);
}

Test(json_items, what_else_begins_a_text_is_not_begun)
{
	cr_assert_eq(sum("", NULL), -ENOENT);
	cr_assert_eq(sum("{}", NULL), -ENOENT);
	cr_assert_eq(sum("7", NULL), -ENOENT);
	cr_assert_eq(sum("[]", "list"), -ENOENT);
	cr_assert_eq(sum("{}", "list"), -ENOENT);
	cr_assert_eq(sum("{\" list\":[]}", "list"), -ENOENT);
	cr_assert_eq(sum("{\"lists\":[]}", "list"), -ENOENT);
	cr_assert_eq(sum("{\"list\":{}}", "list"), -ENOENT);
	cr_assert_eq(sum("{\"more\":1,\"list\":[]}", "list"), -ENOENT);
}

Test(json_items, whatever_is_not_whole_or_has_more_to_it_is_noticed)
{
	static const char *const bare[] = {
		"[",
		"[{}",
		"[{},",
		"[{},]",
		"[,{}]",
		"[{} {}]",
		"[{}]]",
		"[{}] x",
		"[{}]{}",
		"[1]",
		"[null]",
		"[{\"n\":1]",
		"[{\"n\"}]",
		"[{\"n\":1,\"n\":2}]",
		"[{\"n\":\"\xff\"}]",
		"[{}}",
	};
	static const char *const wrapped[] = {
		"{\"list\":[]",
		"{\"list\":[]]",
		"{\"list\":[],\"list\":[]}",
		"{\"list\":[],\"more\":1}",
		"{\"list\":[],}",
		"{\"list\":[]} {}",
		"{\"list\":[}",
	};

	for (size_t i = 0; i < ARRAY_SIZE(bare); i++)
		cr_assert_eq(sum(bare[i], NULL), -EBADMSG, "%s", bare[i]);
	for (size_t i = 0; i < ARRAY_SIZE(wrapped); i++)
		cr_assert_eq(sum(wrapped[i], "list"), -EBADMSG, "%s", wrapped[i]);
}
