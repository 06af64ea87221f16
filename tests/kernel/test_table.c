/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The table as the kernel and nft see it: its text, its adoption without an operation, and its
 * restoration where another has changed it.
 */
#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

#include "tests/kernel/kernel.h"

#define TRANSLATE(dnat)                                                                      \
	"\t\ttcp flags != syn / fin,syn,rst,ack return comment \"only a SYN starts a TCP "   \
	"connection\"\n"                                                                     \
	"\t\tmeta mark set meta mark | 0x01000000\n" dnat                                    \
	"\t\tmeta mark set meta mark & 0xfeffffff comment \"reached only by what no map has" \
	"\"\n"

#define DNAT4 "\t\tdnat ip to ip daddr . meta l4proto . th dport map @mapping4\n"
#define DNAT6 "\t\tdnat ip6 to ip6 daddr . meta l4proto . th dport map @mapping6\n"

#define MAP(name, type, elements)                                                   \
	"\tmap " name " {\n"                                                        \
	"\t\ttype " type " . inet_proto . inet_service : " type " . inet_service\n" \
	"\t\tsize 200000\n" elements "\t}\n\n"

#define MAP4(elements) MAP("mapping4", "ipv4_addr", elements)
#define MAP6(elements) MAP("mapping6", "ipv6_addr", elements)

#define TABLE(maps, dnat, postrouting)                                                      \
	"table inet portico {\n" maps "\tchain prerouting {\n"                              \
	"\t\ttype nat hook prerouting priority dstnat; policy accept;\n" TRANSLATE(         \
		dnat) "\t}\n\n"                                                             \
		      "\tchain output {\n"                                                  \
		      "\t\ttype nat hook output priority -100; policy accept;\n" TRANSLATE( \
			      dnat) "\t}\n" postrouting "}\n"

#define POSTROUTING                                                                             \
	"\n\tchain postrouting {\n"                                                             \
	"\t\ttype nat hook postrouting priority srcnat; policy accept;\n"                       \
	"\t\tmeta mark & 0x01000000 == 0x01000000 ct status dnat masquerade comment \"replies " \
	"come back through this gateway\"\n"                                                    \
	"\t}\n"

#define ELEMENT \
	"\t\telements = { 203.0.113.10 . tcp . 30001 comment \"env-a ssh\" : 10.0.0.5 . 22 }\n"
#define ELEMENT6 "\t\telements = { 2001:db8::10 . tcp . 30002 : 2001:db8:1::5 . 80 }\n"

#define EMPTY TABLE("", "", POSTROUTING)
#define WITH_ELEMENT TABLE(MAP4(ELEMENT), DNAT4, POSTROUTING)

static struct ledger ledger = LEDGER_INIT;
static struct applier applier;

static void open_masquerading(void)
{
	enter_namespace();
	open_applier(&applier, &ledger, true);
}

static void close_all(void)
{
	applier_close(&applier);
	ledger_clear(&ledger);
}

TestSuite(table, .init = open_masquerading, .fini = close_all);

static void expect_table(const char *expected)
{
	_cleanup_free_ char *text = nft("list table inet portico");

	cr_assert_str_eq(text, expected);
}

Test(table, is_as_documented)
{
	apply_all(&applier);
	expect_table(EMPTY);
	desire(&ledger, "203.0.113.10:30001", "10.0.0.5:22", "env-a ssh");
	apply_all(&applier);
	expect_table(WITH_ELEMENT);
	desire(&ledger, "[2001:db8::10]:30002", "[2001:db8:1::5]:80", NULL);
	apply_all(&applier);
	expect_table(TABLE(MAP4(ELEMENT) MAP6(ELEMENT6), DNAT4 DNAT6, POSTROUTING));
}

Test(table, has_no_masquerade_where_sources_are_preserved)
{
	applier_close(&applier);
	open_applier(&applier, &ledger, false);
	apply_all(&applier);
	expect_table(TABLE("", "", ""));
}

Test(table, changes_from_masquerade_to_preserve_and_keeps_its_elements)
{
	desire(&ledger, "203.0.113.10:30001", "10.0.0.5:22", "env-a ssh");
	apply_all(&applier);
	applier_close(&applier);
	open_applier(&applier, &ledger, false);
	cr_assert(apply_all(&applier).restructured);
	expect_table(TABLE(MAP4(ELEMENT), DNAT4, ""));
}

/* As a daemon that starts again does: with an empty ledger, all in the kernel is adopted. */
static void start_again(void)
{
	struct error err = ERROR_INIT;

	close_all();
	open_applier(&applier, &ledger, true);
	cr_assert_eq(applier_read(&applier, adopt_all, NULL, &err), 0, "%s", err.message);
}

