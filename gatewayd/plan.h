/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The plan: from what should be and what is to the operations that make them the same. It is pure:
 * it reads the ledger and the observed structure, and touches neither kernel nor clock.
 */
#pragma once

#include "gatewayd/ledger.h"
#include "gatewayd/shape.h"

/* What a dump found of the table's structure, compared with our shape. */
struct structure {
	bool table;   /* it exists and can be kept */
	bool stale;   /* it exists and must go first: dormant, owned, or its maps are not ours */
	bool maps;    /* both maps are as they should be */
	bool chains;  /* all chains and rules are as they should be, and there are no others */
	char **names; /* of the chains that are there; owned */
	size_t n_names;
};
void structure_clear(struct structure *structure);

/* Steps on the structure, in the order in which they are done. */
enum plan_step {
	PLAN_DROP_TABLE = 1 << 0,
	PLAN_ADD_TABLE = 1 << 1,
	PLAN_ADD_MAPS = 1 << 2,
	PLAN_DROP_CHAINS = 1 << 3, /* with all rules of the table */
	/* …elements… */
	PLAN_ADD_CHAINS = 1 << 4,
};

enum operation_kind {
	OPERATION_DELETE,
	OPERATION_ADD,
};

struct operation {
	enum operation_kind kind;
	struct entry *entry; /* borrowed from the ledger */
};

struct plan {
	unsigned steps;               /* enum plan_step */
	struct structure *actual;     /* borrowed: names of the chains to drop */
	struct operation *operations; /* deletes first, then adds */
	size_t n_operations;
	size_t n_changes; /* mappings that differ; a changed one has two operations */
};

/* Makes the plan for all dirty entries. With fill_first, a table that has to be made from nothing
 * is filled in one transaction and hooked in the next, since a large transaction on a hooked table
 * stalls traffic: the plan leaves the chains out, and the one after it adds them. */
int plan_make(const struct ledger *ledger, struct structure *actual, bool fill_first,
	      struct plan *ret) _must_check_;
void plan_clear(struct plan *plan);
bool plan_is_empty(const struct plan *plan);

/* The kernel has done the plan: brings ledger and structure up to date. */
void plan_done(const struct plan *plan, struct ledger *ledger, struct structure *actual);
