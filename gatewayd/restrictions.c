/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A mapping's limits (who may connect, how often, how many at a time) as members of the sets by
 * which the kernel enforces them, and back. It holds nothing itself.
 */
#include "gatewayd/restrictions.h"

#include <errno.h>
#include <string.h>

static const char *const fields[SHAPE_SET_MAX] = {
	[SHAPE_GUARDED4] = "allow",
	[SHAPE_GUARDED6] = "allow",
	[SHAPE_ALLOW4] = "allow",
	[SHAPE_ALLOW6] = "allow",
	[SHAPE_RATE4] = "new_connections_per_minute",
	[SHAPE_RATE6] = "new_connections_per_minute",
	[SHAPE_CONNECTIONS4] = "max_connections",
	[SHAPE_CONNECTIONS6] = "max_connections",
};

const char *restrictions_field(enum shape_set set)
{
	return fields[set];
}

static struct member_key key_in(enum shape_set set4, const struct mapping_key *key)
{
	struct member_key member = { 0 };

	member.set = (uint8_t)shape_set_of_family(set4, key->address.family);
	member.length = (uint8_t)shape_key(key, member.key);
	return member;
}

/* ---- prefixes ---- */

/* From the prefix's first address to its last, each behind the mapping's key. */
static struct member_key key_of_prefix(const struct mapping_key *key, const struct prefix *prefix)
{
	struct member_key member = key_in(SHAPE_ALLOW4, key);
	size_t n = address_length(&prefix->address);
	uint8_t *last;

	memcpy(member.key + member.length, prefix->address.bytes, n);
	memcpy(member.end, member.key, sizeof(member.end));
	last = member.end + member.length;
	for (size_t bit = prefix->length; bit < 8 * n; bit++)
		last[bit / 8] |= (uint8_t)(0x80 >> bit % 8);
	member.length = (uint8_t)(member.length + n);
	member.end_length = member.length;
	return member;
}

/* The other way. -EBADMSG where the range is no prefix. */
static int prefix_of_key(const struct member_key *member, const struct mapping_key *key,
			 struct prefix *ret)
{
	struct prefix prefix = { .address.family = key->address.family };
	size_t n = address_length(&prefix.address);
	size_t bits = 8 * n;
	struct member_key again;

	if (member->length < n || member->end_length != member->length)
		return -EBADMSG;
	memcpy(prefix.address.bytes, member->key + member->length - n, n);
	for (size_t bit = 0; bit < bits; bit++) {
		uint8_t mask = (uint8_t)(0x80 >> bit % 8);
		size_t byte = member->length - n + bit / 8;

		if ((member->key[byte] ^ member->end[byte]) & mask)
			break;
		prefix.length++;
	}
	for (size_t bit = prefix.length; bit < bits; bit++)
		prefix.address.bytes[bit / 8] &= (uint8_t) ~(0x80 >> bit % 8);
	again = key_of_prefix(key, &prefix);
	if (memcmp(&again, member, sizeof(again)) != 0)
		return -EBADMSG;
	*ret = prefix;
	return 0;
}

/* ---- wanting ---- */

static void forget(struct members *members, const struct member_key *key)
{
	struct member *member = members_find(members, key);

	if (member)
		members_undesire(members, member);
}

static void forget_all(struct members *members, const struct mapping_key *key,
		       const struct policy *policy)
{
	static const enum shape_set sets[] = { SHAPE_GUARDED4, SHAPE_RATE4, SHAPE_CONNECTIONS4 };
	struct member_key member;

	for (size_t i = 0; i < ARRAY_SIZE(sets); i++) {
		member = key_in(sets[i], key);
		forget(members, &member);
	}
	for (size_t i = 0; i < policy->n_allow; i++) {
		member = key_of_prefix(key, &policy->allow[i]);
		forget(members, &member);
	}
}

static int want_number(struct members *members, enum shape_set set4, const struct mapping_key *key,
		       uint32_t limit)
{
	const struct member_terms terms = { .limit = limit };
	const struct member_key member = key_in(set4, key);

	return limit == 0 ? 0 : members_desire(members, &member, &terms, NULL);
}

static int want_all(struct members *members, const struct mapping_key *key,
		    const struct policy *policy)
{
	const struct member_terms none = { 0 };
	struct member_key member = key_in(SHAPE_GUARDED4, key);
	int r = 0;

	if (policy->n_allow > 0)
		r = members_desire(members, &member, &none, NULL);
	for (size_t i = 0; r == 0 && i < policy->n_allow; i++) {
		member = key_of_prefix(key, &policy->allow[i]);
		r = members_desire(members, &member, &none, NULL);
	}
	if (r == 0)
		r = want_number(members, SHAPE_RATE4, key, policy->new_connections_per_minute);
	if (r == 0)
		r = want_number(members, SHAPE_CONNECTIONS4, key, policy->max_connections);
	return r;
}

