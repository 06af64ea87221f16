/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Bans: what becomes of those that overlap, against the meaning of the rule for each address; how
 * they stand as members, and as JSON.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "gatewayd/bans.h"
#include "tests/unit/gatewayd/make.h"

static struct bans bans;

static void begin(void)
{
	bans = BANS_INIT;
}

static void end(void)
{
	bans_clear(&bans);
}

TestSuite(bans, .init = begin, .fini = end);

static struct prefix prefix_of(const char *text)
{
	struct prefix prefix = { 0 };

	cr_assert_eq(prefix_parse(text, &prefix), 0, "%s", text);
	return prefix;
}

static struct ban ban_of(const char *source, int64_t expires_at)
{
	return (struct ban){ .source = prefix_of(source), .expires_at = expires_at };
}

static void put(const char *source, int64_t expires_at)
{
	const struct ban ban = ban_of(source, expires_at);
	struct error err = ERROR_INIT;

	cr_assert_eq(bans_put(&bans, &ban, &err), 0, "%s", err.message);
}

static int take(const char *source)
{
	const struct prefix prefix = prefix_of(source);

	return bans_remove(&bans, &prefix);
}

/* "SOURCE@END SOURCE@END …" */
static void expect(const char *expected)
{
	char text[2048] = "";
	size_t length = 0;

	for (size_t i = 0; i < bans.n; i++) {
		char source[PREFIX_STRING_MAX];

		length += (size_t)snprintf(text + length, sizeof(text) - length, "%s%s@%d",
					   i ? " " : "",
					   prefix_format(&bans.items[i]->source, source),
					   (int)bans.items[i]->expires_at);
	}
	cr_assert_str_eq(text, expected);
}

Test(bans, are_in_order)
{
	put("198.51.100.7", 10);
	put("192.0.2.0/24", 0);
	put("2001:db8::/48", 5);
	put("198.51.100.3", 20);
	expect("192.0.2.0/24@0 198.51.100.3/32@20 198.51.100.7/32@10 2001:db8::/48@5");
}

Test(bans, of_the_same_source_only_ever_last_longer)
{
	put("198.51.100.0/24", 10);
	put("198.51.100.0/24", 20);
	put("198.51.100.0/24", 15);
	expect("198.51.100.0/24@20");
	put("198.51.100.0/24", 0);
	put("198.51.100.0/24", 30);
	expect("198.51.100.0/24@0");
}

Test(bans, within_one_that_lasts_as_long_change_nothing)
{
	put("198.51.100.0/24", 20);
	put("198.51.100.7", 20);
	put("198.51.100.8", 10);
	expect("198.51.100.0/24@20");
}

Test(bans, around_ones_that_end_earlier_take_their_place)
{
	put("198.51.100.7", 10);
	put("198.51.100.8", 20);
	put("198.51.101.1", 10);
	put("198.51.100.0/24", 20);
	expect("198.51.100.0/24@20 198.51.101.1/32@10");
}

Test(bans, within_one_that_ends_earlier_split_it)
{
	put("198.51.100.0/30", 10);
	put("198.51.100.1", 20);
	expect("198.51.100.0/32@10 198.51.100.1/32@20 198.51.100.2/31@10");
}

Test(bans, around_ones_that_last_longer_are_split_by_them)
{
	put("198.51.100.1", 0);
	put("198.51.100.6", 20);
	put("198.51.100.2", 5);
	put("198.51.100.0/29", 10);
	expect("198.51.100.0/32@10 198.51.100.1/32@0 198.51.100.2/31@10 198.51.100.4/31@10 "
	       "198.51.100.6/32@20 198.51.100.7/32@10");
}

Test(bans, are_removed_with_all_that_lies_within)
{
	put("198.51.100.0/25", 10);
	put("198.51.100.200", 10);
	put("198.51.101.0/24", 10);
	cr_assert_eq(take("198.51.100.0/24"), 0);
	expect("198.51.101.0/24@10");
	cr_assert_eq(take("198.51.100.0/24"), -ENOENT);
	cr_assert_eq(take("0.0.0.0/0"), 0);
	expect("");
}

