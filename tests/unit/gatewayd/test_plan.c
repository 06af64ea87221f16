/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The plan: which steps on the table follow from what is there, and which operations on elements.
 */
#include <string.h>

#include "gatewayd/plan.h"
#include "tests/unit/gatewayd/make.h"

#define ALL (PLAN_ADD_TABLE | PLAN_ADD_SETS | PLAN_ADD_RULES)
#define MAPS (SHAPE_BIT(SHAPE_MAPPING4) | SHAPE_BIT(SHAPE_MAPPING6))
#define P0 "203.0.113.10:30000"
#define P6 "[2001:db8::10]:30000"
#define A6 "[2001:db8::5]:22"
#define P1 "203.0.113.10:30001"
#define P2 "203.0.113.10:30002"
#define P3 "203.0.113.10:30003"
#define A "10.0.0.5:22"
#define B "10.0.0.6:22"

static struct ledger ledger;
static struct plan plan;

/* One mapping of each family, so that their maps are wanted. */
static void begin(void)
{
	ledger = LEDGER_INIT;
	install(&ledger, P0, A, NULL);
	desire(&ledger, P0, A, NULL);
	install(&ledger, P6, A6, NULL);
	desire(&ledger, P6, A6, NULL);
	ledger_settle(&ledger);
}

static void end(void)
{
	plan_clear(&plan);
	ledger_clear(&ledger);
}

TestSuite(plan, .init = begin, .fini = end);

static const struct shape shape = { .map_size = 1000 };

static void make(struct structure *actual, unsigned ways)
{
	plan_clear(&plan);
	cr_assert_eq(plan_make(&ledger, &shape, actual, ways, &plan), 0);
}

#define WHOLE                                                           \
	{                                                               \
		.table = true, .sets = MAPS, .chains = 7, .rules = true \
	}
static const struct structure whole = WHOLE;

struct row {
	const char *name;
	struct structure actual;
	unsigned steps;
};

static char *one_chain[] = { "prerouting" };

static const struct row rows[] = {
	{ "nothing is there", { 0 }, ALL },
	{ "all is there", WHOLE, 0 },
	{ "it has to go first",
	  { .table = true, .stale = true, .sets = MAPS, .chains = 7, .rules = true },
	  PLAN_DROP_TABLE | ALL },
	{ "an empty table", { .table = true }, PLAN_ADD_SETS | PLAN_ADD_RULES },
	{ "filled and not hooked yet", { .table = true, .sets = MAPS }, PLAN_ADD_RULES },
	{ "other chains",
	  { .table = true, .sets = MAPS, .names = one_chain, .n_names = 1 },
	  PLAN_DROP_RULES | PLAN_ADD_RULES },
	{ "other rules",
	  { .table = true, .sets = MAPS, .chains = 7 },
	  PLAN_DROP_RULES | PLAN_ADD_RULES },
	{ "sets are missing",
	  { .table = true, .chains = 7, .rules = true },
	  PLAN_ADD_SETS | PLAN_DROP_RULES | PLAN_ADD_RULES },
};

Test(plan, steps)
{
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct structure actual = rows[i].actual;

		make(&actual, 0);
		cr_assert_eq(plan.steps, rows[i].steps, "%s: %#x", rows[i].name, plan.steps);
		cr_assert_eq(plan.n_operations, 0);
		cr_assert_eq(plan_is_empty(&plan), rows[i].steps == 0, "%s", rows[i].name);
	}
}

static void expect(size_t index, enum operation_kind kind, const char *key)
{
	cr_assert_lt(index, plan.n_operations);
	cr_assert_eq(plan.operations[index].kind, kind, "operation %zu", index);
	cr_assert_eq(plan.operations[index].entry, find(&ledger, key), "operation %zu", index);
}

