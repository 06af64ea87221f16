/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Members: the elements of all sets of the table that are no maps of mappings. For each, what
 * should be (desired) and what the kernel has (installed), side by side, as the ledger has it for
 * mappings. Some belong to a mapping (its limits), others stand alone (a ban). It holds memory
 * only.
 *
 * A member exists while it is desired or installed. Pointers to members stay valid until the member
 * is dropped by members_settle.
 */
#pragma once

/* uthash ends the process when memory runs out unless it is told not to: a member that could not be
 * added has hh.tbl == NULL. */
#define HASH_NONFATAL_OOM 1
#define uthash_nonfatal_oom(element) \
	do {                         \
	} while (0)
#include <uthash.h>

#include "gatewayd/shape_set.h"

enum member_flags {
	MEMBER_DESIRED = 1 << 0,
	MEMBER_INSTALLED = 1 << 1,
	MEMBER_DIRTY = 1 << 2,
	MEMBER_MARKED = 1 << 3, /* scratch for whole-table passes */
};

/* What makes a member unique: its set and key; for a range, from key to end. Compared as bytes, so
 * what is not used is zero. */
struct member_key {
	uint8_t set;        /* enum shape_set */
	uint8_t length;     /* bytes of key, and of end */
	uint8_t end_length; /* 0: one value and no range */
	uint8_t key[SHAPE_KEY_MAX];
	uint8_t end[SHAPE_KEY_MAX]; /* the last value of a range */
};

/* What an element says beside its key. */
struct member_terms {
	struct address value; /* where its set leads numbers to addresses; else none */
	uint32_t limit;       /* of the element's own statement; 0 where its set has none */
	const char *comment;  /* NULL: none; a member keeps a copy */
	int64_t expires_at;   /* Unix seconds; 0: never */
};

struct member {
	struct member_key key;
	struct member_terms desired;   /* where MEMBER_DESIRED */
	struct member_terms installed; /* where MEMBER_INSTALLED */
	uint8_t flags;
	uint64_t packets; /* the element's own counter when it was last read */
	struct member *next_dirty;
	UT_hash_handle hh; /* of members.all, by key */
};

struct members {
	struct member *all;
	size_t n_desired[SHAPE_SET_MAX];
	struct member *dirty;
	size_t n_dirty;
};

#define MEMBERS_INIT ((struct members){ 0 })

void members_clear(struct members *members);

/* NULL if there is none. */
struct member *members_find(const struct members *members, const struct member_key *key);

/* Sets the desired side, making the member where there is none. */
int members_desire(struct members *members, const struct member_key *key,
		   const struct member_terms *terms, struct member **ret) _must_check_;
void members_undesire(struct members *members, struct member *member);

/* The kernel has this element: for a dump of the table. */
int members_install(struct members *members, const struct member_key *key,
		    const struct member_terms *terms, struct member **ret) _must_check_;
/* The kernel does not have this element (any more). */
void members_uninstall(struct members *members, struct member *member);
/* The kernel has exactly the desired side. */
void members_confirm(struct members *members, struct member *member);

/* Whether both sides are the same, so that there is nothing to do. */
bool member_settled(const struct member *member);

/* Empties the dirty list of what is settled, and drops members that neither side wants. */
void members_settle(struct members *members);

/* Sets with desired members. */
shape_sets members_sets(const struct members *members);
