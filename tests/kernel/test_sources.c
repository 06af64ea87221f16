/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Source handling with the real kernel: what each mode puts into the table, that it is adopted as
 * it is, and how one mode follows another. What hosts then see is tested with real clients.
 */
#include <criterion/criterion.h>
#include <net/if.h>
#include <string.h>

#include "gatewayd/source.h"
#include "tests/kernel/kernel.h"

#define TRANSLATED "meta mark & 0x01000000 == 0x01000000 ct status dnat "
#define REPLIES " comment \"replies come back through this gateway\"\n"

#define SNAT_CHAIN                                                                                 \
	"\tchain postrouting {\n"                                                                  \
	"\t\ttype nat hook postrouting priority srcnat; policy accept;\n"                          \
	"\t\t" TRANSLATED "snat ip to numgen inc mod 2 map @source4" REPLIES "\t\t" TRANSLATED     \
	"snat ip6 to numgen inc mod 1 map @source6" REPLIES "\t\t" TRANSLATED "masquerade" REPLIES \
	"\t}\n"
#define SNAT_SETS                                         \
	"\tmap source4 {\n"                               \
	"\t\ttypeof numgen inc mod 2 : ip saddr\n"        \
	"\t\tsize 64\n"                                   \
	"\t\telements = { 0 : 10.0.0.1, 1 : 10.0.0.2 }\n" \
	"\t}\n\n"                                         \
	"\tmap source6 {\n"                               \
	"\t\ttypeof numgen inc mod 1 : ip6 saddr\n"       \
	"\t\tsize 64\n"                                   \
	"\t\telements = { 0 : 2001:db8::1 }\n"            \
	"\t}\n"
#define HAIRPIN_CHAIN                                                                           \
	"\tchain postrouting {\n"                                                               \
	"\t\ttype nat hook postrouting priority srcnat; policy accept;\n"                       \
	"\t\t" TRANSLATED "iif . oif @hairpin masquerade comment \"client and host behind the " \
	"same link\"\n\t}\n"
#define HAIRPIN_SET                              \
	"\tset hairpin {\n"                      \
	"\t\ttype iface_index . iface_index\n"   \
	"\t\tsize 1024\n"                        \
	"\t\telements = { \"one\" . \"one\" }\n" \
	"\t}\n"

static struct ledger ledger = LEDGER_INIT;
static struct applier applier;
static struct address addresses[3];
static struct source source;
static int link_index;

/* As a daemon that starts with this mode does. */
static void start(enum source_mode mode)
{
	struct shape shape = { .source = mode, .map_size = TEST_MAP_SIZE };
	struct error err = ERROR_INIT;

	source = (struct source){ .mode = mode, .addresses = addresses, .n_addresses = 3 };
	shape.n_sources4 = source_count(&source, AF_INET);
	shape.n_sources6 = source_count(&source, AF_INET6);
	applier_close(&applier);
	ledger_clear(&ledger);
	cr_assert_eq(applier_open(&applier, &shape, &ledger, NULL, &err), 0, "%s", err.message);
	cr_assert_eq(applier_read(&applier, NULL, NULL, &err), 0, "%s", err.message);
	cr_assert_eq(source_desire(&source, &link_index, 1, &ledger.members), 0);
}

static void open_all(void)
{
	static const char *const texts[] = { "10.0.0.1", "2001:db8::1", "10.0.0.2" };

	enter_namespace();
	do_ip("link add one type veth peer name other");
	link_index = (int)if_nametoindex("one");
	for (size_t i = 0; i < ARRAY_SIZE(texts); i++)
		cr_assert_eq(address_parse(texts[i], &addresses[i]), 0);
	applier.netlink = NETLINK_INIT;
}

static void close_all(void)
{
	applier_close(&applier);
	ledger_clear(&ledger);
}

TestSuite(sources, .init = open_all, .fini = close_all, .timeout = 60);

Test(sources, snat_is_a_map_of_numbers_to_addresses)
{
	start(SOURCE_SNAT);
	apply_all(&applier);
	expect_listing(SNAT_CHAIN, true);
	expect_listing(SNAT_SETS, true);
	expect_listing_loads();
}

Test(sources, preserve_translates_what_leaves_by_the_link_that_it_came_by)
{
	start(SOURCE_PRESERVE);
	apply_all(&applier);
	expect_listing(HAIRPIN_CHAIN, true);
	expect_listing(HAIRPIN_SET, true);
	expect_listing_loads();
}

Test(sources, are_adopted_without_an_operation)
{
	static const enum source_mode modes[] = { SOURCE_SNAT, SOURCE_PRESERVE };

	for (size_t i = 0; i < ARRAY_SIZE(modes); i++) {
		_cleanup_free_ char *before = NULL, *after = NULL;
		struct apply_result result;

		start(modes[i]);
		apply_all(&applier);
		before = list_ruleset();
		start(modes[i]);
		result = apply_all(&applier);
		cr_assert_eq(result.n_changes, 0);
		cr_assert_not(result.restructured);
		after = list_ruleset(); /* with handles: nothing was made anew */
		cr_assert_str_eq(after, before);
	}
}

Test(sources, one_mode_follows_another_and_leaves_nothing_of_it)
{
	start(SOURCE_SNAT);
	apply_all(&applier);
	start(SOURCE_PRESERVE);
	apply_all(&applier);
	expect_listing("source4", false);
	expect_listing(HAIRPIN_CHAIN, true);
	start(SOURCE_MASQUERADE);
	apply_all(&applier);
	expect_listing("hairpin", false);
	start(SOURCE_SNAT);
	apply_all(&applier);
	expect_listing(SNAT_CHAIN, true);
}

Test(sources, another_address_is_a_change_of_one_element)
{
	size_t n = 0;

	start(SOURCE_SNAT);
	apply_all(&applier);
	cr_assert_eq(address_parse("10.0.0.3", &addresses[2]), 0);
	start(SOURCE_SNAT);
	cr_assert_eq(apply_all(&applier).n_changes, 1);
	expect_listing("elements = { 0 : 10.0.0.1, 1 : 10.0.0.3 }", true);
	for (struct member *member = ledger.members.all; member; member = member->hh.next)
		n++;
	cr_assert_eq(n, 3);
}

Test(sources, what_another_did_to_them_is_repaired)
{
	start(SOURCE_SNAT);
	apply_all(&applier);
	do_nft("delete element inet portico source4 { 1 : 10.0.0.2 }");
	do_nft("add element inet portico source6 { 3 : 2001:db8::9 }");
	applier_doubt(&applier, RESYNC_FOREIGN);
	cr_assert_eq(apply_all(&applier).n_changes, 2);
	expect_listing(SNAT_SETS, true);
}
