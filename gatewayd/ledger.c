/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The ledger: for each mapping what should be (desired) and what the kernel has (installed), side
 * by side in one entry, so that the difference is known without a search. It holds memory only; it
 * neither plans nor applies.
 */
#include "gatewayd/ledger.h"

#include <errno.h>
#include <string.h>

#include "gatewayd/restrictions.h"

#define SLOTS_FIRST 64

static uint64_t mix(uint64_t hash)
{
	hash ^= hash >> 32;
	hash *= UINT64_C(0xd6e8feb86659fd93);
	hash ^= hash >> 32;
	return hash;
}

uint64_t ledger_hash(const struct mapping_key *key)
{
	uint64_t parts[2];

	memcpy(parts, key->address.bytes, sizeof(parts));
	return mix(
		mix(parts[0]) ^ parts[1] ^
		((uint64_t)key->port << 16 | (uint64_t)key->protocol << 8 | key->address.family));
}

/* The slot of this key, or the empty one where it would be. */
static size_t slot_of(const struct ledger *ledger, const struct mapping_key *key)
{
	size_t mask = ledger->n_slots - 1;
	size_t slot = ledger_hash(key) & mask;

	while (ledger->slots[slot] && !mapping_key_equal(&ledger->slots[slot]->key, key))
		slot = (slot + 1) & mask;
	return slot;
}

static int grow(struct ledger *ledger)
{
	struct ledger grown = *ledger;

	grown.n_slots = ledger->n_slots ? ledger->n_slots * 2 : SLOTS_FIRST;
	grown.slots = calloc(grown.n_slots, sizeof(*grown.slots));
	if (!grown.slots)
		return -ENOMEM;
	for (size_t i = 0; i < ledger->n_slots; i++)
		if (ledger->slots[i])
			grown.slots[slot_of(&grown, &ledger->slots[i]->key)] = ledger->slots[i];
	free(ledger->slots);
	*ledger = grown;
	return 0;
}

static void entry_free(struct entry *entry)
{
	free(entry->label);
	if (entry->extra)
		policy_clear(&entry->extra->policy);
	free(entry->extra);
	free(entry);
}

void ledger_clear(struct ledger *ledger)
{
	for (size_t i = 0; i < ledger->n_slots; i++)
		if (ledger->slots[i])
			entry_free(ledger->slots[i]);
	free(ledger->slots);
	members_clear(&ledger->members);
	*ledger = LEDGER_INIT;
}

struct entry *ledger_find(const struct ledger *ledger, const struct mapping_key *key)
{
	return ledger->n_slots ? ledger->slots[slot_of(ledger, key)] : NULL;
}

static int find_or_make(struct ledger *ledger, const struct mapping_key *key, struct entry **ret)
{
	struct entry *entry = ledger_find(ledger, key);
	int r;

	if (!entry) {
		/* Three quarters full at most: probing stays short and a slot costs little. */
		if (4 * (ledger->n_entries + 1) > 3 * ledger->n_slots) {
			r = grow(ledger);
			if (r < 0)
				return r;
		}
		entry = calloc(1, sizeof(*entry));
		if (!entry)
			return -ENOMEM;
		entry->key = *key;
		ledger->slots[slot_of(ledger, key)] = entry;
		ledger->n_entries++;
	}
	*ret = entry;
	return 0;
}

/* Takes the entry out of the table, closing the gap that probing would stumble over. */
static void drop(struct ledger *ledger, struct entry *entry)
{
	size_t mask = ledger->n_slots - 1;
	size_t hole = slot_of(ledger, &entry->key);

	for (size_t next = (hole + 1) & mask; ledger->slots[next]; next = (next + 1) & mask) {
		size_t home = ledger_hash(&ledger->slots[next]->key) & mask;

		/* It may move into the hole unless its home lies behind the hole. */
		if (((next - home) & mask) >= ((next - hole) & mask)) {
			ledger->slots[hole] = ledger->slots[next];
			hole = next;
		}
	}
	ledger->slots[hole] = NULL;
	ledger->n_entries--;
	entry_free(entry);
}

void ledger_touch(struct ledger *ledger, struct entry *entry)
{
	if (entry->flags & ENTRY_DIRTY)
		return;
	entry->flags |= ENTRY_DIRTY;
	entry->next_dirty = ledger->dirty;
	ledger->dirty = entry;
	ledger->n_dirty++;
}

static bool label_equal(const char *a, const char *b)
{
	return strcmp(a ? a : "", b ? b : "") == 0;
}

static int set_label(struct entry *entry, const char *label)
{
	char *copy = NULL;

	if (label_equal(entry->label, label))
		return 0;
	if (label && *label) {
		copy = strdup(label);
		if (!copy)
			return -ENOMEM;
	}
	free(entry->label);
	entry->label = copy;
	return 0;
}