Test(plan, one_operation_to_add_and_to_delete_and_two_to_change)
{
	struct structure actual = whole;

	desire(&ledger, P1, A, NULL);
	make(&actual, 0);
	cr_assert_eq(plan.n_operations, 1);
	cr_assert_eq(plan.n_changes, 1);
	expect(0, OPERATION_ADD, P1);
	plan_done(&plan, &shape, &ledger, &actual);

	desire(&ledger, P1, B, NULL);
	make(&actual, 0);
	cr_assert_eq(plan.n_operations, 2);
	cr_assert_eq(plan.n_changes, 1);
	expect(0, OPERATION_DELETE, P1);
	expect(1, OPERATION_ADD, P1);
	plan_done(&plan, &shape, &ledger, &actual);

	ledger_undesire(&ledger, find(&ledger, P1));
	make(&actual, 0);
	cr_assert_eq(plan.n_operations, 1);
	expect(0, OPERATION_DELETE, P1);
	plan_done(&plan, &shape, &ledger, &actual);
	cr_assert_eq(ledger.n_entries, 2);
	make(&actual, 0);
	cr_assert(plan_is_empty(&plan));
}

Test(plan, deletes_come_before_adds)
{
	struct structure actual = whole;

	install(&ledger, P1, A, NULL);
	desire(&ledger, P2, A, NULL);
	install(&ledger, P3, A, NULL);
	make(&actual, 0);
	cr_assert_eq(plan.n_operations, 3);
	cr_assert_eq(plan.operations[0].kind, OPERATION_DELETE);
	cr_assert_eq(plan.operations[1].kind, OPERATION_DELETE);
	expect(2, OPERATION_ADD, P2);
}

Test(plan, what_is_settled_by_now_makes_no_operation)
{
	struct structure actual = whole;

	install(&ledger, P1, A, NULL);
	desire(&ledger, P1, B, NULL);
	desire(&ledger, P1, A, NULL);
	cr_assert_eq(ledger.n_dirty, 1);
	make(&actual, 0);
	cr_assert(plan_is_empty(&plan));
	cr_assert_eq(plan.n_changes, 0);
}

Test(plan, another_label_is_written)
{
	struct structure actual = whole;

	install(&ledger, P1, A, "env-a ssh");
	desire(&ledger, P1, A, "env-a ssh drain");
	make(&actual, 0);
	cr_assert_eq(plan.n_operations, 2);
	cr_assert_eq(plan.n_changes, 1);
}

Test(plan, a_new_table_is_filled_before_it_is_hooked_if_asked)
{
	struct structure actual = { 0 };

	make(&actual, PLAN_FILL_FIRST);
	cr_assert_eq(plan.steps, ALL, "nothing to fill it with");
	desire(&ledger, P1, A, NULL);
	make(&actual, PLAN_FILL_FIRST);
	cr_assert_eq(plan.steps, PLAN_ADD_TABLE | PLAN_ADD_SETS);
	cr_assert_eq(plan.n_operations, 1);
	plan_done(&plan, &shape, &ledger, &actual);
	make(&actual, PLAN_FILL_FIRST);
	cr_assert_eq(plan.steps, PLAN_ADD_RULES);
	cr_assert_eq(plan.n_operations, 0);
	plan_done(&plan, &shape, &ledger, &actual);
	make(&actual, PLAN_FILL_FIRST);
	cr_assert(plan_is_empty(&plan));
}

/* Ports must not be closed for the time between two transactions. */
Test(plan, a_table_that_is_replaced_is_hooked_at_once)
{
	struct structure actual = { .table = true, .stale = true };

	desire(&ledger, P1, A, NULL);
	make(&actual, PLAN_FILL_FIRST);
	cr_assert_eq(plan.steps, PLAN_DROP_TABLE | ALL);
}

/* ---- sets that are there while they are used ---- */

#define SOON INT64_C(2000000000)
#define EXPIRING4 SHAPE_BIT(SHAPE_EXPIRING4)

