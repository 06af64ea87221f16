/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The ledger: its two sides, the dirty list, the counts, and the table under many keys. */
#include <stdio.h>
#include <string.h>

#include "tests/unit/gatewayd/make.h"

#define PORT "203.0.113.10:30001"
#define A "10.0.0.5:22"
#define B "10.0.0.6:22"

static struct ledger ledger;

static void begin(void)
{
	ledger = LEDGER_INIT;
}

static void end(void)
{
	ledger_clear(&ledger);
}

TestSuite(ledger, .init = begin, .fini = end);

Test(ledger, is_empty_at_first)
{
	size_t index = 0;

	cr_assert_null(find(&ledger, PORT));
	cr_assert_null(ledger_next(&ledger, &index));
	ledger_settle(&ledger);
}

Test(ledger, desire_confirm_undesire_confirm)
{
	struct entry *entry = desire(&ledger, PORT, A, "env-a ssh");

	cr_assert_eq(find(&ledger, PORT), entry);
	cr_assert_eq(ledger.n_desired, 1);
	cr_assert_eq(ledger.n_installed, 0);
	cr_assert_eq(ledger.n_dirty, 1);
	cr_assert_not(entry_settled(entry));

	ledger_confirm(&ledger, entry);
	ledger_settle(&ledger);
	cr_assert_eq(ledger.n_installed, 1);
	cr_assert_eq(ledger.n_dirty, 0);
	cr_assert(entry_settled(entry));

	ledger_undesire(&ledger, entry);
	cr_assert_eq(ledger.n_desired, 0);
	cr_assert_eq(ledger.n_dirty, 1);
	ledger_settle(&ledger);
	cr_assert_eq(find(&ledger, PORT), entry, "it is in the kernel still");

	ledger_confirm(&ledger, entry);
	ledger_settle(&ledger);
	cr_assert_null(find(&ledger, PORT));
	cr_assert_eq(ledger.n_installed, 0);
	cr_assert_eq(ledger.n_entries, 0);
}

Test(ledger, what_is_desired_again_before_it_was_removed_is_settled)
{
	struct entry *entry = install(&ledger, PORT, A, "env-a ssh");

	desire(&ledger, PORT, A, "env-a ssh");
	ledger_settle(&ledger);
	cr_assert_eq(ledger.n_dirty, 0);
	ledger_undesire(&ledger, entry);
	desire(&ledger, PORT, A, "env-a ssh");
	cr_assert(entry_settled(entry));
	ledger_settle(&ledger);
	cr_assert_eq(ledger.n_dirty, 0);
	cr_assert_eq(ledger.n_desired, 1);
}

Test(ledger, what_was_never_installed_is_dropped)
{
	ledger_undesire(&ledger, desire(&ledger, PORT, A, NULL));
	ledger_settle(&ledger);
	cr_assert_eq(ledger.n_entries, 0);
}

Test(ledger, another_target_is_a_difference)
{
	struct entry *entry = install(&ledger, PORT, A, NULL);

	desire(&ledger, PORT, B, NULL);
	cr_assert_not(entry_settled(entry));
	cr_assert_eq(ledger.n_dirty, 1);
	desire(&ledger, PORT, A, NULL);
	cr_assert(entry_settled(entry));
}

Test(ledger, another_label_is_a_difference)
{
	struct entry *entry = install(&ledger, PORT, A, "env-a ssh");

	desire(&ledger, PORT, A, "env-b ssh");
	cr_assert_not(entry_settled(entry));
	ledger_confirm(&ledger, entry);
	ledger_settle(&ledger);
	cr_assert(entry_settled(entry));
	install(&ledger, PORT, A, "someone wrote this");
	cr_assert_not(entry_settled(entry));
	cr_assert_str_eq(entry->label, "env-b ssh", "what should be stays");
}

Test(ledger, no_label_and_an_empty_one_are_the_same)
{
	install(&ledger, PORT, A, NULL);
	desire(&ledger, PORT, A, "");
	ledger_settle(&ledger);
	cr_assert_eq(ledger.n_dirty, 0);
}

Test(ledger, what_is_installed_and_not_desired_takes_the_kernels_comment)
{
	cr_assert_str_eq(install(&ledger, PORT, A, "env-a ssh")->label, "env-a ssh");
	cr_assert_eq(ledger.n_dirty, 1);
}

Test(ledger, uninstall_makes_it_a_difference_again)
{
	struct entry *entry = install(&ledger, PORT, A, NULL);

	desire(&ledger, PORT, A, NULL);
	ledger_settle(&ledger);
	ledger_uninstall(&ledger, entry);
	ledger_uninstall(&ledger, entry);
	cr_assert_eq(ledger.n_installed, 0);
	cr_assert_eq(ledger.n_dirty, 1);
	cr_assert_not(entry_settled(entry));
}

Test(ledger, families_are_counted_apart)
{
	struct entry *six = desire(&ledger, "[2001:db8::10]:1", "[2001:db8::5]:1", NULL);

	desire(&ledger, PORT, A, NULL);
	desire(&ledger, PORT, B, NULL);
	cr_assert_eq(ledger.n_desired, 2);
	cr_assert_eq(ledger.n_desired6, 1);
	ledger_undesire(&ledger, six);
	ledger_undesire(&ledger, six);
	cr_assert_eq(ledger.n_desired, 1);
	cr_assert_eq(ledger.n_desired6, 0);
}

Test(ledger, tells_address_protocol_and_port_apart)
{
	struct mapping_key udp = key_of(PORT);
	struct endpoint target = endpoint_of(A);

	udp.protocol = PROTOCOL_UDP;
	desire(&ledger, PORT, A, NULL);
	desire(&ledger, "203.0.113.11:30001", A, NULL);
	desire(&ledger, "203.0.113.10:30002", A, NULL);
	cr_assert_null(ledger_find(&ledger, &udp));
	cr_assert_eq(ledger_desire(&ledger, &udp, &target, NULL, NULL, 1, NULL), 0);
	cr_assert_eq(ledger.n_entries, 4);
}

