/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What refuses sources, with the real kernel: bans as intervals, put, read back and adopted, also
 * at the ends of the address space, and the rate of a source. Whom it refuses is tested with real
 * clients.
 */
#include <criterion/criterion.h>
#include <string.h>

#include "gatewayd/ban_keeper.h"
#include "gatewayd/refusals.h"
#include "lib/clock.h"
#include "tests/kernel/kernel.h"

#define NOW 1000000000 /* before all ends */

#define HEAD                                                                         \
	"\tchain sources {\n"                                                        \
	"\t\ttype nat hook postrouting priority srcnat - 10; policy accept;\n"       \
	"\t\tmeta mark & 0x01000000 != 0x01000000 return comment \"only what a map " \
	"of ours translates\"\n"                                                     \
	"\t\tct status ! dnat return\n"
#define BAN_CHAIN HEAD "\t\tip saddr @ban4 counter name \"refused_ban\" drop\n\t}\n"
#define RATE_CHAIN                                                                               \
	HEAD "\t\tupdate @source_rate4 { ip saddr limit rate over 10/minute burst 10 packets } " \
	     "counter name \"refused_source_rate\" drop\n"                                       \
	     "\t\tupdate @source_rate6 { ip6 saddr & ffff:ffff:ffff:ffff:: limit rate over "     \
	     "10/minute burst 10 packets } counter name \"refused_source_rate\" drop\n\t}\n"
#define RATE_SET                      \
	"\tset source_rate4 {\n"      \
	"\t\ttype ipv4_addr\n"        \
	"\t\tsize 65536\n"            \
	"\t\tflags dynamic,timeout\n" \
	"\t\ttimeout 1m\n\t}\n"

static struct ledger ledger = LEDGER_INIT;
static struct applier applier;
static struct ban_keeper keeper;

/* As a daemon that starts does. */
static void start(uint32_t rate)
{
	const struct shape shape = { .map_size = TEST_MAP_SIZE,
				     .source_rate = rate,
				     .source_rate_s = 60 };
	struct error err = ERROR_INIT;

	applier_close(&applier);
	ledger_clear(&ledger);
	ban_keeper_clear(&keeper);
	cr_assert_eq(applier_open(&applier, &shape, &ledger, NULL, &err), 0, "%s", err.message);
	cr_assert_eq(applier_read(&applier, NULL, NULL, &err), 0, "%s", err.message);
	cr_assert_eq(ban_keeper_adopt(&keeper, &ledger.members), 0);
}

static void open_all(void)
{
	enter_namespace();
	applier.netlink = NETLINK_INIT;
	start(0);
}

static void close_all(void)
{
	applier_close(&applier);
	ledger_clear(&ledger);
	ban_keeper_clear(&keeper);
}

TestSuite(bans, .init = open_all, .fini = close_all, .timeout = 60);

static void submit(enum ban_action action, const char *source, int64_t expires_at,
		   const char *reason)
{
	struct ban_request *request = NULL;
	struct ban ban = { .expires_at = expires_at };

	cr_assert_eq(prefix_parse(source, &ban.source), 0);
	if (reason)
		memcpy(ban.reason, reason, strlen(reason));
	cr_assert_eq(ban_request_new(&request, action), 0);
	request->source = ban.source;
	if (action != BAN_REMOVE)
		cr_assert_eq(bans_put(&request->bans, &ban, NULL), 0);
	ban_keeper_submit(&keeper, request);
}

static struct apply_result commit(void)
{
	struct apply_result result;

	ban_keeper_apply(&keeper, &ledger.members, NOW);
	result = apply_all(&applier);
	ban_keeper_settle(&keeper, &ledger.members, NULL);
	return result;
}

Test(bans, are_intervals_that_a_chain_before_the_source_translation_asks)
{
	submit(BAN_PUT, "198.51.100.0/24", 0, "too many logins");
	commit();
	expect_listing(
		"\t\ttype ipv4_addr\n\t\tsize 32768\n\t\tflags interval,timeout\n\t\tcounter\n"
		"\t\telements = { 198.51.100.0/24 counter packets 0 bytes 0 comment \"too many "
		"logins\" }\n",
		true);
	expect_listing(BAN_CHAIN, true);
	expect_listing("ban6", false);
	expect_listing_loads();
}

Test(bans, are_adopted_without_an_operation)
{
	_cleanup_free_ char *before = NULL, *after = NULL;
	struct apply_result result;

	submit(BAN_PUT, "198.51.100.0/25", 0, NULL);
	submit(BAN_PUT, "198.51.100.128/25", 0, "its neighbour");
	submit(BAN_PUT, "128.0.0.0/1", 0, NULL);
	submit(BAN_PUT, "0.0.0.0/8", 0, NULL);
	submit(BAN_PUT, "2001:db8::/33", 0, NULL);
	submit(BAN_PUT, "ffff::/16", 0, NULL);
	submit(BAN_PUT, "2001:db8:8000::1", 0, "one");
	commit();
	before = list_ruleset();
	start(0);
	result = apply_all(&applier);
	cr_assert_eq(result.n_changes, 0);
	cr_assert_not(result.restructured);
	after = list_ruleset(); /* with handles: nothing was made anew */
	cr_assert_str_eq(after, before);
	/* The two neighbours lie within 128.0.0.0/1. */
	cr_assert_eq(keeper.bans.n, 5);
	cr_assert_str_eq(keeper.bans.items[3]->reason, "one");
}

