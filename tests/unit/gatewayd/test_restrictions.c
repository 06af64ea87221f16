/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A mapping's limits as members, what changes of them, and the way back. */
#include <errno.h>
#include <string.h>

#include "gatewayd/restrictions.h"
#include "tests/unit/gatewayd/make.h"

#define P4 "203.0.113.10:30001"
#define P6 "[2001:db8::10]:30001"

static struct members members;
static struct prefix prefixes[4];

static void begin(void)
{
	members = MEMBERS_INIT;
}

static void end(void)
{
	members_clear(&members);
}

TestSuite(restrictions, .init = begin, .fini = end);

/* "10.0.0.0/8 192.0.2.1" into prefixes, separated by spaces. */
static struct policy policy_of(const char *allow, uint32_t rate, uint32_t connections)
{
	struct policy policy = { .new_connections_per_minute = rate,
				 .max_connections = connections };
	char copy[200], *rest = copy, *word;

	(void)strncpy(copy, allow, sizeof(copy) - 1);
	copy[sizeof(copy) - 1] = '\0';
	while (*allow && (word = strsep(&rest, " ")))
		cr_assert_eq(prefix_parse(word, &prefixes[policy.n_allow++]), 0, "%s", word);
	policy.allow = policy.n_allow ? prefixes : NULL;
	return policy;
}

static void change(const char *key, const struct policy *old, const struct policy *wanted)
{
	const struct mapping_key k = key_of(key);

	cr_assert_eq(restrictions_change(&members, &k, old, wanted), 0);
}

static size_t wanted(enum shape_set set)
{
	return members.n_desired[set];
}

Test(restrictions, each_limit_has_its_set_by_family)
{
	struct policy policy = policy_of("10.0.0.0/8 192.0.2.1", 60, 5);

	change(P4, NULL, &policy);
	cr_assert_eq(wanted(SHAPE_GUARDED4), 1);
	cr_assert_eq(wanted(SHAPE_ALLOW4), 2);
	cr_assert_eq(wanted(SHAPE_RATE4), 1);
	cr_assert_eq(wanted(SHAPE_CONNECTIONS4), 1);
	policy = policy_of("2001:db8::/32", 0, 0);
	change(P6, NULL, &policy);
	cr_assert_eq(wanted(SHAPE_GUARDED6), 1);
	cr_assert_eq(wanted(SHAPE_ALLOW6), 1);
	cr_assert_eq(wanted(SHAPE_RATE6), 0);
}

Test(restrictions, a_policy_without_limits_has_no_members)
{
	const struct policy policy = { .expires_at = 2000000000 };

	change(P4, NULL, &policy);
	change(P4, &policy, NULL);
	cr_assert_eq(HASH_COUNT(members.all), 0);
}

static void confirm_all(void)
{
	for (struct member *member = members.all; member; member = member->hh.next)
		members_confirm(&members, member);
	members_settle(&members);
}

Test(restrictions, a_change_touches_only_what_differs)
{
	const struct policy two = policy_of("10.0.0.0/8 192.0.2.1", 60, 5);
	struct prefix kept[2];
	struct policy old = two, other;
	size_t n = 0;

	memcpy(kept, prefixes, sizeof(kept));
	old.allow = kept;
	change(P4, NULL, &old);
	confirm_all();
	other = policy_of("10.0.0.0/8 198.51.100.0/24", 61, 5);
	change(P4, &old, &other);
	for (struct member *member = members.dirty; member; member = member->next_dirty)
		n += !member_settled(member);
	cr_assert_eq(n, 3, "%zu: one prefix goes, one comes, the rate changes", n);
	confirm_all();
	change(P4, &other, NULL);
	confirm_all();
	cr_assert_eq(HASH_COUNT(members.all), 0);
}

Test(restrictions, other_mappings_keep_theirs)
{
	const struct policy policy = policy_of("10.0.0.0/8", 60, 5);

	change(P4, NULL, &policy);
	change("203.0.113.10:30002", NULL, &policy);
	change(P4, &policy, NULL);
	cr_assert_eq(wanted(SHAPE_ALLOW4), 1);
	cr_assert_eq(wanted(SHAPE_RATE4), 1);
}