static bool has_limits(const struct policy *policy)
{
	return policy && (policy->n_allow > 0 || policy->max_connections > 0 ||
			  policy->new_connections_per_minute > 0);
}

/* What both want is undesired and desired again, which leaves it as it is. */
int restrictions_change(struct members *members, const struct mapping_key *key,
			const struct policy *old, const struct policy *wanted)
{
	int r;

	if (has_limits(old))
		forget_all(members, key, old);
	if (!has_limits(wanted))
		return 0;
	r = want_all(members, key, wanted);
	if (r == 0)
		return 0;
	forget_all(members, key, wanted);
	/* They are there still, so that this needs no memory. */
	if (has_limits(old))
		(void)!want_all(members, key, old);
	return r;
}

static bool is_full(const struct members *members, enum shape_set set4,
		    const struct mapping_key *key, size_t more, size_t room)
{
	const struct member_key wanted = key_in(set4, key);
	const struct member *member = members_find(members, &wanted);

	if (more == 0 || (member && (member->flags & MEMBER_DESIRED)))
		return false;
	return members->n_desired[wanted.set] + more > room;
}

const char *restrictions_full(const struct members *members, const struct mapping_key *key,
			      const struct policy *policy)
{
	if (is_full(members, SHAPE_GUARDED4, key, policy->n_allow > 0, SHAPE_SHARD_FROM) ||
	    is_full(members, SHAPE_ALLOW4, key, policy->n_allow, SHAPE_RANGES_MAX))
		return restrictions_field(SHAPE_ALLOW4);
	if (is_full(members, SHAPE_RATE4, key, policy->new_connections_per_minute > 0,
		    SHAPE_SHARD_FROM))
		return restrictions_field(SHAPE_RATE4);
	if (is_full(members, SHAPE_CONNECTIONS4, key, policy->max_connections > 0,
		    SHAPE_SHARD_FROM))
		return restrictions_field(SHAPE_CONNECTIONS4);
	return NULL;
}

/* ---- reading ---- */

int restrictions_owner(const struct member_key *member, struct mapping_key *ret)
{
	if (!restrictions_field(member->set))
		return -ENOENT;
	return shape_key_parse(member->set, member->key, member->length, ret);
}

static int add_prefix(struct policy *policy, const struct prefix *prefix)
{
	struct prefix *grown;

	if (policy->n_allow == MAPPING_ALLOW_MAX)
		return -EBADMSG; /* not by us: it is left out, and fewer may connect */
	grown = reallocarray(policy->allow, policy->n_allow + 1, sizeof(*policy->allow));
	if (!grown)
		return -ENOMEM;
	policy->allow = grown;
	policy->allow[policy->n_allow++] = *prefix;
	policy_normalize(policy);
	return 0;
}

bool restrictions_guards(const struct members *members, const struct mapping_key *key)
{
	const struct member_key guarded = key_in(SHAPE_GUARDED4, key);
	const struct member *member = members_find(members, &guarded);

	return member && (member->flags & MEMBER_INSTALLED);
}

int restrictions_read(const struct member_key *member, const struct member_terms *terms,
		      struct policy *policy)
{
	struct mapping_key key;
	struct prefix prefix;
	int r;

	r = restrictions_owner(member, &key);
	if (r < 0)
		return r;
	switch (shape_set_statement(member->set)) {
	case SHAPE_RATE_OVER:
		policy->new_connections_per_minute = terms->limit;
		return 0;
	case SHAPE_CONNECTIONS_OVER:
		policy->max_connections = terms->limit;
		return 0;
	case SHAPE_COUNT:
		return -EBADMSG;
	case SHAPE_NO_STATEMENT:
		break;
	}
	if (member->set == SHAPE_GUARDED4 || member->set == SHAPE_GUARDED6)
		return 0; /* what guards it is in the other set */
	r = prefix_of_key(member, &key, &prefix);
	return r < 0 ? r : add_prefix(policy, &prefix);
}

uint64_t restrictions_refused(const struct members *members, const struct mapping_key *key)
{
	static const enum shape_set sets[] = { SHAPE_RATE4, SHAPE_CONNECTIONS4 };
	uint64_t packets = 0;

	for (size_t i = 0; i < ARRAY_SIZE(sets); i++) {
		struct member_key wanted = key_in(sets[i], key);
		const struct member *member = members_find(members, &wanted);

		packets += member ? member->packets : 0;
	}
	return packets;
}