Test(table, is_adopted_without_an_operation)
{
	_cleanup_free_ char *before = NULL, *after = NULL;
	const struct entry *entry;
	struct mapping_key key = key_of("203.0.113.10:30001");
	struct apply_result result;

	desire(&ledger, "203.0.113.10:30001", "10.0.0.5:22", "env-a ssh");
	desire(&ledger, "[2001:db8::10]:30002", "[2001:db8:1::5]:80", NULL);
	apply_all(&applier);
	before = list_ruleset();
	start_again();
	cr_assert_eq(ledger.n_desired, 2);
	entry = ledger_find(&ledger, &key);
	cr_assert_not_null(entry);
	cr_assert_str_eq(entry->label, "env-a ssh");
	cr_assert_eq(entry->target.port, 22);
	result = apply_all(&applier);
	cr_assert_eq(result.n_changes, 0);
	cr_assert_not(result.restructured);
	cr_assert_eq(applier.stats.transactions[APPLIER_COMMITTED], 0);
	cr_assert_eq(applier.stats.transactions[APPLIER_REJECTED], 0);
	after = list_ruleset(); /* with handles: nothing was made anew */
	cr_assert_str_eq(after, before);
}

/* A map stays when its last mapping has gone, also over a start, until the table is compared in
 * full; the versions that made the maps of both families at once left the same table. */
Test(table, has_a_map_that_nobody_uses_until_the_next_comparison)
{
	struct apply_result result;

	desire(&ledger, "203.0.113.10:30001", "10.0.0.5:22", "env-a ssh");
	desire(&ledger, "[2001:db8::10]:30002", "[2001:db8:1::5]:80", NULL);
	apply_all(&applier);
	undesire(&ledger, "[2001:db8::10]:30002");
	cr_assert_not(apply_all(&applier).restructured);
	expect_table(TABLE(MAP4(ELEMENT) MAP6(""), DNAT4 DNAT6, POSTROUTING));
	start_again();
	apply_all(&applier);
	cr_assert_eq(applier.stats.transactions[APPLIER_COMMITTED], 0);
	applier_doubt(&applier, RESYNC_AUDIT);
	result = apply_all(&applier);
	cr_assert_eq(result.n_changes, 0);
	cr_assert_not(result.restructured, "it is intact, and has too much");
	cr_assert_eq(applier.stats.transactions[APPLIER_COMMITTED], 1);
	expect_table(WITH_ELEMENT);
	undesire(&ledger, "203.0.113.10:30001");
	apply_all(&applier);
	applier_doubt(&applier, RESYNC_AUDIT);
	cr_assert_not(apply_all(&applier).restructured);
	expect_table(EMPTY);
}

Test(table, is_not_adopted_where_nobody_wants_it)
{
	desire(&ledger, "203.0.113.10:30001", "10.0.0.5:22", "env-a ssh");
	apply_all(&applier);
	close_all();
	open_applier(&applier, &ledger, true);
	apply_all(&applier);
	expect_table(TABLE(MAP4(""), DNAT4, POSTROUTING));
}

/* What another may do to the table, and that it is then as it was. */
static const char *const damages[] = {
	"flush ruleset",
	"delete table inet portico",
	"flush chain inet portico prerouting",
	"flush map inet portico mapping4",
	"insert rule inet portico prerouting drop",
	"add rule inet portico output counter",
	"add chain inet portico another",
	"add chain inet portico another; add rule inet portico prerouting jump another",
	"flush chain inet portico prerouting; flush chain inet portico output; delete map inet portico "
	"mapping4",
	"add set inet portico another { type ipv4_addr; }",
	"flush chain inet portico postrouting; delete chain inet portico postrouting",
	"delete chain inet portico prerouting; add chain inet portico prerouting { type nat hook "
	"prerouting priority 0; }",
	"add table inet portico { flags dormant; }",
	"delete table inet portico; add table inet portico; add map inet portico mapping4 { type "
	"ipv4_addr : ipv4_addr; }",
	"delete table inet portico; add table inet portico; add map inet portico mapping4 { type "
	"ipv4_addr . inet_proto . inet_service : ipv4_addr . inet_service; size 5; }",
	"add element inet portico mapping4 { 203.0.113.10 . tcp . 30009 : 10.0.0.9 . 9 }",
	"delete element inet portico mapping4 { 203.0.113.10 . tcp . 30001 : 10.0.0.5 . 22 }",
	"delete element inet portico mapping4 { 203.0.113.10 . tcp . 30001 : 10.0.0.5 . 22 }; "
	"add element inet portico mapping4 { 203.0.113.10 . tcp . 30001 : 10.0.0.6 . 22 }",
	"delete element inet portico mapping4 { 203.0.113.10 . tcp . 30001 : 10.0.0.5 . 22 }; "
	"add element inet portico mapping4 { 203.0.113.10 . tcp . 30001 comment \"x\" : 10.0.0.5 . 22 }",
	"chain inet portico prerouting { policy drop; }",
};