static const struct policy no_policy;

const struct policy *entry_policy(const struct entry *entry)
{
	return entry->extra ? &entry->extra->policy : &no_policy;
}

int64_t entry_desired_end(const struct entry *entry)
{
	return entry->extra ? entry->extra->policy.expires_at : 0;
}

int64_t entry_installed_end(const struct entry *entry)
{
	return entry->extra ? entry->extra->installed_expires_at : 0;
}

/* Frees what holds nothing any more. */
static void trim_extra(struct entry *entry)
{
	struct entry_extra *extra = entry->extra;

	if (!extra || extra->installed_expires_at != 0 || !policy_is_empty(&extra->policy))
		return;
	free(extra);
	entry->extra = NULL;
}

static int make_extra(struct entry *entry)
{
	if (entry->extra)
		return 0;
	entry->extra = calloc(1, sizeof(*entry->extra));
	if (!entry->extra)
		return -ENOMEM;
	entry->extra->entry = entry;
	return 0;
}

/* policy may be NULL. */
static int set_policy(struct entry *entry, const struct policy *policy)
{
	struct policy copy = { 0 };
	int r = 0;

	if (policy_equal(entry_policy(entry), policy ? policy : &no_policy))
		return 0;
	if (policy)
		r = policy_copy(policy, &copy);
	if (r == 0)
		r = make_extra(entry);
	if (r < 0) {
		policy_clear(&copy);
		return r;
	}
	policy_clear(&entry->extra->policy);
	entry->extra->policy = copy;
	trim_extra(entry);
	return 0;
}

static int set_installed_end(struct entry *entry, int64_t expires_at)
{
	if (entry_installed_end(entry) == expires_at)
		return 0;
	if (make_extra(entry) < 0)
		return -ENOMEM;
	entry->extra->installed_expires_at = expires_at;
	trim_extra(entry);
	return 0;
}

/* delta is 1 when the entry has become desired, and -1 before it no longer is. */
static void count_desired(struct ledger *ledger, const struct entry *entry, int delta)
{
	bool six = entry->key.address.family == AF_INET6;

	if (!(entry->flags & ENTRY_DESIRED))
		return;
	ledger->n_desired += (size_t)delta;
	if (six)
		ledger->n_desired6 += (size_t)delta;
	if (entry_desired_end(entry) == 0)
		return;
	if (delta > 0)
		min_heap_add(&ledger->expiring, &entry->extra->by_end, entry_desired_end(entry));
	else
		min_heap_remove(&ledger->expiring, &entry->extra->by_end);
	ledger->n_expiring += (size_t)delta;
	if (six)
		ledger->n_expiring6 += (size_t)delta;
}

bool entry_settled(const struct entry *entry)
{
	bool desired = entry->flags & ENTRY_DESIRED, installed = entry->flags & ENTRY_INSTALLED;

	if (!desired || !installed)
		return desired == installed;
	return !(entry->flags & ENTRY_LABEL_DIFFERS) &&
	       endpoint_compare(&entry->target, &entry->installed) == 0 &&
	       policy_same_end(entry_desired_end(entry), entry_installed_end(entry));
}

/* The entry's policy and the members that enforce it. */
static int change_policy(struct ledger *ledger, struct entry *entry, const struct policy *policy)
{
	int r;

	if (policy_equal(entry_policy(entry), policy ? policy : &no_policy))
		return 0;
	r = restrictions_change(&ledger->members, &entry->key, entry_policy(entry), policy);
	if (r < 0)
		return r;
	r = set_policy(entry, policy);
	if (r < 0) /* to go back needs no memory */
		(void)!restrictions_change(&ledger->members, &entry->key, policy,
					   entry_policy(entry));
	return r;
}

static int set_desired(struct ledger *ledger, struct entry *entry, const char *label,
		       const struct policy *policy)
{
	bool relabelled = !label_equal(entry->label, label);
	int r;

	r = change_policy(ledger, entry, policy);
	if (r < 0)
		return r;
	r = set_label(entry, label);
	if (r < 0)
		return r;
	/* Once different it counts as different until the kernel has been written or read again. */
	if (relabelled && (entry->flags & ENTRY_INSTALLED))
		entry->flags |= ENTRY_LABEL_DIFFERS;
	return 0;
}

int ledger_desire(struct ledger *ledger, const struct mapping_key *key,
		  const struct endpoint *target, const char *label, const struct policy *policy,
		  uint64_t revision, struct entry **ret)
{
	struct entry *entry;
	int r;

	r = find_or_make(ledger, key, &entry);
	if (r < 0)
		return r;
	count_desired(ledger, entry, -1);
	r = set_desired(ledger, entry, label, policy);
	if (r == 0)
		entry->flags |= ENTRY_DESIRED;
	count_desired(ledger, entry, 1);
	if (r < 0) {
		ledger_touch(ledger, entry); /* a new one without sides goes with the next settle */
		return r;
	}
	entry->target = *target;
	entry->revision = revision;
	if (!entry_settled(entry))
		ledger_touch(ledger, entry);
	if (ret)
		*ret = entry;
	return 0;
}

