/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A hash index of record numbers: open addressing with linear probing. It holds no records and
 * knows no keys: its owner hashes and compares.
 */
#include "gatewayd/slot_index.h"

#include <errno.h>
#include <string.h>

#include "lib/array.h"

#define SLOTS_FIRST 64

uint64_t hash_bytes(uint64_t hash, const void *data, size_t length)
{
	const uint8_t *bytes = data;

	for (size_t i = 0; i < length; i++)
		hash = (hash ^ bytes[i]) * UINT64_C(0x100000001b3);
	return hash;
}

int index_list_add(struct index_list *list, uint32_t item)
{
	uint32_t *grown = array_grow(list->items, sizeof(*grown), list->n, &list->allocated);

	if (!grown)
		return -ENOMEM;
	list->items = grown;
	list->items[list->n++] = item;
	return 0;
}

void slot_index_clear(struct slot_index *index)
{
	free(index->slots);
	index->slots = NULL;
	index->n_slots = index->n = 0;
}

static size_t home_of(const struct slot_index *index, uint32_t record)
{
	return index->hash(index->owner, record) & (index->n_slots - 1);
}

static void put(struct slot_index *index, uint32_t record)
{
	size_t slot = home_of(index, record);

	while (index->slots[slot] != SLOT_INDEX_NONE)
		slot = (slot + 1) & (index->n_slots - 1);
	index->slots[slot] = record;
}

static int grow(struct slot_index *index)
{
	struct slot_index grown = *index;

	grown.n_slots = index->n_slots ? 2 * index->n_slots : SLOTS_FIRST;
	grown.slots = reallocarray(NULL, grown.n_slots, sizeof(*grown.slots));
	if (!grown.slots)
		return -ENOMEM;
	memset(grown.slots, 0xff, grown.n_slots * sizeof(*grown.slots));
	for (size_t i = 0; i < index->n_slots; i++)
		if (index->slots[i] != SLOT_INDEX_NONE)
			put(&grown, index->slots[i]);
	free(index->slots);
	*index = grown;
	return 0;
}

int slot_index_reserve(struct slot_index *index)
{
	/* Three quarters full at most: probing stays short. */
	return 4 * (index->n + 1) > 3 * index->n_slots ? grow(index) : 0;
}

int slot_index_add(struct slot_index *index, uint32_t record)
{
	int r = slot_index_reserve(index);

	if (r < 0)
		return r;
	put(index, record);
	index->n++;
	return 0;
}

void slot_index_remove(struct slot_index *index, uint32_t record)
{
	size_t mask = index->n_slots - 1, hole = home_of(index, record);

	while (index->slots[hole] != record)
		hole = (hole + 1) & mask;
	for (size_t next = (hole + 1) & mask; index->slots[next] != SLOT_INDEX_NONE;
	     next = (next + 1) & mask) {
		size_t home = home_of(index, index->slots[next]);

		/* It may move into the hole unless its home lies behind the hole. */
		if (((next - home) & mask) >= ((next - hole) & mask)) {
			index->slots[hole] = index->slots[next];
			hole = next;
		}
	}
	index->slots[hole] = SLOT_INDEX_NONE;
	index->n--;
}

size_t slot_index_begin(const struct slot_index *index, uint32_t hash)
{
	return index->n_slots ? hash & (index->n_slots - 1) : 0;
}

uint32_t slot_index_next(const struct slot_index *index, size_t *cursor)
{
	uint32_t record;

	if (index->n_slots == 0)
		return SLOT_INDEX_NONE;
	record = index->slots[*cursor];
	*cursor = (*cursor + 1) & (index->n_slots - 1);
	return record;
}
