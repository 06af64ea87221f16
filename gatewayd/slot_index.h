/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A hash index of record numbers: open addressing, four bytes a slot. It holds no records and knows
 * no keys: its owner hashes and compares.
 */
#pragma once

#include "lib/util.h"

#define SLOT_INDEX_NONE UINT32_MAX

/* FNV-1a: hash is HASH_SEED or what was returned for the bytes before. */
#define HASH_SEED UINT64_C(0xcbf29ce484222325)
uint64_t hash_bytes(uint64_t hash, const void *data, size_t length);

/* Record numbers in a row. */
struct index_list {
	uint32_t *items; /* owned */
	size_t n, allocated;
};
int index_list_add(struct index_list *list, uint32_t item) _must_check_;

struct slot_index {
	uint32_t *slots; /* owned; SLOT_INDEX_NONE: empty */
	size_t n_slots;  /* a power of two */
	size_t n;
	uint32_t (*hash)(const void *owner, uint32_t record);
	const void *owner; /* borrowed */
};

void slot_index_clear(struct slot_index *index); /* keeps hash and owner */

/* Room for one more, so that adding it cannot fail. -ENOMEM. */
int slot_index_reserve(struct slot_index *index) _must_check_;
/* Several records may have one hash, and one record is added once. -ENOMEM. */
int slot_index_add(struct slot_index *index, uint32_t record) _must_check_;
/* It must be there, and hash as when it was added. */
void slot_index_remove(struct slot_index *index, uint32_t record);

/* The records that may have this hash, one by one; SLOT_INDEX_NONE at the end. *cursor starts with
 * slot_index_begin. The index must not change meanwhile. */
size_t slot_index_begin(const struct slot_index *index, uint32_t hash);
uint32_t slot_index_next(const struct slot_index *index, size_t *cursor);
