/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The plan: from what should be and what is to the operations that make them the same. It is pure:
 * it reads the ledger and the observed structure, and touches neither kernel nor clock.
 */
#include "gatewayd/plan.h"

#include <errno.h>
#include <string.h>

#include "gatewayd/restrictions.h"

void structure_clear(struct structure *structure)
{
	for (size_t i = 0; i < structure->n_names; i++)
		free(structure->names[i]);
	free(structure->names);
	memset(structure, 0, sizeof(*structure));
}

/* Of the sets that are there, those that stay whether they are needed or not. */
static shape_sets kept_sets(const struct shape *shape, shape_sets there, unsigned ways)
{
	if (!(ways & PLAN_SHRINK))
		return there;
	return ways & PLAN_KEEP_MAPS ? there & shape_sets_of_all_mappings(shape) : 0;
}

static void plan_structure(const struct structure *actual, shape_sets needed, unsigned ways,
			   struct plan *plan)
{
	shape_sets there = actual->table && !actual->stale ? actual->sets : 0;
	unsigned counted = there ? actual->counters : 0;

	plan->sets = needed | kept_sets(plan->shape, there, ways);
	plan->add_sets = plan->sets & ~there;
	plan->drop_sets = there & ~plan->sets;
	plan->add_counters = shape_counters(plan->sets) & ~counted;
	plan->drop_counters = counted & ~shape_counters(plan->sets);
	if (actual->stale)
		plan->steps |= PLAN_DROP_TABLE;
	if (actual->stale || !actual->table)
		plan->steps |= PLAN_ADD_TABLE;
	plan->add_devices = (plan->sets & there & SHAPE_FASTPATH) && !actual->devices;
	if (plan->add_sets != 0 || plan->add_counters != 0)
		plan->steps |= PLAN_ADD_SETS;
	if (plan->drop_sets != 0 || plan->drop_counters != 0)
		plan->steps |= PLAN_DROP_SETS;
	plan->only_shrinks = actual->rules && plan->steps == PLAN_DROP_SETS;
	if (actual->rules && !(plan->steps & (PLAN_ADD_SETS | PLAN_DROP_SETS | PLAN_ADD_TABLE))) {
		plan->steps |= plan->add_devices ? PLAN_ADD_SETS : 0u;
		return;
	}
	plan->steps |= PLAN_ADD_RULES;
	if (!(plan->steps & PLAN_ADD_TABLE) && (actual->chains != 0 || actual->n_names > 0))
		plan->steps |= PLAN_DROP_RULES;
}

/* Elements are deleted one by one also where their set goes: whoever looks after connections reads
 * in the plan which mappings end. A table that is made anew has nothing to take away. */
static void add_operation(struct plan *plan, enum operation_kind kind, enum shape_set set,
			  struct entry *entry, struct member *member)
{
	if (kind == OPERATION_DELETE && (plan->steps & PLAN_ADD_TABLE))
		return;
	plan->operations[plan->n_operations++] = (struct operation){
		.kind = kind,
		.set = set,
		.entry = entry,
		.member = member,
	};
}

static void collect_deletes(const struct ledger *ledger, struct plan *plan)
{
	for (struct entry *entry = ledger->dirty; entry; entry = entry->next_dirty)
		if ((entry->flags & ENTRY_INSTALLED) && !entry_settled(entry))
			add_operation(plan, OPERATION_DELETE,
				      shape_map_of(plan->shape, &entry->key,
						   entry_installed_end(entry) != 0),
				      entry, NULL);
	for (struct member *m = ledger->members.dirty; m; m = m->next_dirty)
		if ((m->flags & MEMBER_INSTALLED) && !member_settled(m))
			add_operation(plan, OPERATION_DELETE, m->key.set, NULL, m);
}

static void collect_adds(const struct ledger *ledger, struct plan *plan)
{
	for (struct member *m = ledger->members.dirty; m; m = m->next_dirty)
		if ((m->flags & MEMBER_DESIRED) && !member_settled(m))
			add_operation(plan, OPERATION_ADD, m->key.set, NULL, m);
	for (struct entry *entry = ledger->dirty; entry; entry = entry->next_dirty)
		if ((entry->flags & ENTRY_DESIRED) && !entry_settled(entry))
			add_operation(plan, OPERATION_ADD,
				      shape_map_of(plan->shape, &entry->key,
						   entry_desired_end(entry) != 0),
				      entry, NULL);
}

static size_t count_changes(const struct ledger *ledger)
{
	size_t n = 0;

	for (struct entry *entry = ledger->dirty; entry; entry = entry->next_dirty)
		n += !entry_settled(entry);
	for (struct member *m = ledger->members.dirty; m; m = m->next_dirty)
		n += !member_settled(m);
	return n;
}

/* ---- prefixes that have to be there first ---- */

