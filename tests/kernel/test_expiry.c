/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Mappings that end by themselves, with the real kernel: in maps of their own, which are there only
 * while they are used, read back with what is left of their time, and ended without our doing.
 */
#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

#include "gatewayd/lookup.h"
#include "lib/clock.h"
#include "tests/kernel/kernel.h"

#define P1 "203.0.113.10:30001"
#define P2 "203.0.113.10:30002"
#define P6 "[2001:db8::10]:30001"
#define A "10.0.0.5:22"
#define A6 "[2001:db8:1::5]:22"
#define HOUR 3600

static struct ledger ledger = LEDGER_INIT;
static struct applier applier;

static void open_all(void)
{
	enter_namespace();
	open_applier(&applier, &ledger, true);
}

static void close_all(void)
{
	applier_close(&applier);
	ledger_clear(&ledger);
}

TestSuite(expiry, .init = open_all, .fini = close_all, .timeout = 60);

/* As a daemon that starts again does. */
static void start_again(void)
{
	struct error err = ERROR_INIT;

	close_all();
	open_applier(&applier, &ledger, true);
	cr_assert_eq(applier_read(&applier, adopt_all, NULL, &err), 0, "%s", err.message);
}

Test(expiry, maps_with_timeouts_are_there_only_while_they_are_used)
{
	apply_all(&applier);
	cr_assert_not(listing_has("expiring"));
	desire_for(&ledger, P1, A, HOUR);
	cr_assert_eq(apply_all(&applier).n_changes, 1);
	cr_assert(listing_has("dnat ip to ip daddr . meta l4proto . th dport map @expiring4"));
	cr_assert(listing_has("203.0.113.10 . tcp . 30001 timeout 59m5"));
	cr_assert_not(listing_has("expiring6"));
	expect_listing_loads();

	desire_for(&ledger, P6, A6, HOUR);
	apply_all(&applier);
	cr_assert(listing_has("dnat ip6 to ip6 daddr . meta l4proto . th dport map @expiring6"));
	expect_listing_loads();

	/* They stay for the next who wants one, until the slow audit. */
	undesire(&ledger, P1);
	undesire(&ledger, P6);
	cr_assert_not(apply_all(&applier).restructured);
	cr_assert(listing_has("expiring4"));
	applier_doubt(&applier, RESYNC_FOREIGN);
	cr_assert_not(apply_all(&applier).restructured);
	applier_doubt(&applier, RESYNC_AUDIT);
	/* Nobody has done anything to the table that it would be repaired of. */
	cr_assert_not(apply_all(&applier).restructured);
	cr_assert_not(listing_has("expiring"));
}

Test(expiry, a_mapping_moves_in_one_transaction_when_its_end_comes_and_goes)
{
	uint64_t before;

	desire(&ledger, P1, A, NULL);
	desire_for(&ledger, P2, A, HOUR);
	apply_all(&applier);
	before = applier.stats.transactions[APPLIER_COMMITTED];
	desire_for(&ledger, P1, A, HOUR);
	desire(&ledger, P2, A, NULL);
	cr_assert_eq(apply_all(&applier).n_changes, 2);
	cr_assert_eq(applier.stats.transactions[APPLIER_COMMITTED], before + 1);
	cr_assert(listing_has("30001 timeout 59m5"));
	cr_assert(listing_has("30002 : 10.0.0.5 . 22"));

	desire_for(&ledger, P1, A, 2 * HOUR);
	cr_assert_eq(apply_all(&applier).n_changes, 1);
	cr_assert_eq(applier.stats.transactions[APPLIER_COMMITTED], before + 2);
	cr_assert(listing_has("30001 timeout 1h59m5"));
}

/* With handles: without the elements, whose time runs on. */
static char *list_chains(void)
{
	const char *const argv[] = { "nft", "-a", "list", "chains", NULL };

	return run(argv);
}

Test(expiry, what_is_left_is_read_back_and_adopted_without_an_operation)
{
	_cleanup_free_ char *before = NULL, *after = NULL;
	int64_t end = entry_desired_end(desire_for(&ledger, P1, A, HOUR));
	const struct policy days = { .expires_at = end + 100 * 24 * HOUR };
	struct mapping_key key = key_of(P1);
	struct apply_result result;

	desire_with(&ledger, P6, A6, &days);
	apply_all(&applier);
	before = list_chains();
	start_again();
	cr_assert_eq(ledger.n_desired, 2);
	cr_assert(policy_same_end(entry_desired_end(ledger_find(&ledger, &key)), end));
	result = apply_all(&applier);
	cr_assert_eq(result.n_changes, 0);
	cr_assert_not(result.restructured);
	cr_assert_eq(applier.stats.transactions[APPLIER_COMMITTED], 0);
	/* The same wish as before is no difference either. */
	desire_with(&ledger, P6, A6, &days);
	cr_assert_eq(apply_all(&applier).n_changes, 0);
	after = list_chains();
	cr_assert_str_eq(after, before);
}

Test(expiry, an_end_that_another_changed_is_set_right)
{
	desire_for(&ledger, P1, A, HOUR);
	apply_all(&applier);
	do_nft("delete element inet portico expiring4 { 203.0.113.10 . tcp . 30001 : 10.0.0.5 . 22 "
	       "}; add element inet portico expiring4 { 203.0.113.10 . tcp . 30001 timeout 2h : "
	       "10.0.0.5 . 22 }");
	applier_doubt(&applier, RESYNC_AUDIT);
	cr_assert_eq(apply_all(&applier).n_changes, 1);
	cr_assert(listing_has("30001 timeout 59m5"));
}

static bool has_ended(const char *key)
{
	struct mapping_key k = key_of(key);
	struct member_key element;
	struct element ignored;
	bool exists;

	element_key_of(SHAPE_EXPIRING4, &k, &element);
	cr_assert_eq(lookup_element(&applier.netlink, &element, &exists, &ignored), 0);
	return !exists;
}

static void await_end(const char *key)
{
	const uint64_t deadline = clock_monotonic_ms() + 20000;

	while (!has_ended(key) && clock_monotonic_ms() < deadline)
		(void)usleep(10000);
	cr_assert(has_ended(key), "%s lives on", key);
}

/* What the kernel has ended meanwhile is believed to be there when it is taken away or changed. */
Test(expiry, what_has_ended_by_itself_can_be_removed_and_put_anew)
{
	desire_for(&ledger, P1, A, 1);
	desire_for(&ledger, P2, A, 1);
	apply_all(&applier);
	await_end(P1);
	await_end(P2);
	undesire(&ledger, P1);
	desire_for(&ledger, P2, A, HOUR);
	cr_assert_eq(apply_all(&applier).n_changes, 2);
	cr_assert(has_ended(P1));
	cr_assert_not(has_ended(P2));
	cr_assert_eq(applier.stats.resyncs[RESYNC_CONFLICT], 0);
	cr_assert_eq(applier.stats.transactions[APPLIER_REJECTED], 0);
	cr_assert(listing_has("30002 timeout 59m5"));
}