Test(bans, are_split_around_what_is_taken_out_of_them)
{
	put("198.51.100.0/30", 10);
	cr_assert_eq(take("198.51.100.2"), 0);
	expect("198.51.100.0/31@10 198.51.100.3/32@10");
}

/* The rule in its simplest form, for each of 256 addresses: of all bans that cover it, the one that
 * ends last. */
#define SOURCES 64
static struct ban history[SOURCES];
static size_t n_history;

static bool model_banned(uint8_t host, int64_t *ret_end)
{
	struct address address = prefix_of("198.51.100.0").address;
	bool banned = false;

	address.bytes[3] = host;
	for (size_t i = 0; i < n_history; i++) {
		const struct prefix one = { .address = address, .length = 32 };
		const struct ban *ban = &history[i];

		if (!prefix_contains(&ban->source, &one))
			continue;
		if (!banned ||
		    (*ret_end != 0 && (ban->expires_at == 0 || ban->expires_at > *ret_end)))
			*ret_end = ban->expires_at;
		banned = true;
	}
	return banned;
}

static void expect_model(unsigned round)
{
	struct address address = prefix_of("198.51.100.0").address;

	for (unsigned host = 0; host < 256; host++) {
		const struct ban *ban;
		int64_t expected = 0;
		bool banned = model_banned((uint8_t)host, &expected);

		address.bytes[3] = (uint8_t)host;
		ban = bans_find(&bans, &address);
		cr_assert_eq(ban != NULL, banned, "round %u, host %u", round, host);
		if (ban)
			cr_assert_eq(ban->expires_at, expected, "round %u, host %u", round, host);
	}
	for (size_t i = 1; i < bans.n; i++) {
		cr_assert_lt(address_compare(&bans.items[i - 1]->source.address,
					     &bans.items[i]->source.address),
			     0);
		cr_assert_not(prefix_contains(&bans.items[i - 1]->source, &bans.items[i]->source));
	}
}

Test(bans, hold_for_each_address_as_the_rule_says)
{
	uint32_t seed = 1;

	for (unsigned round = 0; round < 50; round++) {
		end();
		n_history = 0;
		while (n_history < SOURCES) {
			struct ban ban = ban_of("198.51.100.0/24", 0);

			seed = seed * 1664525 + 1013904223;
			ban.source.length = (uint8_t)(24 + (seed >> 8) % 9);
			ban.source.address.bytes[3] =
				(uint8_t)((seed >> 16) & (0xff00u >> (ban.source.length - 24)));
			ban.expires_at = (seed >> 24) % 8;
			history[n_history++] = ban;
			cr_assert_eq(bans_put(&bans, &ban, NULL), 0);
		}
		expect_model(round);
	}
}

Test(bans, have_a_limit_by_family)
{
	struct ban ban = ban_of("10.0.0.0/32", 0), six = ban_of("2001:db8::/128", 0);
	struct error err = ERROR_INIT;

	for (uint32_t i = 0; i < BANS_MAX; i++) {
		ban.source.address.bytes[1] = (uint8_t)(i >> 14);
		ban.source.address.bytes[2] = (uint8_t)(i >> 6);
		ban.source.address.bytes[3] = (uint8_t)(i << 2);
		cr_assert_eq(bans_put(&bans, &ban, &err), 0);
	}
	cr_assert_eq(bans.n, BANS_MAX);
	ban.source.address.bytes[0] = 11;
	cr_assert_eq(bans_put(&bans, &ban, &err), -ENOSPC);
	cr_assert_str_eq(err.code, "too_many");
	cr_assert_eq(bans.n, BANS_MAX);
	cr_assert_eq(bans_put(&bans, &six, NULL), 0);
	/* Wider ones make room. */
	put("10.0.0.0/24", 0);
	cr_assert_eq(bans_put(&bans, &ban, NULL), 0);
}