Test(bans, with_an_end_are_elements_with_a_timeout)
{
	int64_t end = clock_unix_seconds() + 3600;

	submit(BAN_PUT, "198.51.100.7", end, "why");
	commit();
	expect_listing("198.51.100.7 counter packets 0 bytes 0 timeout ", true);
	start(0);
	cr_assert_eq(apply_all(&applier).n_changes, 0);
	cr_assert_eq(keeper.bans.n, 1);
	cr_assert_leq(keeper.bans.items[0]->expires_at - end, 1);
	cr_assert_geq(keeper.bans.items[0]->expires_at - end, -1);
	/* Another end is the same element anew. */
	submit(BAN_PUT, "198.51.100.7", 0, "for good");
	cr_assert_eq(commit().n_changes, 1);
	expect_listing("198.51.100.7 counter packets 0 bytes 0 comment \"for good\"", true);
}

Test(bans, that_split_one_another_are_one_transaction)
{
	uint64_t committed;

	submit(BAN_PUT, "198.51.100.0/24", NOW + 1000000000, NULL);
	commit();
	committed = applier.stats.transactions[APPLIER_COMMITTED];
	submit(BAN_PUT, "198.51.100.7", 0, NULL);
	submit(BAN_REMOVE, "198.51.100.8", 0, NULL);
	commit();
	cr_assert_eq(applier.stats.transactions[APPLIER_COMMITTED], committed + 1);
	cr_assert_eq(keeper.bans.n, 11);
	start(0);
	cr_assert_eq(apply_all(&applier).n_changes, 0);
	cr_assert_eq(keeper.bans.n, 11);
}

Test(bans, of_others_making_that_are_no_prefix_are_removed)
{
	submit(BAN_PUT, "198.51.100.7", 0, NULL);
	commit();
	do_nft("add element inet portico ban4 { 192.0.2.5-192.0.2.9 }");
	start(0);
	cr_assert_eq(apply_all(&applier).n_changes, 1);
	expect_listing("192.0.2", false);
	expect_listing("198.51.100.7", true);
}

/* Whether the kernel has this ban still. */
static bool kernel_has(const char *source)
{
	_cleanup_free_ char *listing = nft("list set inet portico ban4");

	return strstr(listing, source) != NULL;
}

static uint64_t packets_of(const char *source)
{
	struct prefix prefix;
	struct member_key key;
	const struct member *member;

	cr_assert_eq(prefix_parse(source, &prefix), 0);
	ban_key(&prefix, &key);
	member = members_find(&ledger.members, &key);
	cr_assert_not_null(member);
	return member->packets;
}

Test(bans, are_counted_behind_one_that_has_ended)
{
	struct event_base *base = event_base_new();
	struct refusals *refusals;

	submit(BAN_PUT, "198.51.100.7", clock_unix_seconds() + 1, NULL);
	commit();
	submit(BAN_PUT, "198.51.100.9", 0, NULL);
	commit();
	do_nft("delete element inet portico ban4 { 198.51.100.9 }; "
	       "add element inet portico ban4 { 198.51.100.9 counter packets 7 bytes 420 }");
	while (kernel_has("198.51.100.7"))
		;
	cr_assert_eq(refusals_new(&refusals, base, &applier.shape, &ledger), 0);
	refusals_read(refusals);
	cr_assert_eq(packets_of("198.51.100.9"), 7);
	refusals_free(refusals);
	event_base_free(base);
}

Test(bans, leave_nothing_behind)
{
	submit(BAN_PUT, "198.51.100.7", 0, NULL);
	commit();
	submit(BAN_REMOVE, "198.51.100.7", 0, NULL);
	commit();
	start(0); /* which takes away what nobody uses */
	apply_all(&applier);
	expect_listing("ban", false);
	expect_listing("chain sources", false);
}

Test(bans, are_beside_a_rate_of_each_source)
{
	start(10);
	apply_all(&applier);
	expect_listing(RATE_CHAIN, true);
	expect_listing(RATE_SET, true);
	expect_listing_loads();
	/* What the kernel puts there is no concern of ours. */
	do_nft("add element inet portico source_rate4 { 192.0.2.1 }");
	start(10);
	cr_assert_eq(apply_all(&applier).n_changes, 0);
	expect_listing("192.0.2.1", true);
	start(0);
	apply_all(&applier);
	expect_listing("source_rate", false);
}