Test(restrictions, members_say_what_the_policy_was)
{
	static const char *const lists[] = { "0.0.0.0/0", "10.0.0.0/8 192.0.2.0/25 198.51.100.7",
					     "2001:db8::/33", "::/0",
					     "2001:db8::1 2001:db9::/127" };

	for (size_t i = 0; i < ARRAY_SIZE(lists); i++) {
		const struct policy policy = policy_of(lists[i], 60, 5);
		const char *key = strchr(lists[i], ':') ? P6 : P4;
		struct mapping_key owner, expected = key_of(key);
		struct policy back = { 0 };

		change(key, NULL, &policy);
		for (struct member *m = members.all; m; m = m->hh.next) {
			cr_assert_eq(restrictions_owner(&m->key, &owner), 0);
			cr_assert_eq(mapping_key_compare(&owner, &expected), 0);
			cr_assert_eq(restrictions_read(&m->key, &m->desired, &back), 0);
		}
		cr_assert(policy_equal(&policy, &back), "%s", lists[i]);
		policy_clear(&back);
		members_clear(&members);
	}
}

/* What another put there: it must not become a policy of ours. */
Test(restrictions, a_range_that_is_no_prefix_is_none_of_ours)
{
	const struct policy policy = policy_of("10.0.0.0/8", 0, 0);
	const struct member_terms terms = { 0 };
	struct policy back = { 0 };

	change(P4, NULL, &policy);
	for (struct member *m = members.all; m; m = m->hh.next) {
		struct member_key key = m->key;

		if (key.set != SHAPE_ALLOW4)
			continue;
		key.end[15]--; /* to 10.255.255.254 */
		cr_assert_eq(restrictions_read(&key, &terms, &back), -EBADMSG);
		key = m->key;
		key.key[15] = 1; /* from 10.0.0.1 */
		cr_assert_eq(restrictions_read(&key, &terms, &back), -EBADMSG);
		key = m->key;
		key.end[9]++; /* over several ports */
		cr_assert_eq(restrictions_read(&key, &terms, &back), -EBADMSG);
		key = m->key;
		key.end_length = 0;
		cr_assert_eq(restrictions_read(&key, &terms, &back), -EBADMSG);
	}
	cr_assert_eq(back.n_allow, 0);
}

Test(restrictions, maps_belong_to_no_policy)
{
	const struct mapping_key mapping = key_of(P4);
	struct member_key key = { .set = SHAPE_MAPPING4 };
	struct mapping_key owner;

	key.length = (uint8_t)shape_key(&mapping, key.key);
	cr_assert_null(restrictions_field(SHAPE_MAPPING4));
	cr_assert_eq(restrictions_owner(&key, &owner), -ENOENT);
	key.set = SHAPE_RATE4;
	cr_assert_str_eq(restrictions_field(SHAPE_RATE4), "new_connections_per_minute");
	cr_assert_eq(restrictions_owner(&key, &owner), 0);
	key.length--;
	cr_assert_eq(restrictions_owner(&key, &owner), -EBADMSG);
}

Test(restrictions, refusals_of_all_limits_are_added)
{
	const struct mapping_key key = key_of(P4), other = key_of("203.0.113.10:30002");
	const struct policy policy = policy_of("", 60, 5);

	change(P4, NULL, &policy);
	for (struct member *m = members.all; m; m = m->hh.next)
		m->packets = m->key.set == SHAPE_RATE4 ? 3 : 4;
	cr_assert_eq(restrictions_refused(&members, &key), 7);
	cr_assert_eq(restrictions_refused(&members, &other), 0);
}

Test(restrictions, what_has_no_room_is_named_by_its_field)
{
	const struct mapping_key key = key_of(P4), other = key_of("203.0.113.10:30002");
	struct policy policy = policy_of("10.0.0.0/8 192.0.2.1", 60, 5);

	change(P4, NULL, &policy);
	cr_assert_null(restrictions_full(&members, &other, &policy));
	members.n_desired[SHAPE_CONNECTIONS4] = SHAPE_SHARD_FROM;
	cr_assert_str_eq(restrictions_full(&members, &other, &policy), "max_connections");
	cr_assert_null(restrictions_full(&members, &key, &policy), "it has one already");
	members.n_desired[SHAPE_RATE4] = SHAPE_SHARD_FROM;
	cr_assert_str_eq(restrictions_full(&members, &other, &policy),
			 "new_connections_per_minute");
	members.n_desired[SHAPE_ALLOW4] = SHAPE_RANGES_MAX - 1;
	cr_assert_str_eq(restrictions_full(&members, &other, &policy), "allow");
	policy.n_allow = 0;
	policy.new_connections_per_minute = 0;
	policy.max_connections = 0;
	cr_assert_null(restrictions_full(&members, &other, &policy));
}