static struct entry *many(unsigned i, bool put)
{
	char key[ENDPOINT_STRING_MAX];

	(void)snprintf(key, sizeof(key), "203.0.%u.10:%u", i / 1000, 1 + i % 1000);
	return put ? desire(&ledger, key, A, NULL) : find(&ledger, key);
}

/* Drops every third of many: those behind a hole have to be found all the same. */
Test(ledger, finds_all_that_is_left_after_many_are_dropped)
{
	const unsigned n = 20000;
	size_t index = 0, walked = 0;

	for (unsigned i = 0; i < n; i++)
		many(i, true);
	for (unsigned i = 0; i < n; i += 3)
		ledger_undesire(&ledger, many(i, false));
	ledger_settle(&ledger);
	for (unsigned i = 0; i < n; i++)
		cr_assert_eq(many(i, false) == NULL, i % 3 == 0, "%u", i);
	while (ledger_next(&ledger, &index))
		walked++;
	cr_assert_eq(walked, ledger.n_entries);
	cr_assert_eq(walked, n - (n + 2) / 3);
}

/* ---- ends ---- */

#define SOON INT64_C(2000000000)

Test(ledger, an_end_that_was_read_back_may_differ_by_a_moment)
{
	struct entry *entry = install_until(&ledger, PORT, A, SOON - POLICY_EXPIRY_TOLERANCE_S);

	desire_until(&ledger, PORT, A, SOON);
	cr_assert(entry_settled(entry));
	desire_until(&ledger, PORT, A, SOON + 1);
	cr_assert_not(entry_settled(entry));
}

Test(ledger, an_end_that_comes_or_goes_is_a_difference)
{
	struct entry *entry = install(&ledger, PORT, A, NULL);

	desire(&ledger, PORT, A, NULL);
	cr_assert(entry_settled(entry));
	desire_until(&ledger, PORT, A, SOON);
	cr_assert_not(entry_settled(entry));
	ledger_confirm(&ledger, entry);
	cr_assert_eq(entry_installed_end(entry), SOON);
	cr_assert(entry_settled(entry));
	desire(&ledger, PORT, A, NULL);
	cr_assert_not(entry_settled(entry));
	ledger_confirm(&ledger, entry);
	cr_assert_null(entry->extra, "what nobody needs is kept");
}

#define PORT6 "[2001:db8::10]:1"
#define A6 "[2001:db8::5]:1"

Test(ledger, says_which_maps_are_needed)
{
	static const struct shape shape = { .map_size = 1000 };
	struct entry *entry = desire_until(&ledger, PORT, A, SOON);

	cr_assert_eq(ledger_sets(&ledger, &shape), SHAPE_BIT(SHAPE_EXPIRING4));
	desire_until(&ledger, PORT, B, SOON + 100);
	desire_until(&ledger, PORT6, A6, SOON);
	cr_assert_eq(ledger_sets(&ledger, &shape),
		     SHAPE_BIT(SHAPE_EXPIRING4) | SHAPE_BIT(SHAPE_EXPIRING6));
	desire(&ledger, PORT, A, NULL);
	cr_assert_eq(ledger_sets(&ledger, &shape),
		     SHAPE_BIT(SHAPE_MAPPING4) | SHAPE_BIT(SHAPE_EXPIRING6));
	ledger_undesire(&ledger, entry);
	desire(&ledger, PORT6, A6, NULL);
	cr_assert_eq(ledger_sets(&ledger, &shape), SHAPE_BIT(SHAPE_MAPPING6));
	ledger_undesire(&ledger, find(&ledger, PORT6));
	cr_assert_eq(ledger_sets(&ledger, &shape), 0);
}

Test(ledger, wants_all_shards_of_a_family_or_none)
{
	static const struct shape large = { .map_size = 4 * SHAPE_SHARD_FROM };

	cr_assert_eq(ledger_sets(&ledger, &large), 0);
	desire(&ledger, PORT6, A6, NULL);
	cr_assert_eq(ledger_sets(&ledger, &large), shape_sets_of_mappings(&large, AF_INET6));
	desire(&ledger, PORT, A, NULL);
	cr_assert_eq(ledger_sets(&ledger, &large),
		     shape_sets_of_mappings(&large, AF_INET) |
			     shape_sets_of_mappings(&large, AF_INET6));
}

Test(ledger, says_what_is_due_and_what_comes_next)
{
	struct entry *first = desire_until(&ledger, PORT, A, SOON);
	struct entry *second = desire_until(&ledger, "203.0.113.10:30002", A, SOON + 5);

	desire(&ledger, "203.0.113.10:30003", A, NULL);
	cr_assert_eq(ledger_next_end(&ledger), SOON);
	cr_assert_null(ledger_due(&ledger, SOON - 1));
	cr_assert_eq(ledger_due(&ledger, SOON), first);
	ledger_undesire(&ledger, first);
	cr_assert_null(ledger_due(&ledger, SOON + 4));
	cr_assert_eq(ledger_next_end(&ledger), SOON + 5);
	/* It is put off, and then for ever. */
	desire_until(&ledger, "203.0.113.10:30002", A, SOON + 9);
	cr_assert_eq(ledger_due(&ledger, SOON + 9), second);
	cr_assert_eq(ledger_next_end(&ledger), SOON + 9);
	desire(&ledger, "203.0.113.10:30002", A, NULL);
	cr_assert_eq(ledger_next_end(&ledger), 0);
}
