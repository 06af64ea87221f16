/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The heap: what is first, beside a plain search through all, whatever came and went before. */
#include <criterion/criterion.h>
#include <string.h>

#include "lib/min_heap.h"

#define ITEMS 500
#define MANY 200000

static struct min_heap heap;
static struct min_heap_node items[ITEMS];
static bool there[ITEMS];

static void add(size_t i, int64_t order)
{
	min_heap_add(&heap, &items[i], order);
	there[i] = true;
}

static void drop(size_t i)
{
	static const struct min_heap_node none;

	min_heap_remove(&heap, &items[i]);
	cr_assert_arr_eq(&items[i], &none, sizeof(none));
	there[i] = false;
}

/* Something of the lowest order is first. */
static void expect_first(void)
{
	const struct min_heap_node *lowest = NULL;

	for (size_t i = 0; i < ITEMS; i++)
		if (there[i] && (!lowest || items[i].order < lowest->order))
			lowest = &items[i];
	if (!lowest) {
		cr_assert_null(heap.first);
		return;
	}
	cr_assert_not_null(heap.first);
	cr_assert_eq(heap.first->order, lowest->order);
	cr_assert(there[heap.first - items], "it was removed");
}

Test(min_heap, is_empty_at_first_and_at_last)
{
	cr_assert_null(heap.first);
	add(0, 7);
	cr_assert_eq(heap.first, &items[0]);
	cr_assert_eq(heap.first->order, 7);
	drop(0);
	cr_assert_null(heap.first);
}

Test(min_heap, gives_in_order_what_came_in_any)
{
	int64_t last = INT64_MIN;

	for (size_t i = 0; i < ITEMS; i++)
		add(i, (int64_t)(i * 7919 % ITEMS) - ITEMS / 2);
	for (size_t i = 0; i < ITEMS; i++) {
		cr_assert_eq(heap.first->order, (int64_t)i - ITEMS / 2);
		cr_assert_gt(heap.first->order, last);
		last = heap.first->order;
		drop((size_t)(heap.first - items));
	}
	cr_assert_null(heap.first);
}

Test(min_heap, has_the_lowest_first_whatever_comes_and_goes)
{
	uint32_t random = 1;

	for (size_t turn = 0; turn < 20000; turn++) {
		size_t i;

		random = random * 1664525 + 1013904223;
		i = (random >> 16) % ITEMS;
		if (there[i])
			drop(i);
		else
			add(i, random % 64); /* many of one order */
		expect_first();
	}
	for (size_t i = 0; i < ITEMS; i++) {
		if (there[i])
			drop(i);
		expect_first();
	}
}

/* A walk through all for each would take minutes, and a call for each sibling the stack. */
Test(min_heap, of_very_many_is_quick, .timeout = 30)
{
	struct min_heap_node *many = calloc(MANY, sizeof(*many));

	cr_assert_not_null(many);
	for (size_t i = 0; i < MANY; i++)
		min_heap_add(&heap, &many[i], (int64_t)i);
	for (size_t i = 0; i < MANY; i++) {
		cr_assert_eq(heap.first, &many[i]);
		min_heap_remove(&heap, &many[i]);
		min_heap_add(&heap, &many[i], (int64_t)(MANY + i));
	}
	for (size_t i = MANY; i-- > 0;)
		min_heap_remove(&heap, &many[i]);
	cr_assert_null(heap.first);
	free(many);
}
