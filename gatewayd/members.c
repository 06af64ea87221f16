/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Members: the elements of all sets of the table that are no maps of mappings. For each, what
 * should be (desired) and what the kernel has (installed), side by side. It holds memory only.
 */
#include "gatewayd/members.h"

#include <errno.h>
#include <string.h>

#include "gatewayd/policy.h"

/* Both sides of a member may share a comment. */
static void set_comment(struct member_terms *side, const struct member_terms *other,
			const char *comment)
{
	if (side->comment != other->comment)
		free((char *)(uintptr_t)side->comment);
	side->comment = comment;
}

static void member_free(struct member *member)
{
	set_comment(&member->desired, &member->installed, NULL);
	set_comment(&member->installed, &member->desired, NULL);
	free(member);
}

static bool same_comment(const char *a, const char *b)
{
	return a && b ? strcmp(a, b) == 0 : a == b;
}

/* Puts the terms in the place of a side, with a copy of their comment. */
static int set_terms(struct member_terms *side, const struct member_terms *other,
		     const struct member_terms *terms)
{
	const char *comment = side->comment;

	if (!same_comment(comment, terms->comment)) {
		comment = terms->comment ? strdup(terms->comment) : NULL;
		if (terms->comment && !comment)
			return -ENOMEM;
		set_comment(side, other, comment);
	}
	*side = *terms;
	side->comment = comment;
	return 0;
}

void members_clear(struct members *members)
{
	struct member *member, *next;

	HASH_ITER (hh, members->all, member, next) {
		HASH_DELETE(hh, members->all, member);
		member_free(member);
	}
	*members = MEMBERS_INIT;
}

struct member *members_find(const struct members *members, const struct member_key *key)
{
	struct member *member;

	HASH_FIND(hh, members->all, key, sizeof(*key), member);
	return member;
}

static int find_or_make(struct members *members, const struct member_key *key, struct member **ret)
{
	struct member *member = members_find(members, key);

	if (!member) {
		member = calloc(1, sizeof(*member));
		if (!member)
			return -ENOMEM;
		member->key = *key;
		HASH_ADD(hh, members->all, key, sizeof(member->key), member);
		if (!member->hh.tbl) {
			free(member);
			return -ENOMEM;
		}
	}
	*ret = member;
	return 0;
}

static void drop(struct members *members, struct member *member)
{
	HASH_DELETE(hh, members->all, member);
	member_free(member);
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
	       address_equal(&member->desired.value, &member->installed.value) &&
	       same_comment(member->desired.comment, member->installed.comment) &&
	       policy_same_end(member->desired.expires_at, member->installed.expires_at);
}

int members_desire(struct members *members, const struct member_key *key,
		   const struct member_terms *terms, struct member **ret)
{
	struct member *member;
	int r;

	r = find_or_make(members, key, &member);
	if (r == 0)
		r = set_terms(&member->desired, &member->installed, terms);
	if (r < 0)
		return r;
	if (!(member->flags & MEMBER_DESIRED))
		members->n_desired[key->set]++;
	member->flags |= MEMBER_DESIRED;
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
	if (r == 0)
		r = set_terms(&member->installed, &member->desired, terms);
	if (r < 0)
		return r;
	member->flags |= MEMBER_INSTALLED;
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
	set_comment(&member->installed, &member->desired, NULL);
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
