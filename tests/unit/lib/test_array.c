/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Arrays that grow: what is in them stays, and memory that is not to be had changes nothing. */
#include <criterion/criterion.h>
#include <stdint.h>

#include "lib/array.h"

Test(array, grows_and_keeps_what_is_in_it)
{
	uint32_t *items = NULL;
	size_t n = 0, allocated = 0, moves = 0;

	for (uint32_t i = 0; i < 100000; i++) {
		size_t before = allocated;
		uint32_t *grown = array_grow(items, sizeof(*items), n, &allocated);

		cr_assert_not_null(grown);
		items = grown;
		items[n++] = i;
		moves += allocated != before;
		cr_assert_leq(n, allocated);
	}
	for (uint32_t i = 0; i < n; i++)
		cr_assert_eq(items[i], i);
	cr_assert_lt(moves, 20, "it doubles");
	free(items);
}

Test(array, stays_where_there_is_no_memory)
{
	char item = 'x';
	size_t allocated = SIZE_MAX / 4;

	cr_assert_null(array_grow(&item, 64, allocated, &allocated));
	cr_assert_eq(allocated, SIZE_MAX / 4);
	cr_assert_eq(item, 'x');
}
