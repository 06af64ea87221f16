/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What counts for whom, in whatever order the kernel's listings and events come. */
#include "tests/unit/gatewayd/flows.h"

#define KEY "203.0.113.10:30001"
#define TARGET "10.0.1.2:22"
#define OTHER_TARGET "10.0.2.2:22"
#define NOW 1000
#define WALL 1700000000

static struct ledger ledger = LEDGER_INIT;
static struct flow_table table;

static void set_up(void)
{
	struct error err = ERROR_INIT;

	cr_assert_eq(flow_table_open(&table, NULL, &err), 0, "%s", err.message);
	install(&ledger, KEY, TARGET, "env-a ssh");
	flow_table_start(&table, &ledger, NOW);
}

static void tear_down(void)
{
	flow_table_close(&table);
	ledger_clear(&ledger);
}

TestSuite(flow_table, .init = set_up, .fini = tear_down);

static void see(uint32_t id, const char *target, uint64_t bytes)
{
	const struct ct_entry entry = entry_of(id, KEY, target, bytes);

	flow_table_see(&table, &entry, WALL);
}

static void end(uint32_t id, const char *target, uint64_t bytes)
{
	const struct ct_entry entry = entry_of(id, KEY, target, bytes);

	flow_table_end(&table, &entry, 0, WALL);
}

static void begin(void)
{
	flow_table_begin_round(&table);
}

static uint64_t now = NOW;

static void finish(void)
{
	flow_table_end_round(&table, true, now);
}

/* Rounds that show nothing, until so much time has passed. */
static void pass(uint64_t seconds)
{
	for (unsigned i = 0; i < 10; i++) {
		now += seconds * 100;
		begin();
		finish();
	}
}

#define EXPECT(bytes, connections)                               \
	do {                                                     \
		struct totals _mapping = totals_of(&table, KEY); \
		expect(&_mapping, bytes, connections, __LINE__); \
	} while (0)
#define EXPECT_ALL(bytes, connections) \
	expect(flow_store_totals(&table.store), bytes, connections, __LINE__)

static void changed(bool repointed)
{
	const struct mapping_key key = key_of(KEY);

	flow_table_mapping_changed(&table, &key, repointed);
}

static void remove_mapping(void)
{
	ledger_uninstall(&ledger, find(&ledger, KEY));
	changed(false);
}

Test(flow_table, counts_a_connection_once_however_often_it_is_listed)
{
	begin();
	see(1, TARGET, 100);
	see(1, TARGET, 100);
	see(1, TARGET, 150);
	finish();
	EXPECT(150, 1);
	begin();
	see(1, TARGET, 400);
	see(2, TARGET, 50);
	finish();
	EXPECT(450, 2);
	EXPECT_ALL(450, 2);
	cr_assert_eq(table.n_live, 2);
}

Test(flow_table, adds_what_came_between_the_last_listing_and_the_end)
{
	begin();
	see(1, TARGET, 100);
	finish();
	end(1, TARGET, 170);
	EXPECT(170, 1);
	cr_assert_eq(table.flow_index.n, 0);
}

Test(flow_table, counts_a_connection_that_no_listing_showed)
{
	end(1, TARGET, 100);
	EXPECT(100, 1);
}

Test(flow_table, is_not_misled_by_a_part_of_a_listing_that_is_older_than_the_end)
{
	begin();
	see(1, TARGET, 100);
	end(1, TARGET, 170);
	see(1, TARGET, 120);
	end(2, TARGET, 30); /* never seen before */
	see(2, TARGET, 20);
	EXPECT(200, 2);
	finish();
	EXPECT(200, 2);
	cr_assert_eq(table.flow_index.n, 0);
}

Test(flow_table, takes_a_connection_with_the_id_of_an_ended_one_as_another)
{
	begin();
	see(1, TARGET, 100);
	end(1, TARGET, 100);
	end(1, TARGET, 40); /* a second life, which ended within the same listing */
	finish();
	EXPECT(140, 2);
	begin();
	see(1, TARGET, 10);
	finish();
	EXPECT(150, 3);
}

