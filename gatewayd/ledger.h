/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The ledger: for each mapping what should be (desired) and what the kernel has (installed), side
 * by side in one entry, so that the difference is known without a search; and beside the mappings
 * the members of the other sets. It holds memory only; it neither plans nor applies.
 *
 * An entry exists while it is desired or installed. Entries whose two sides may differ are in the
 * dirty list. Pointers to entries stay valid until the entry is dropped.
 */
#pragma once

#include "gatewayd/members.h"
#include "gatewayd/policy.h"
#include "lib/min_heap.h"
#include "proto/mapping.h"

enum entry_flags {
	ENTRY_DESIRED = 1 << 0,
	ENTRY_INSTALLED = 1 << 1,
	ENTRY_DIRTY = 1 << 2,
	ENTRY_LABEL_DIFFERS = 1 << 3, /* the kernel's comment is not this label */
	ENTRY_MARKED = 1 << 4,        /* scratch for whole-table passes */
	ENTRY_ADOPTED = 1 << 5,       /* desired because the kernel has it; while it is read */
};

/* What few mappings have: made when it is needed, so that the others cost nothing. */
struct entry_extra {
	struct policy policy;         /* of the desired side */
	int64_t installed_expires_at; /* of the kernel's element; 0: it has no timeout */
	struct entry *entry;
	struct min_heap_node by_end; /* in ledger.expiring, where the desired side has an end */
};

struct entry {
	struct mapping_key key;
	struct endpoint target;    /* where ENTRY_DESIRED */
	struct endpoint installed; /* where ENTRY_INSTALLED */
	uint8_t flags;
	uint64_t revision; /* of the desired side */
	char *label; /* owned; see shape_label_format; NULL: none. Of the desired side, or of the
		      * kernel's element where only that exists */
	struct entry_extra *extra; /* owned; NULL: neither policy nor timeout */
	struct entry *next_dirty;
};

struct ledger {
	struct entry **slots; /* open addressing with linear probing; a power of two */
	size_t n_slots, n_entries;
	size_t n_desired, n_desired6;   /* all, and those of IPv6 */
	size_t n_expiring, n_expiring6; /* of the desired ones, those that end by themselves */
	struct min_heap expiring;       /* the same, by their ends */
	size_t n_installed;
	struct entry *dirty;
	size_t n_dirty;
	struct members members;
};

#define LEDGER_INIT ((struct ledger){ 0 })

void ledger_clear(struct ledger *ledger);

/* By which mappings are found, here and in the flow table. */
uint64_t ledger_hash(const struct mapping_key *key);
/* NULL if there is none. */
struct entry *ledger_find(const struct ledger *ledger, const struct mapping_key *key);

/* Sets the desired side, making the entry where there is none. label and policy may be NULL; they
 * are copied. The entry gets dirty where the kernel has something else. */
int ledger_desire(struct ledger *ledger, const struct mapping_key *key,
		  const struct endpoint *target, const char *label, const struct policy *policy,
		  uint64_t revision, struct entry **ret) _must_check_;
/* Ends the desired side. An entry that is not installed either is dropped with the next
 * ledger_settle. */
void ledger_undesire(struct ledger *ledger, struct entry *entry);

/* The kernel has this element: for a dump of the table. comment may be NULL; expires_at is 0 where
 * the element has no timeout. An entry that is not desired takes the comment as its label. */
int ledger_install(struct ledger *ledger, const struct mapping_key *key,
		   const struct endpoint *target, const char *comment, int64_t expires_at,
		   struct entry **ret) _must_check_;
/* The kernel does not have this element (any more). */
void ledger_uninstall(struct ledger *ledger, struct entry *entry);
/* The kernel has exactly the desired side. */
void ledger_confirm(struct ledger *ledger, struct entry *entry);

/* When each side ends by itself, in Unix seconds; 0: never. */
int64_t entry_desired_end(const struct entry *entry);
int64_t entry_installed_end(const struct entry *entry);
/* A desired mapping whose end has come by now; NULL: none. */
struct entry *ledger_due(const struct ledger *ledger, int64_t now);
/* When the next desired mapping ends; 0: none does. */
int64_t ledger_next_end(const struct ledger *ledger);
/* The desired side's policy; an empty one where it has none. */
const struct policy *entry_policy(const struct entry *entry);

/* Whether both sides are the same, so that there is nothing to do. Members that belong to the
 * mapping are not looked at. */
bool entry_settled(const struct entry *entry);
void ledger_touch(struct ledger *ledger, struct entry *entry); /* puts it into the dirty list */

/* Empties the dirty lists of what is settled, and drops what neither side wants. */
void ledger_settle(struct ledger *ledger);

/* The sets that a table of this shape has for the desired side. */
shape_sets ledger_sets(const struct ledger *ledger, const struct shape *shape);

/* Walks all entries: index starts at 0 and is advanced; NULL at the end. Entries may be changed but
 * neither made nor dropped meanwhile. */
struct entry *ledger_next(const struct ledger *ledger, size_t *index);
