/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Members: the elements of all sets of the table that are no maps of mappings. For each, what
 * should be (desired) and what the kernel has (installed), side by side. It holds memory only.
 */
#include "gatewayd/members.h"

#include <errno.h>
#include <string.h>

#include "gatewayd/policy.h"

#define BUCKETS_FIRST 64

void members_clear(struct members *members)
{
	for (size_t i = 0; i < members->n_buckets; i++) {
		struct member *member = members->buckets[i];

		while (member) {
			struct member *next = member->next_in_bucket;

			free(member);
			member = next;
		}
	}
	free(members->buckets);
	*members = MEMBERS_INIT;
}

/* FNV-1a over set and key. */
static size_t hash_of(const struct member_key *key)
{
	uint64_t hash = UINT64_C(0xcbf29ce484222325) ^ key->set;

	for (size_t i = 0; i < key->length; i++)
		hash = (hash ^ key->key[i]) * UINT64_C(0x100000001b3);
	return hash ^ hash >> 32;
}

static bool key_equal(const struct member_key *a, const struct member_key *b)
{
	return a->set == b->set && a->length == b->length && a->end_length == b->end_length &&
	       memcmp(a->key, b->key, a->length) == 0 && memcmp(a->end, b->end, a->end_length) == 0;
}

/* The link of the bucket that this key belongs to. */
static struct member **bucket_of(const struct members *members, const struct member_key *key)
{
	return &members->buckets[hash_of(key) & (members->n_buckets - 1)];
}

static int grow(struct members *members)
{
	struct members grown = *members;

	grown.n_buckets = members->n_buckets ? members->n_buckets * 2 : BUCKETS_FIRST;
	grown.buckets = calloc(grown.n_buckets, sizeof(*grown.buckets));
	if (!grown.buckets)
		return -ENOMEM;
	for (size_t i = 0; i < members->n_buckets; i++) {
		struct member *member = members->buckets[i];

		while (member) {
			struct member *next = member->next_in_bucket;
			struct member **bucket = bucket_of(&grown, &member->key);

			member->next_in_bucket = *bucket;
			*bucket = member;
			member = next;
		}
	}
	free(members->buckets);
	*members = grown;
	return 0;
}

struct member *members_find(const struct members *members, const struct member_key *key)
{
	struct member *member = members->n_buckets ? *bucket_of(members, key) : NULL;

	while (member && !key_equal(&member->key, key))
		member = member->next_in_bucket;
	return member;
}

static int find_or_make(struct members *members, const struct member_key *key, struct member **ret)
{
	struct member *member = members_find(members, key);
	struct member **bucket;
	int r;

	if (!member) {
		if (members->n_members >= members->n_buckets) {
			r = grow(members);
			if (r < 0)
				return r;
		}
		member = calloc(1, sizeof(*member));
		if (!member)
			return -ENOMEM;
		member->key = *key;
		bucket = bucket_of(members, key);
		member->next_in_bucket = *bucket;
		*bucket = member;
		members->n_members++;
	}
	*ret = member;
	return 0;
}

static void drop(struct members *members, struct member *member)
{
	struct member **link = bucket_of(members, &member->key);

	while (*link != member)
		link = &(*link)->next_in_bucket;
	*link = member->next_in_bucket;
	members->n_members--;
	free(member);
}

static void touch(struct members *members, struct member *member)
{
	if (member->flags & MEMBER_DIRTY)
		return;
	member->flags |= MEMBER_DIRTY;
	member->next_dirty = members->dirty;
	members->dirty = member;
	members->n_dirty++;
}

bool member_settled(const struct member *member)
{
	bool desired = member->flags & MEMBER_DESIRED;
	bool installed = member->flags & MEMBER_INSTALLED;

	if (!desired || !installed)
		return desired == installed;
	return member->desired.limit == member->installed.limit &&
	       policy_same_end(member->desired.expires_at, member->installed.expires_at);
}

int members_desire(struct members *members, const struct member_key *key,
		   const struct member_terms *terms, struct member **ret)
{
	struct member *member;
	int r;

	r = find_or_make(members, key, &member);
	if (r < 0)
		return r;
	if (!(member->flags & MEMBER_DESIRED))
		members->n_desired[key->set]++;
	member->flags |= MEMBER_DESIRED;
	member->desired = *terms;
	if (!member_settled(member))
		touch(members, member);
	if (ret)
		*ret = member;
	return 0;
}

void members_undesire(struct members *members, struct member *member)
{
	if (!(member->flags & MEMBER_DESIRED))
		return;
	members->n_desired[member->key.set]--;
	member->flags &= (uint8_t)~MEMBER_DESIRED;
	touch(members, member);
}

int members_install(struct members *members, const struct member_key *key,
		    const struct member_terms *terms, struct member **ret)
{
	struct member *member;
	int r;

	r = find_or_make(members, key, &member);
	if (r < 0)
		return r;
	member->flags |= MEMBER_INSTALLED;
	member->installed = *terms;
	if (!member_settled(member))
		touch(members, member);
	if (ret)
		*ret = member;
	return 0;
}

void members_uninstall(struct members *members, struct member *member)
{
	if (!(member->flags & MEMBER_INSTALLED))
		return;
	member->flags &= (uint8_t)~MEMBER_INSTALLED;
	member->packets = 0;
	touch(members, member);
}

void members_confirm(struct members *members, struct member *member)
{
	if (!(member->flags & MEMBER_DESIRED)) {
		members_uninstall(members, member);
		return;
	}
	member->flags |= MEMBER_INSTALLED;
	member->installed = member->desired;
}

void members_settle(struct members *members)
{
	struct member *member = members->dirty;

	members->dirty = NULL;
	members->n_dirty = 0;
	while (member) {
		struct member *next = member->next_dirty;

		member->flags &= (uint8_t)~MEMBER_DIRTY;
		member->next_dirty = NULL;
		if (!(member->flags & (MEMBER_DESIRED | MEMBER_INSTALLED)))
			drop(members, member);
		else if (!member_settled(member))
			touch(members, member);
		member = next;
	}
}

shape_sets members_sets(const struct members *members)
{
	shape_sets sets = 0;

	for (int set = 0; set < SHAPE_SET_MAX; set++)
		if (members->n_desired[set] > 0)
			sets |= SHAPE_BIT(set);
	return sets;
}

struct member *members_next(const struct members *members, size_t *bucket, struct member *member)
{
	if (member && member->next_in_bucket)
		return member->next_in_bucket;
	if (member)
		(*bucket)++;
	while (*bucket < members->n_buckets && !members->buckets[*bucket])
		(*bucket)++;
	return *bucket < members->n_buckets ? members->buckets[*bucket] : NULL;
}
