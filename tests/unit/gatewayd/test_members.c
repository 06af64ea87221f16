/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Members: their two sides, the dirty list, the counts by set, and the table under many keys. */
#include <string.h>

#include "gatewayd/members.h"
#include "tests/unit/gatewayd/make.h"

#define SET SHAPE_EXPIRING4 /* any will do */
#define OTHER SHAPE_EXPIRING6

static struct members members;

static void begin(void)
{
	members = MEMBERS_INIT;
}

static void end(void)
{
	members_clear(&members);
}

TestSuite(members, .init = begin, .fini = end);

static struct member_key key_number(enum shape_set set, uint32_t n)
{
	struct member_key key = { .set = (uint8_t)set, .length = sizeof(n) };

	memcpy(key.key, &n, sizeof(n));
	return key;
}

static struct member *want(enum shape_set set, uint32_t n, uint32_t limit)
{
	const struct member_terms terms = { .limit = limit };
	const struct member_key key = key_number(set, n);
	struct member *member = NULL;

	cr_assert_eq(members_desire(&members, &key, &terms, &member), 0);
	return member;
}

static struct member *have(enum shape_set set, uint32_t n, uint32_t limit)
{
	const struct member_terms terms = { .limit = limit };
	const struct member_key key = key_number(set, n);
	struct member *member = NULL;

	cr_assert_eq(members_install(&members, &key, &terms, &member), 0);
	return member;
}

Test(members, desire_confirm_undesire_confirm)
{
	struct member *member = want(SET, 1, 5);
	const struct member_key key = key_number(SET, 1);

	cr_assert_eq(members_find(&members, &key), member);
	cr_assert_eq(members_sets(&members), SHAPE_BIT(SET));
	cr_assert_eq(members.n_dirty, 1);
	members_confirm(&members, member);
	members_settle(&members);
	cr_assert_eq(members.n_dirty, 0);
	cr_assert_eq(member->installed.limit, 5);
	members_undesire(&members, member);
	members_undesire(&members, member);
	cr_assert_eq(members_sets(&members), 0);
	members_settle(&members);
	cr_assert_eq(members_find(&members, &key), member, "it is in the kernel still");
	members_confirm(&members, member);
	members_settle(&members);
	cr_assert_null(members_find(&members, &key));
	cr_assert_eq(HASH_COUNT(members.all), 0);
}

Test(members, other_terms_are_a_difference)
{
	struct member *member = have(SET, 1, 5);

	want(SET, 1, 5);
	cr_assert(member_settled(member));
	want(SET, 1, 6);
	cr_assert_not(member_settled(member));
	have(SET, 1, 6);
	cr_assert(member_settled(member));
	member->desired.expires_at = 1000;
	member->installed.expires_at = 1000 + POLICY_EXPIRY_TOLERANCE_S;
	cr_assert(member_settled(member));
	member->installed.expires_at++;
	cr_assert_not(member_settled(member));
}

Test(members, what_nobody_wants_is_dirty_and_what_is_gone_is_wanted_again)
{
	struct member *member = have(SET, 1, 5);

	cr_assert_eq(members.n_dirty, 1);
	want(SET, 1, 5);
	members_settle(&members);
	member->packets = 9;
	members_uninstall(&members, member);
	cr_assert_eq(members.n_dirty, 1);
	cr_assert_eq(member->packets, 0, "a new element counts anew");
}

Test(members, sets_and_ends_of_ranges_are_told_apart)
{
	struct member_key range = key_number(SET, 1);
	const struct member_terms terms = { 0 };

	want(SET, 1, 0);
	want(OTHER, 1, 0);
	range.end_length = 4;
	cr_assert_null(members_find(&members, &range));
	cr_assert_eq(members_desire(&members, &range, &terms, NULL), 0);
	range.end[0] = 1;
	cr_assert_null(members_find(&members, &range));
	cr_assert_eq(HASH_COUNT(members.all), 3);
	cr_assert_eq(members.n_desired[SET], 2);
	cr_assert_eq(members_sets(&members), SHAPE_BIT(SET) | SHAPE_BIT(OTHER));
}

Test(members, finds_all_that_is_left_after_many_are_dropped)
{
	const uint32_t n = 10000;
	size_t walked = 0;

	for (uint32_t i = 0; i < n; i++)
		want(SET, i, 0);
	for (uint32_t i = 0; i < n; i += 3) {
		const struct member_key key = key_number(SET, i);

		members_undesire(&members, members_find(&members, &key));
	}
	members_settle(&members);
	for (uint32_t i = 0; i < n; i++) {
		const struct member_key key = key_number(SET, i);

		cr_assert_eq(members_find(&members, &key) == NULL, i % 3 == 0, "%u", i);
	}
	for (struct member *member = members.all; member; member = member->hh.next)
		walked++;
	cr_assert_eq(walked, n - (n + 2) / 3);
	cr_assert_eq(walked, HASH_COUNT(members.all));
}