Test(plan, a_set_comes_with_its_first_use_and_stays)
{
	struct structure actual = whole;

	desire_until(&ledger, P1, A, SOON);
	make(&actual, 0);
	cr_assert_eq(plan.steps, PLAN_DROP_RULES | PLAN_ADD_SETS | PLAN_ADD_RULES);
	cr_assert_eq(plan.add_sets, EXPIRING4);
	cr_assert_not(plan.only_shrinks);
	cr_assert_eq(plan.operations[0].set, SHAPE_EXPIRING4);
	plan_done(&plan, &shape, &ledger, &actual);
	cr_assert_eq(actual.sets, MAPS | EXPIRING4);

	desire_until(&ledger, P2, A, SOON);
	make(&actual, PLAN_SHRINK);
	cr_assert_eq(plan.steps, 0, "it is there already");
	plan_done(&plan, &shape, &ledger, &actual);

	ledger_undesire(&ledger, find(&ledger, P1));
	ledger_undesire(&ledger, find(&ledger, P2));
	make(&actual, 0);
	cr_assert_eq(plan.steps, 0, "somebody may use it again");
	cr_assert_eq(plan.n_operations, 2);
}

Test(plan, a_set_that_nobody_uses_goes_when_asked)
{
	struct structure actual = whole;

	actual.sets |= EXPIRING4;
	install_until(&ledger, P1, A, SOON);
	make(&actual, PLAN_SHRINK);
	cr_assert_eq(plan.steps, PLAN_DROP_RULES | PLAN_DROP_SETS | PLAN_ADD_RULES);
	cr_assert_eq(plan.drop_sets, EXPIRING4);
	cr_assert(plan.only_shrinks);
	cr_assert_eq(plan.n_operations, 1, "its connections have to be looked through");
	cr_assert_eq(plan.n_changes, 1);
	plan_done(&plan, &shape, &ledger, &actual);
	cr_assert_eq(ledger.n_entries, 2);
	cr_assert_eq(actual.sets, MAPS);
	make(&actual, PLAN_SHRINK);
	cr_assert(plan_is_empty(&plan));
}

Test(plan, a_family_has_its_map_while_it_has_mappings)
{
	struct structure actual = whole;

	ledger_undesire(&ledger, find(&ledger, P6));
	make(&actual, 0);
	cr_assert_eq(plan.steps, 0, "somebody may use it again");
	make(&actual, PLAN_SHRINK | PLAN_KEEP_MAPS);
	cr_assert_eq(plan.steps, 0, "a start");
	make(&actual, PLAN_SHRINK);
	cr_assert_eq(plan.drop_sets, SHAPE_BIT(SHAPE_MAPPING6));
	cr_assert(plan.only_shrinks);
	plan_done(&plan, &shape, &ledger, &actual);
	cr_assert_eq(actual.sets, SHAPE_BIT(SHAPE_MAPPING4));

	desire(&ledger, P6, A6, NULL);
	make(&actual, PLAN_SHRINK);
	cr_assert_eq(plan.steps, PLAN_DROP_RULES | PLAN_ADD_SETS | PLAN_ADD_RULES);
	cr_assert_eq(plan.add_sets, SHAPE_BIT(SHAPE_MAPPING6));
	plan_done(&plan, &shape, &ledger, &actual);
	make(&actual, PLAN_SHRINK);
	cr_assert(plan_is_empty(&plan));
}

Test(plan, a_start_takes_away_what_nobody_uses_but_maps)
{
	struct structure actual = whole;

	actual.sets |= EXPIRING4 | SHAPE_BIT(SHAPE_GUARDED4);
	make(&actual, PLAN_SHRINK | PLAN_KEEP_MAPS);
	cr_assert_eq(plan.drop_sets, SHAPE_BIT(SHAPE_GUARDED4));
	cr_assert(plan.only_shrinks);
	plan_done(&plan, &shape, &ledger, &actual);
	cr_assert_eq(actual.sets, MAPS | EXPIRING4);
}

Test(plan, a_mapping_moves_where_its_end_comes)
{
	struct structure actual = whole;

	actual.sets |= EXPIRING4;
	install(&ledger, P1, A, NULL);
	desire_until(&ledger, P1, A, SOON);
	make(&actual, 0);
	cr_assert_eq(plan.n_changes, 1);
	cr_assert_eq(plan.n_operations, 2);
	cr_assert_eq(plan.operations[0].set, SHAPE_MAPPING4);
	cr_assert_eq(plan.operations[1].set, SHAPE_EXPIRING4);
}

