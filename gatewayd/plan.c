/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The plan: from what should be and what is to the operations that make them the same. It is pure:
 * it reads the ledger and the observed structure, and touches neither kernel nor clock.
 */
#include "gatewayd/plan.h"

#include <errno.h>
#include <string.h>

void structure_clear(struct structure *structure)
{
	for (size_t i = 0; i < structure->n_names; i++)
		free(structure->names[i]);
	free(structure->names);
	memset(structure, 0, sizeof(*structure));
}

static unsigned plan_steps(const struct structure *actual)
{
	unsigned steps = 0;

	if (actual->stale)
		return PLAN_DROP_TABLE | PLAN_ADD_TABLE | PLAN_ADD_MAPS | PLAN_ADD_CHAINS;
	if (!actual->table)
		return PLAN_ADD_TABLE | PLAN_ADD_MAPS | PLAN_ADD_CHAINS;
	if (!actual->maps)
		steps |= PLAN_ADD_MAPS;
	if (!actual->chains)
		steps |= PLAN_ADD_CHAINS | (actual->n_names > 0 ? PLAN_DROP_CHAINS : 0u);
	return steps;
}

/* Elements to take away and to put for one entry. Where the table is made anew there is nothing to
 * take away. */
static bool needs_delete(const struct entry *entry)
{
	return (entry->flags & ENTRY_INSTALLED) && !entry_settled(entry);
}

static bool needs_add(const struct entry *entry)
{
	return (entry->flags & ENTRY_DESIRED) && !entry_settled(entry);
}

static size_t collect(const struct ledger *ledger, enum operation_kind kind,
		      bool (*wanted)(const struct entry *entry), struct operation *operations)
{
	size_t n = 0;

	for (struct entry *entry = ledger->dirty; entry; entry = entry->next_dirty)
		if (wanted(entry))
			operations[n++] = (struct operation){ .kind = kind, .entry = entry };
	return n;
}

int plan_make(const struct ledger *ledger, struct structure *actual, bool fill_first,
	      struct plan *ret)
{
	struct plan plan = { .actual = actual, .steps = plan_steps(actual) };
	size_t n_adds;

	if (ledger->n_dirty > 0) {
		plan.operations = calloc(2 * ledger->n_dirty, sizeof(*plan.operations));
		if (!plan.operations)
			return -ENOMEM;
		plan.n_operations =
			collect(ledger, OPERATION_DELETE, needs_delete, plan.operations);
		n_adds = collect(ledger, OPERATION_ADD, needs_add,
				 plan.operations + plan.n_operations);
		plan.n_operations += n_adds;
		for (struct entry *entry = ledger->dirty; entry; entry = entry->next_dirty)
			plan.n_changes += !entry_settled(entry);
	}
	if (fill_first && (plan.steps & PLAN_ADD_TABLE) && !(plan.steps & PLAN_DROP_TABLE) &&
	    plan.n_operations > 0)
		plan.steps &= ~(unsigned)PLAN_ADD_CHAINS;
	*ret = plan;
	return 0;
}

void plan_clear(struct plan *plan)
{
	free(plan->operations);
	memset(plan, 0, sizeof(*plan));
}

bool plan_is_empty(const struct plan *plan)
{
	return plan->steps == 0 && plan->n_operations == 0;
}

void plan_done(const struct plan *plan, struct ledger *ledger, struct structure *actual)
{
	for (size_t i = 0; i < plan->n_operations; i++)
		ledger_confirm(ledger, plan->operations[i].entry);
	ledger_settle(ledger);
	if (plan->steps == 0)
		return;
	structure_clear(actual);
	actual->table = true;
	actual->maps = true;
	actual->chains = plan->steps & PLAN_ADD_CHAINS;
}