Test(table, is_restored_whatever_another_did_to_it)
{
	desire(&ledger, "203.0.113.10:30001", "10.0.0.5:22", "env-a ssh");
	for (size_t i = 0; i < ARRAY_SIZE(damages); i++) {
		_cleanup_free_ char *damaged = NULL, *restored = NULL;

		apply_all(&applier);
		expect_table(WITH_ELEMENT);
		do_nft(damages[i]);
		damaged = nft("list ruleset");
		cr_assert_str_neq(damaged, WITH_ELEMENT, "no damage: %s", damages[i]);
		applier_doubt(&applier, RESYNC_AUDIT);
		apply_all(&applier);
		restored = nft("list table inet portico");
		cr_assert_str_eq(restored, WITH_ELEMENT, "after: %s\n%s", damages[i], restored);
	}
}

Test(table, of_another_is_not_touched)
{
	_cleanup_free_ char *before = NULL, *after = NULL;

	do_nft("table ip portico { map mapping4 { type inet_service : ipv4_addr; elements = { 1 : "
	       "10.0.0.1 }; }; chain prerouting { type nat hook prerouting priority -100; tcp dport "
	       "80 redirect to :8080; }; }");
	do_nft("table inet other { chain c { type filter hook forward priority 0; policy drop; }; }");
	before = list_ruleset();
	desire(&ledger, "203.0.113.10:30001", "10.0.0.5:22", NULL);
	apply_all(&applier);
	undesire(&ledger, "203.0.113.10:30001");
	apply_all(&applier);
	do_nft("delete table inet portico");
	after = list_ruleset();
	cr_assert_str_eq(after, before);
}

/* ---- shards ---- */

static void open_large(void)
{
	const struct shape shape = { .source = SOURCE_MASQUERADE,
				     .map_size = 4 * SHAPE_SHARD_FROM };
	struct error err = ERROR_INIT;

	close_all();
	cr_assert_eq(applier_open(&applier, &shape, &ledger, NULL, &err), 0, "%s", err.message);
}

Test(table, for_many_mappings_is_in_shards_and_adopted_without_an_operation)
{
	struct error err = ERROR_INIT;

	open_large();
	for (unsigned port = 30000; port < 30032; port++) {
		char key[ENDPOINT_STRING_MAX];

		(void)snprintf(key, sizeof(key), "203.0.113.10:%u", port);
		desire(&ledger, key, "10.0.0.5:22", NULL);
	}
	desire(&ledger, "[2001:db8::10]:30005", "[2001:db8:1::5]:22", NULL);
	apply_all(&applier);
	cr_assert(
		listing_has("th dport & 15 == 5 dnat ip to ip daddr . meta l4proto . th dport map "
			    "@mapping4_5\n"));
	cr_assert(listing_has(
		"th dport & 15 == 5 dnat ip6 to ip6 daddr . meta l4proto . th dport map "
		"@mapping6_5\n"));
	cr_assert_not(listing_has("mapping4 {"));
	expect_listing_loads();
	open_large();
	cr_assert_eq(applier_read(&applier, adopt_all, NULL, &err), 0, "%s", err.message);
	cr_assert_eq(ledger.n_desired, 33);
	cr_assert_eq(apply_all(&applier).n_changes, 0);
	cr_assert_eq(applier.stats.transactions[APPLIER_COMMITTED], 0);
	/* Where nobody looks for it. */
	do_nft("add element inet portico mapping4_3 { 203.0.113.10 . tcp . 40004 : 10.0.0.9 . 9 }");
	applier_doubt(&applier, RESYNC_AUDIT);
	apply_all(&applier);
	cr_assert_not(listing_has("10.0.0.9"));
}

Test(table, changes_from_one_map_to_shards_and_keeps_its_elements)
{
	struct error err = ERROR_INIT;

	desire(&ledger, "203.0.113.10:30001", "10.0.0.5:22", "env-a ssh");
	apply_all(&applier);
	open_large();
	cr_assert_eq(applier_read(&applier, adopt_all, NULL, &err), 0, "%s", err.message);
	cr_assert(apply_all(&applier).restructured);
	cr_assert(listing_has("map mapping4_1 {"));
	cr_assert(listing_has("203.0.113.10 . tcp . 30001 comment \"env-a ssh\" : 10.0.0.5 . 22"));
	cr_assert_not(listing_has("mapping4 {"));
}

/* One for ever where only one with an end should be: the first that is asked would win. */
Test(table, has_a_mapping_in_one_map_only)
{
	desire_for(&ledger, "203.0.113.10:30001", "10.0.0.5:22", 3600);
	desire(&ledger, "203.0.113.10:30002", "10.0.0.5:80", NULL);
	apply_all(&applier);
	do_nft("add element inet portico mapping4 { 203.0.113.10 . tcp . 30001 : 10.0.0.9 . 9 }");
	applier_doubt(&applier, RESYNC_AUDIT);
	apply_all(&applier);
	cr_assert_not(listing_has("10.0.0.9"));
	cr_assert(listing_has("30001 timeout 59m5"));
}