Test(flow_table, goes_on_from_zero_where_somebody_reset_the_counters)
{
	begin();
	see(1, TARGET, 1000);
	see(1, TARGET, 300);
	finish();
	EXPECT(1300, 1);
}

Test(flow_table, counts_what_is_led_elsewhere_for_nobody)
{
	struct ct_entry entry = entry_of(9, "203.0.113.10:30002", TARGET, 100);

	begin();
	see(1, OTHER_TARGET, 100);
	flow_table_see(&table, &entry, WALL); /* no mapping */
	entry = entry_of(8, KEY, TARGET, 100);
	entry.status = IPS_SEEN_REPLY; /* not translated */
	flow_table_see(&table, &entry, WALL);
	flow_table_end(&table, &entry, 0, WALL);
	end(3, OTHER_TARGET, 100);
	finish();
	EXPECT_ALL(0, 0);
}

Test(flow_table, goes_on_counting_where_the_mapping_is_led_elsewhere)
{
	begin();
	see(1, TARGET, 100);
	finish();
	install(&ledger, KEY, OTHER_TARGET, "env-a ssh");
	changed(true);
	begin();
	see(1, TARGET, 200);
	see(2, TARGET, 10); /* began just before the change */
	see(3, OTHER_TARGET, 5);
	finish();
	EXPECT(215, 3);
}

/* Whose process was killed before it said so. */
Test(flow_table, goes_on_counting_where_the_mapping_was_led_elsewhere_before_the_start)
{
	begin();
	see(1, TARGET, 100);
	finish();
	install(&ledger, KEY, OTHER_TARGET, "env-a ssh");
	flow_table_start(&table, &ledger, NOW);
	begin();
	see(1, TARGET, 200);
	see(2, TARGET, 10); /* began just before the change */
	see(3, OTHER_TARGET, 5);
	finish();
	EXPECT(215, 3);
}

Test(flow_table, begins_anew_with_another_environment)
{
	begin();
	see(1, TARGET, 100);
	finish();
	install(&ledger, KEY, OTHER_TARGET, "env-b ssh");
	changed(true);
	EXPECT(0, 0);
	begin();
	see(1, TARGET, 200);
	see(2, OTHER_TARGET, 30);
	finish();
	EXPECT(30, 1);
	EXPECT_ALL(230, 2);
}

Test(flow_table, keeps_its_account_where_only_the_service_is_renamed)
{
	begin();
	see(1, TARGET, 100);
	finish();
	install(&ledger, KEY, TARGET, "env-a shell");
	changed(false);
	EXPECT(100, 1);
}

Test(flow_table, counts_a_removed_mapping_for_nobody_but_the_sums)
{
	begin();
	see(1, TARGET, 100);
	finish();
	remove_mapping();
	EXPECT(0, 0);
	end(1, TARGET, 170);
	end(2, TARGET, 30); /* of its last moments */
	EXPECT_ALL(200, 2);
	install(&ledger, KEY, TARGET, "env-a ssh");
	EXPECT(0, 0);
	end(3, TARGET, 7);
	EXPECT(7, 1);
}

Test(flow_table, counts_what_the_sweeper_deletes)
{
	struct ct_entry entry = entry_of(1, KEY, TARGET, 100);

	remove_mapping();
	begin();
	flow_table_claim(&table, &entry, WALL); /* nobody had seen it */
	see(1, TARGET, 90);                     /* older than the sweeper's own listing */
	end(1, TARGET, 100);
	finish();
	EXPECT_ALL(100, 1);
	EXPECT(0, 0);
}

Test(flow_table, gives_up_a_closed_account_once_its_connections_have_ended)
{
	begin();
	see(1, TARGET, 100);
	finish();
	remove_mapping();
	pass(60);
	cr_assert_eq(table.account_index.n, 1); /* it drains */
	end(1, TARGET, 100);
	pass(60);
	cr_assert_eq(table.account_index.n, 0);
	cr_assert_eq(table.store.account_pool.n_free, 1);
}