Test(bans, end)
{
	put("198.51.100.1", 10);
	put("198.51.100.2", 11);
	put("198.51.100.3", 0);
	cr_assert_eq(bans_expire(&bans, 10), 1);
	expect("198.51.100.2/32@11 198.51.100.3/32@0");
}

static const char *const sources[] = { "198.51.100.7",    "198.51.100.0/24", "128.0.0.0/1",
				       "255.255.255.255", "2001:db8::/33",   "2001:db8::1" };

Test(bans, are_members_and_come_back)
{
	for (size_t i = 0; i < ARRAY_SIZE(sources); i++) {
		const struct prefix source = prefix_of(sources[i]);
		const struct member_terms terms = { .expires_at = 10, .comment = "why" };
		char text[PREFIX_STRING_MAX], back[PREFIX_STRING_MAX];
		struct member_key key;
		struct ban ban;

		ban_key(&source, &key);
		cr_assert_eq(ban_of_member(&key, &terms, &ban), 0);
		cr_assert_str_eq(prefix_format(&ban.source, back), prefix_format(&source, text));
		cr_assert_eq(ban.expires_at, 10);
		cr_assert_str_eq(ban.reason, "why");
		key.end[key.length - 1] ^= 2; /* no prefix any more */
		if (source.length < 8 * key.length - 2)
			cr_assert_eq(ban_of_member(&key, &terms, &ban), -EBADMSG);
	}
}

struct bad_row {
	const char *json, *field, *sentence;
};

static const struct bad_row bad_rows[] = {
	{ "[]", "", "object" },
	{ "{}", "source", "required" },
	{ "{\"source\":\"198.51.100.1/24\"}", "source", "neither an address nor a network" },
	{ "{\"source\":\"0.0.0.0/0\"}", "source", "everybody" },
	{ "{\"source\":\"198.51.100.1\",\"expires_at\":\"2001-01-01T00:00:00Z\"}", "expires_at",
	  "passed" },
	{ "{\"source\":\"198.51.100.1\",\"expires_at\":\"2700-01-01T00:00:00Z\"}", "expires_at",
	  "500 years" },
	{ "{\"source\":\"198.51.100.1\",\"reason\":\"a\\\"b\"}", "reason", "double quote" },
	{ "{\"source\":\"198.51.100.1\",\"reason\":\"a\\nb\"}", "reason", "one line" },
	{ "{\"source\":\"198.51.100.1\",\"until\":1}", "until", "not a known field" },
};

Test(bans, refuse_what_is_no_ban)
{
	for (size_t i = 0; i < ARRAY_SIZE(bad_rows); i++) {
		const struct bad_row *row = &bad_rows[i];
		_cleanup_json_ json_t *json = json_loads(row->json, 0, NULL);
		struct error err = ERROR_INIT;
		struct ban ban;

		cr_assert_lt(ban_decode(json, "", 1000000000, &ban, &err), 0, "%s", row->json);
		cr_assert_str_eq(err.field, row->field, "%s: %s", row->json, err.message);
		cr_assert(strstr(err.message, row->sentence), "%s: %s", row->json, err.message);
	}
}

Test(bans, are_json_and_come_back)
{
	_cleanup_json_ json_t *json = NULL, *again = NULL;
	struct bans back;

	put("198.51.100.0/24", 2000000000);
	put("2001:db8::1", 0);
	(void)snprintf(bans.items[0]->reason, sizeof(bans.items[0]->reason), "too many logins");
	json = bans_encode(&bans);
	cr_assert_not_null(json);
	cr_assert_eq(bans_decode(json, "bans", 1000000000, &back, NULL), 0);
	again = bans_encode(&back);
	cr_assert(json_equal(json, again));
	cr_assert_str_eq(back.items[0]->reason, "too many logins");
	bans_clear(&back);
}