static void desire_guarded(const char *key, const char *prefix)
{
	struct prefix parsed;
	const struct policy policy = { .allow = &parsed, .n_allow = 1 };
	struct mapping_key k = key_of(key);
	struct endpoint t = endpoint_of(A);

	cr_assert_eq(prefix_parse(prefix, &parsed), 0);
	cr_assert_eq(ledger_desire(&ledger, &k, &t, NULL, &policy, 1, NULL), 0);
}

static void expect_member(size_t index, enum operation_kind kind, enum shape_set set)
{
	cr_assert_lt(index, plan.n_operations);
	cr_assert_eq(plan.operations[index].kind, kind, "operation %zu", index);
	cr_assert_eq(plan.operations[index].set, set, "operation %zu", index);
}

Test(plan, the_first_allow_list_of_a_mapping_comes_before_it_is_asked_for)
{
	struct structure actual = whole;

	desire_guarded(P0, "198.51.100.0/24");
	desire(&ledger, P1, A, NULL);
	make(&actual, PLAN_SHRINK);
	cr_assert(plan.only_prefixes);
	cr_assert_eq(plan.steps, PLAN_ADD_SETS);
	cr_assert_eq(plan.add_sets, SHAPE_BIT(SHAPE_ALLOW4));
	cr_assert_eq(plan.n_operations, 1);
	expect_member(0, OPERATION_ADD, SHAPE_ALLOW4);
	plan_done(&plan, &shape, &ledger, &actual);

	make(&actual, PLAN_SHRINK);
	cr_assert_not(plan.only_prefixes);
	cr_assert_eq(plan.add_sets, SHAPE_BIT(SHAPE_GUARDED4));
	cr_assert(plan.steps & PLAN_ADD_RULES);
	cr_assert_eq(plan.n_operations, 2);
	expect_member(0, OPERATION_ADD, SHAPE_GUARDED4);
	expect(1, OPERATION_ADD, P1);
	plan_done(&plan, &shape, &ledger, &actual);
	make(&actual, 0);
	cr_assert(plan_is_empty(&plan));
}

Test(plan, another_allow_list_and_that_of_a_new_mapping_come_at_once)
{
	struct structure actual = whole;

	desire_guarded(P1, "198.51.100.0/24");
	make(&actual, 0);
	cr_assert_not(plan.only_prefixes);
	cr_assert_eq(plan.n_operations, 3);
	plan_done(&plan, &shape, &ledger, &actual);

	desire_guarded(P1, "198.51.0.0/16");
	make(&actual, 0);
	cr_assert_not(plan.only_prefixes);
	cr_assert_eq(plan.n_operations, 2);
	expect_member(0, OPERATION_DELETE, SHAPE_ALLOW4);
	expect_member(1, OPERATION_ADD, SHAPE_ALLOW4);
}

/* The second plan of a first allow-list was refused. */
Test(plan, prefixes_that_are_left_over_go_before_those_of_the_next_list)
{
	struct structure actual = whole;

	desire_guarded(P0, "198.51.100.0/24");
	make(&actual, 0);
	plan_done(&plan, &shape, &ledger, &actual);
	desire_guarded(P0, "198.51.0.0/16");
	make(&actual, 0);
	cr_assert(plan.only_prefixes);
	cr_assert_eq(plan.steps, 0);
	cr_assert_eq(plan.n_operations, 2);
	expect_member(0, OPERATION_DELETE, SHAPE_ALLOW4);
	expect_member(1, OPERATION_ADD, SHAPE_ALLOW4);
	plan_done(&plan, &shape, &ledger, &actual);

	desire(&ledger, P0, A, NULL);
	make(&actual, 0);
	cr_assert_not(plan.only_prefixes);
	cr_assert_eq(plan.n_operations, 1);
	expect_member(0, OPERATION_DELETE, SHAPE_ALLOW4);
}