Test(flow_table, forgets_a_connection_that_ended_unheard_and_keeps_its_counts)
{
	begin();
	see(1, TARGET, 100);
	finish();
	cr_assert(flow_table_is_live(&table, 0));
	begin();
	finish();
	cr_assert_not(flow_table_is_live(&table, 0));
	cr_assert_eq(table.flow_index.n, 1);
	for (int i = 0; i < 50; i++)
		pass(1); /* many rounds in a short time are no reason */
	cr_assert_eq(table.flow_index.n, 1);
	pass(601);
	cr_assert_eq(table.flow_index.n, 0);
	EXPECT(100, 1);
}

Test(flow_table, drops_nothing_for_a_listing_that_was_given_up)
{
	begin();
	see(1, TARGET, 100);
	see(2, TARGET, 100);
	finish();
	begin();
	see(1, TARGET, 120);
	flow_table_end_round(&table, false, NOW);
	EXPECT(220, 2);
	cr_assert_eq(table.n_live, 2);
	cr_assert_eq(table.flow_index.n, 2);
}

/* Four connections for each id of the kernel, from ports that differ. */
static struct ct_entry many_of(uint32_t i, uint32_t ids)
{
	struct ct_entry entry = entry_of(i % ids, KEY, TARGET, i);

	entry.original.source.port = (uint16_t)(1 + i);
	return entry;
}

Test(flow_table, finds_each_of_many_by_its_id_and_ends_all)
{
	enum { MANY = 20000, IDS = 5000 };

	begin();
	for (uint32_t i = 0; i < MANY; i++) {
		const struct ct_entry entry = many_of(i, IDS);

		flow_table_see(&table, &entry, WALL);
	}
	finish();
	cr_assert_eq(table.n_live, MANY);
	for (uint32_t flow = 0; flow < table.store.flow_pool.used; flow++)
		cr_assert_eq(flow_table_find(&table, flow_table_id(&table, flow)), flow);
	cr_assert_eq(flow_table_find(&table, 1), FLOW_STORE_NONE);
	for (uint32_t i = 0; i < MANY; i++) {
		const struct ct_entry entry = many_of(i, IDS);

		flow_table_end(&table, &entry, 0, WALL);
	}
	cr_assert_eq(table.flow_index.n, 0);
	cr_assert_eq(table.store.flow_pool.n_free, table.store.flow_pool.used);
	cr_assert_eq(totals_of(&table, KEY).connections, MANY);
	cr_assert_eq(totals_of(&table, KEY).traffic.bytes[CT_IN], (uint64_t)MANY * (MANY - 1) / 2);
}

Test(flow_table, says_how_fast_a_mapping_grows)
{
	const struct mapping_key key = key_of(KEY);
	struct rates rates;
	uint32_t account;

	flow_table_begin_round(&table);
	see(1, TARGET, 5000);
	flow_table_end_round(&table, true, NOW + 1000);
	cr_assert_not_null(flow_table_account(&table, &key, &account));
	rates = flow_table_rates(&table, account);
	cr_assert_eq(rates.bytes[CT_IN], 0); /* all of its life so far is no rate */
	flow_table_begin_round(&table);
	see(1, TARGET, 9000);
	see(2, TARGET, 1000);
	flow_table_end_round(&table, true, NOW + 3000);
	rates = flow_table_rates(&table, account);
	cr_assert_float_eq(rates.bytes[CT_IN], 2500, 0.001);
	cr_assert_float_eq(rates.bytes[CT_OUT], 5000, 0.001);
	cr_assert_float_eq(rates.connections, 0.5, 0.001);
	flow_table_begin_round(&table);
	rates = flow_table_rates(&table, account); /* still of the complete one */
	cr_assert_float_eq(rates.bytes[CT_IN], 2500, 0.001);
	flow_table_end_round(&table, true, NOW + 5000);
	rates = flow_table_rates(&table, account);
	cr_assert_eq(rates.bytes[CT_IN], 0);
}
