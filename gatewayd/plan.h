/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The plan: from what should be and what is to the operations that make them the same. It is pure:
 * it reads the ledger and the observed structure, and touches neither kernel nor clock.
 */
#pragma once

#include "gatewayd/ledger.h"
#include "gatewayd/shape.h"

/* What a dump found of the table's structure, compared with our shape. */
struct structure {
	bool table;      /* it exists and can be kept */
	bool stale;      /* it exists and must go first: dormant, owned, or its sets are not ours */
	shape_sets sets; /* that are there, as they should be */
	unsigned counters; /* the same */
	unsigned chains;   /* that are there, as they should be but for their rules */
	bool devices;      /* the flowtable, where there is one, has all its devices */
	bool rules;        /* all chains for these sets are there, with exactly their rules */
	char **names;      /* of chains that have to go; owned */
	size_t n_names;
};
void structure_clear(struct structure *structure);

/* Steps on the structure, in the order in which they are done. */
enum plan_step {
	PLAN_DROP_TABLE = 1 << 0,
	PLAN_ADD_TABLE = 1 << 1,
	PLAN_DROP_RULES = 1 << 2, /* all rules of the table, and chains that have to go */
	PLAN_ADD_SETS = 1 << 3,   /* and counters, and the flowtable or devices of it */
	/* …elements… */
	PLAN_DROP_SETS = 1 << 4,
	PLAN_ADD_RULES = 1 << 5, /* and chains that are missing */
};

enum operation_kind {
	OPERATION_DELETE,
	OPERATION_ADD,
};

struct operation {
	enum operation_kind kind;
	enum shape_set set;
	/* One of the two; borrowed from the ledger. */
	struct entry *entry;
	struct member *member;
};

struct plan {
	unsigned steps;      /* enum plan_step */
	shape_sets sets;     /* that the table has when the plan is done */
	shape_sets add_sets; /* PLAN_ADD_SETS */
	unsigned add_counters, drop_counters;
	shape_sets drop_sets;         /* PLAN_DROP_SETS */
	bool add_devices;             /* PLAN_ADD_SETS: the flowtable is there and lacks some */
	const struct shape *shape;    /* borrowed */
	struct structure *actual;     /* borrowed: what is there */
	bool only_shrinks;            /* the steps take away what nobody uses, and mend nothing */
	bool only_prefixes;           /* see plan_make; the next plan has the rest */
	struct operation *operations; /* deletes first, then adds */
	size_t n_operations;
	size_t n_changes; /* mappings and other members that differ */
};

/* Ways of planning, as bits. */
enum plan_way {
	/* A table that has to be made from nothing is filled in one transaction and hooked in the
	 * next, since a large transaction on a hooked table stalls traffic: the plan leaves the
	 * chains out, and the one after it adds them. */
	PLAN_FILL_FIRST = 1 << 0,
	/* Sets that nobody uses any more, and the rules that ask them, are taken away. Otherwise
	 * they are kept for the next who does. */
	PLAN_SHRINK = 1 << 1,
	/* … but not the maps of mappings, which change nothing by being empty. */
	PLAN_KEEP_MAPS = 1 << 2,
};

/* Makes the plan for all that is dirty. A set that is used for the first time comes in the same
 * transaction as its first element.
 *
 * Where a mapping that the kernel has gets its first allow-list, the plan has the prefixes alone,
 * and the one after it the rest: the kernel takes in the new elements of a set of ranges at the end
 * of a commit, and all others at its beginning, so that with one plan for both the mapping would
 * for a moment be closed to everybody. */
int plan_make(const struct ledger *ledger, const struct shape *shape, struct structure *actual,
	      unsigned ways, struct plan *ret) _must_check_;
void plan_clear(struct plan *plan);
bool plan_is_empty(const struct plan *plan);

/* The kernel has done the plan: brings ledger and structure up to date. Nothing may have become
 * dirty since the plan was made. */
void plan_done(const struct plan *plan, const struct shape *shape, struct ledger *ledger,
	       struct structure *actual);
