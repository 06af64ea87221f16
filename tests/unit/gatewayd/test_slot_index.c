/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The index of record numbers: what was added is found, what was removed is not, at any load and
 * with any number of equal hashes.
 */
#include <criterion/criterion.h>
#include <string.h>

#include "gatewayd/slot_index.h"

enum { RECORDS = 3000 };

static uint32_t hashes[RECORDS];

static uint32_t hash(const void *owner, uint32_t record)
{
	return ((const uint32_t *)owner)[record];
}

static struct slot_index index_of_hashes(void)
{
	return (struct slot_index){ .hash = hash, .owner = hashes };
}

static bool has(const struct slot_index *index, uint32_t record)
{
	size_t cursor = slot_index_begin(index, hashes[record]);
	uint32_t found;

	while ((found = slot_index_next(index, &cursor)) != SLOT_INDEX_NONE)
		if (found == record)
			return true;
	return false;
}

static void fill(struct slot_index *index)
{
	for (uint32_t i = 0; i < RECORDS; i++)
		cr_assert_eq(slot_index_add(index, i), 0);
}

/* Adds all, removes them in an order of its own, and looks after each whether the rest is there. */
static void check(void)
{
	struct slot_index index = index_of_hashes();
	bool there[RECORDS];

	cr_assert_not(has(&index, 0));
	fill(&index);
	memset(there, 1, sizeof(there));
	for (uint32_t i = 0; i < RECORDS; i++) {
		uint32_t record = (i * 1009) % RECORDS;

		slot_index_remove(&index, record);
		there[record] = false;
		if (i % 50 == 0)
			for (uint32_t j = 0; j < RECORDS; j++)
				cr_assert_eq(has(&index, j), there[j], "%u after %u", j, i);
	}
	cr_assert_eq(index.n, 0);
	slot_index_clear(&index);
}

Test(slot_index, works_with_hashes_that_differ)
{
	for (uint32_t i = 0; i < RECORDS; i++)
		hashes[i] = i * 2654435761u;
	check();
}

Test(slot_index, works_with_hashes_that_are_equal_or_neighbours)
{
	for (uint32_t i = 0; i < RECORDS; i++)
		hashes[i] = UINT32_MAX - i / 100; /* at the end of the table, and around it */
	check();
}