void ledger_undesire(struct ledger *ledger, struct entry *entry)
{
	if (!(entry->flags & ENTRY_DESIRED))
		return;
	count_desired(ledger, entry, -1);
	entry->flags &= (uint8_t)~ENTRY_DESIRED;
	(void)!change_policy(ledger, entry, NULL); /* to have none needs no memory */
	ledger_touch(ledger, entry);
}

int ledger_install(struct ledger *ledger, const struct mapping_key *key,
		   const struct endpoint *target, const char *comment, int64_t expires_at,
		   struct entry **ret)
{
	struct entry *entry;
	int r;

	r = find_or_make(ledger, key, &entry);
	if (r < 0)
		return r;
	r = set_installed_end(entry, expires_at);
	if (r == 0 && !(entry->flags & ENTRY_DESIRED))
		r = set_label(entry, comment);
	if (r < 0) {
		ledger_touch(ledger, entry);
		return r;
	}
	if (!(entry->flags & ENTRY_INSTALLED))
		ledger->n_installed++;
	entry->flags |= ENTRY_INSTALLED;
	entry->installed = *target;
	if (label_equal(entry->label, comment))
		entry->flags &= (uint8_t)~ENTRY_LABEL_DIFFERS;
	else
		entry->flags |= ENTRY_LABEL_DIFFERS;
	if (!entry_settled(entry))
		ledger_touch(ledger, entry);
	if (ret)
		*ret = entry;
	return 0;
}

void ledger_uninstall(struct ledger *ledger, struct entry *entry)
{
	if (!(entry->flags & ENTRY_INSTALLED))
		return;
	ledger->n_installed--;
	(void)!set_installed_end(entry, 0); /* needs no memory */
	entry->flags &= (uint8_t) ~(ENTRY_INSTALLED | ENTRY_LABEL_DIFFERS);
	ledger_touch(ledger, entry);
}

void ledger_confirm(struct ledger *ledger, struct entry *entry)
{
	if (!(entry->flags & ENTRY_DESIRED)) {
		ledger_uninstall(ledger, entry);
		return;
	}
	if (!(entry->flags & ENTRY_INSTALLED))
		ledger->n_installed++;
	entry->flags |= ENTRY_INSTALLED;
	entry->flags &= (uint8_t)~ENTRY_LABEL_DIFFERS;
	entry->installed = entry->target;
	/* What is desired to end has its extra part already. */
	(void)!set_installed_end(entry, entry_desired_end(entry));
}

struct entry *ledger_due(const struct ledger *ledger, int64_t now)
{
	struct min_heap_node *first = ledger->expiring.first;

	return first && first->order <= now ? CONTAINER_OF(first, struct entry_extra, by_end)->entry
					    : NULL;
}

int64_t ledger_next_end(const struct ledger *ledger)
{
	return ledger->expiring.first ? ledger->expiring.first->order : 0;
}

/* What a family needs for so many mappings, of which some end by themselves. */
static shape_sets family_sets(const struct shape *shape, int family, size_t n, size_t n_expiring)
{
	shape_sets sets = n > n_expiring ? shape_sets_of_mappings(shape, family) : 0;

	if (n_expiring > 0)
		sets |= SHAPE_BIT(shape_set_of_family(SHAPE_EXPIRING4, family));
	return sets;
}

shape_sets ledger_sets(const struct ledger *ledger, const struct shape *shape)
{
	return shape_sets_always(shape) | members_sets(&ledger->members) |
	       family_sets(shape, AF_INET, ledger->n_desired - ledger->n_desired6,
			   ledger->n_expiring - ledger->n_expiring6) |
	       family_sets(shape, AF_INET6, ledger->n_desired6, ledger->n_expiring6);
}

void ledger_settle(struct ledger *ledger)
{
	struct entry *entry = ledger->dirty;

	ledger->dirty = NULL;
	ledger->n_dirty = 0;
	while (entry) {
		struct entry *next = entry->next_dirty;

		entry->flags &= (uint8_t)~ENTRY_DIRTY;
		entry->next_dirty = NULL;
		if (!(entry->flags & (ENTRY_DESIRED | ENTRY_INSTALLED)))
			drop(ledger, entry);
		else if (!entry_settled(entry))
			ledger_touch(ledger, entry);
		entry = next;
	}
	members_settle(&ledger->members);
}

struct entry *ledger_next(const struct ledger *ledger, size_t *index)
{
	while (*index < ledger->n_slots) {
		struct entry *entry = ledger->slots[(*index)++];

		if (entry)
			return entry;
	}
	return NULL;
}