/* Of a mapping whose connections the kernel does not ask for their source yet. */
static bool is_early_prefix(const struct ledger *ledger, const struct member *member)
{
	const struct entry *entry;
	struct mapping_key key;

	if ((member->key.set != SHAPE_ALLOW4 && member->key.set != SHAPE_ALLOW6) ||
	    member_settled(member) || restrictions_owner(&member->key, &key) < 0 ||
	    restrictions_guards(&ledger->members, &key))
		return false;
	entry = ledger_find(ledger, &key);
	return entry && (entry->flags & ENTRY_INSTALLED);
}

static void collect_prefixes(const struct ledger *ledger, unsigned flag, enum operation_kind kind,
			     struct plan *plan)
{
	for (struct member *m = ledger->members.dirty; m; m = m->next_dirty)
		if ((m->flags & flag) && is_early_prefix(ledger, m))
			add_operation(plan, kind, m->key.set, NULL, m);
}

/* Leaves the plan empty where there are none to add, or no rules that could miss them. */
static void plan_prefixes(const struct ledger *ledger, const struct structure *actual,
			  struct plan *plan)
{
	size_t n_deletes;

	if (!actual->table || actual->stale || !actual->rules)
		return;
	/* What is left of a list that was refused may overlap with the new one. */
	collect_prefixes(ledger, MEMBER_INSTALLED, OPERATION_DELETE, plan);
	n_deletes = plan->n_operations;
	collect_prefixes(ledger, MEMBER_DESIRED, OPERATION_ADD, plan);
	plan->only_prefixes = plan->n_operations > n_deletes;
	if (!plan->only_prefixes) {
		plan->n_operations = 0;
		return;
	}
	plan->n_changes = plan->n_operations;
	for (size_t i = n_deletes; i < plan->n_operations; i++)
		plan->add_sets |= SHAPE_BIT(plan->operations[i].set) & ~actual->sets;
	plan->sets = actual->sets | plan->add_sets;
	plan->steps = plan->add_sets != 0 ? PLAN_ADD_SETS : 0;
}

static void plan_all(const struct ledger *ledger, struct structure *actual, unsigned ways,
		     struct plan *plan)
{
	plan_structure(actual, ledger_sets(ledger, plan->shape), ways, plan);
	if (plan->operations) {
		collect_deletes(ledger, plan);
		collect_adds(ledger, plan);
		plan->n_changes = count_changes(ledger);
	}
	if ((ways & PLAN_FILL_FIRST) && (plan->steps & PLAN_ADD_TABLE) &&
	    !(plan->steps & PLAN_DROP_TABLE) && plan->n_operations > 0)
		plan->steps &= ~(unsigned)PLAN_ADD_RULES;
}

int plan_make(const struct ledger *ledger, const struct shape *shape, struct structure *actual,
	      unsigned ways, struct plan *ret)
{
	struct plan plan = { .shape = shape, .actual = actual };
	size_t n_dirty = ledger->n_dirty + ledger->members.n_dirty;

	if (n_dirty > 0) {
		plan.operations = calloc(2 * n_dirty, sizeof(*plan.operations));
		if (!plan.operations)
			return -ENOMEM;
		plan_prefixes(ledger, actual, &plan);
	}
	if (!plan.only_prefixes)
		plan_all(ledger, actual, ways, &plan);
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

static void confirm(struct ledger *ledger)
{
	for (struct entry *entry = ledger->dirty; entry; entry = entry->next_dirty)
		if (!entry_settled(entry))
			ledger_confirm(ledger, entry);
	for (struct member *m = ledger->members.dirty; m; m = m->next_dirty)
		if (!member_settled(m))
			members_confirm(&ledger->members, m);
	ledger_settle(ledger);
}

static void prefixes_done(const struct plan *plan, struct ledger *ledger, struct structure *actual)
{
	for (size_t i = 0; i < plan->n_operations; i++)
		members_confirm(&ledger->members, plan->operations[i].member);
	ledger_settle(ledger);
	actual->sets = plan->sets; /* no rule asks them yet */
}

void plan_done(const struct plan *plan, const struct shape *shape, struct ledger *ledger,
	       struct structure *actual)
{
	if (plan->only_prefixes) {
		prefixes_done(plan, ledger, actual);
		return;
	}
	confirm(ledger);
	actual->devices |= plan->add_devices;
	/* Sets come with the rules that ask them, devices alone. */
	if (plan->steps == 0 || plan->steps == PLAN_ADD_SETS)
		return;
	structure_clear(actual);
	actual->devices = true;
	actual->table = true;
	actual->sets = plan->sets;
	actual->counters = shape_counters(plan->sets);
	if (plan->steps & PLAN_ADD_RULES)
		actual->chains = shape_chains(shape, plan->sets);
	actual->rules = plan->steps & PLAN_ADD_RULES;
}
