/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A changeset: what one caller wants changed, applied to the ledger's desired side with a journal
 * that can take it back. It knows nothing of the kernel.
 */
#include "gatewayd/changeset.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "gatewayd/restrictions.h"
#include "gatewayd/shape.h"
#include "lib/array.h"

struct journal_record {
	struct mapping_key key;
	bool desired;
	struct endpoint target;
	char *label;
	struct policy *policy; /* owned; NULL: none */
	uint64_t revision;
};

static void free_policy(struct policy *policy)
{
	if (policy)
		policy_clear(policy);
	free(policy);
}

/* A copy on its own, NULL for an empty one. */
static int new_policy(const struct policy *policy, struct policy **ret)
{
	struct policy *copy;

	*ret = NULL;
	if (policy_is_empty(policy))
		return 0;
	copy = calloc(1, sizeof(*copy));
	if (!copy || policy_copy(policy, copy) < 0) {
		free(copy);
		return -ENOMEM;
	}
	*ret = copy;
	return 0;
}

int changeset_new(struct changeset **ret, size_t n_changes)
{
	_cleanup_(cleanup_changeset) struct changeset *changeset = calloc(1, sizeof(*changeset));

	if (!changeset)
		return -ENOMEM;
	if (n_changes > 0) {
		changeset->changes = calloc(n_changes, sizeof(*changeset->changes));
		if (!changeset->changes)
			return -ENOMEM;
	}
	changeset->n_changes = changeset->allocated = n_changes;
	*ret = TAKE_PTR(changeset);
	return 0;
}

struct change *changeset_add(struct changeset *changeset)
{
	struct change *grown = array_grow(changeset->changes, sizeof(*grown), changeset->n_changes,
					  &changeset->allocated);
	struct change *added;

	if (!grown)
		return NULL;
	changeset->changes = grown;
	added = &changeset->changes[changeset->n_changes++];
	*added = (struct change){ 0 };
	return added;
}

void change_clear(struct change *change)
{
	free(change->label);
	free_policy(change->policy);
	*change = (struct change){ 0 };
}

void changeset_free(struct changeset *changeset)
{
	if (!changeset)
		return;
	for (size_t i = 0; i < changeset->n_changes; i++)
		change_clear(&changeset->changes[i]);
	free(changeset->changes);
	free(changeset->refusals);
	free(changeset);
}

static int set_policy(struct change *change, const struct mapping *mapping)
{
	struct policy policy;
	int r;

	r = policy_of_mapping(mapping, &policy);
	if (r < 0)
		return r;
	r = new_policy(&policy, &change->policy);
	policy_clear(&policy);
	return r;
}

int change_put(struct change *change, const struct mapping *mapping, const char *path,
	       struct error *err)
{
	char label[SHAPE_COMMENT_MAX];
	int r;

	r = shape_label_format(mapping->environment, mapping->service,
			       mapping->on_remove == ON_REMOVE_DRAIN, label);
	if (r < 0) {
		char field[ERROR_FIELD_MAX];

		(void)snprintf(field, sizeof(field), "%s%sservice", path, *path ? "." : "");
		return error_set(err, -EINVAL, "too_long", field,
				 "%s: environment and service together are longer than an "
				 "element's comment may be",
				 field);
	}
	if (label[0]) {
		change->label = strdup(label);
		if (!change->label)
			return error_set(err, -ENOMEM, "internal", NULL, "out of memory");
	}
	if (set_policy(change, mapping) < 0)
		return error_set(err, -ENOMEM, "internal", NULL, "out of memory");
	change->key = mapping->key;
	change->target = mapping->target;
	change->revision = mapping->revision;
	return 0;
}

void change_remove(struct change *change, const struct mapping_key *key)
{
	change->removal = true;
	change->key = *key;
}

/* ---- journal ---- */

void journal_clear(struct journal *journal)
{
	for (size_t i = 0; i < journal->n; i++) {
		free(journal->records[i].label);
		free_policy(journal->records[i].policy);
	}
	free(journal->records);
	memset(journal, 0, sizeof(*journal));
}

const struct mapping_key *journal_key(const struct journal *journal, size_t index)
{
	return &journal->records[index].key;
}

/* Notes the desired side of a key as it is now. */
static int note(struct journal *journal, const struct ledger *ledger, const struct mapping_key *key)
{
	struct journal_record *grown =
		array_grow(journal->records, sizeof(*grown), journal->n, &journal->allocated);
	const struct entry *entry = ledger_find(ledger, key);
	struct journal_record record = { .key = *key };

	if (!grown)
		return -ENOMEM;
	journal->records = grown;
	if (entry && (entry->flags & ENTRY_DESIRED)) {
		record.desired = true;
		record.target = entry->target;
		record.revision = entry->revision;
		if (entry->label) {
			record.label = strdup(entry->label);
			if (!record.label)
				return -ENOMEM;
		}
		if (new_policy(entry_policy(entry), &record.policy) < 0) {
			free(record.label);
			return -ENOMEM;
		}
	}
	journal->records[journal->n++] = record;
	return 0;
}

int journal_rollback(struct journal *journal, size_t first, struct ledger *ledger)
{
	int result = 0;

	while (journal->n > first) {
		struct journal_record *record = &journal->records[--journal->n];
		struct entry *entry;
		int r = 0;

		if (record->desired) {
			r = ledger_desire(ledger, &record->key, &record->target, record->label,
					  record->policy, record->revision, NULL);
		} else {
			entry = ledger_find(ledger, &record->key);
			if (entry)
				ledger_undesire(ledger, entry);
		}
		free(record->label);
		free_policy(record->policy);
		if (result == 0)
			result = r;
	}
	return result;
}

/* ---- applying ---- */

static int add_refusal(struct changeset *changeset, const struct mapping_key *key,
		       const char *reason)
{
	struct refusal *refusals =
		reallocarray(changeset->refusals, changeset->n_refusals + 1, sizeof(*refusals));

	if (!refusals)
		return -ENOMEM;
	changeset->refusals = refusals;
	refusals[changeset->n_refusals].key = *key;
	(void)snprintf(refusals[changeset->n_refusals].reason, sizeof(refusals->reason), "%s",
		       reason);
	changeset->n_refusals++;
	return 0;
}

static bool map_is_full(const struct ledger *ledger, const struct mapping_key *key, size_t map_size)
{
	const struct entry *entry = ledger_find(ledger, key);
	bool v6 = key->address.family == AF_INET6;
	size_t n = v6 ? ledger->n_desired6 : ledger->n_desired - ledger->n_desired6;

	return n >= map_size && !(entry && (entry->flags & ENTRY_DESIRED));
}

static bool expiring_is_full(const struct ledger *ledger, const struct change *change)
{
	const struct entry *entry = ledger_find(ledger, &change->key);
	bool v6 = change->key.address.family == AF_INET6;
	size_t n = v6 ? ledger->n_expiring6 : ledger->n_expiring - ledger->n_expiring6;

	return change->policy->expires_at != 0 && n >= SHAPE_SHARD_FROM &&
	       !(entry && entry_desired_end(entry) != 0);
}

/* The field that there is no room for; NULL where all of the change fits. */
static const char *full_field(const struct ledger *ledger, const struct change *change)
{
	if (!change->policy)
		return NULL;
	if (expiring_is_full(ledger, change))
		return "expires_at";
	return restrictions_full(&ledger->members, &change->key, change->policy);
}

/* Refuses one put for want of room, or all of an atomic changeset. */
static int refuse_put(struct changeset *changeset, struct change *change, const char *reason)
{
	char name[MAPPING_STRING_MAX];

	change->refused = true;
	if (!changeset->atomic)
		return add_refusal(changeset, &change->key, reason);
	return error_set(&changeset->error, -ENOSPC, "map_full", NULL, "no room for %s: %s",
			 mapping_key_format(&change->key, name), reason);
}

static int apply_put(struct changeset *changeset, struct change *change, struct ledger *ledger,
		     size_t map_size, uint64_t revision, struct journal *journal)
{
	const char *field = full_field(ledger, change);
	char reason[120];
	int r;

	if (map_is_full(ledger, &change->key, map_size)) {
		(void)snprintf(reason, sizeof(reason),
			       "the map holds %zu mappings of a family; raise map-size", map_size);
		return refuse_put(changeset, change, reason);
	}
	if (field) {
		(void)snprintf(reason, sizeof(reason),
			       "%s: too many mappings have one; the kernel's sets of them are full",
			       field);
		return refuse_put(changeset, change, reason);
	}
	r = note(journal, ledger, &change->key);
	if (r < 0)
		return r;
	return ledger_desire(ledger, &change->key, &change->target, change->label, change->policy,
			     change->revision ? change->revision : revision, NULL);
}

static int apply_removal(struct changeset *changeset, struct entry *entry, struct ledger *ledger,
			 struct journal *journal)
{
	int r;

	if (!entry || !(entry->flags & ENTRY_DESIRED))
		return 0;
	r = note(journal, ledger, &entry->key);
	if (r < 0)
		return r;
	ledger_undesire(ledger, entry);
	changeset->n_removed++;
	return 0;
}

/* Removes what a replacement does not name. */
static int remove_others(struct changeset *changeset, struct ledger *ledger,
			 struct journal *journal)
{
	struct entry *entry;
	size_t index = 0;
	int result = 0;

	for (size_t i = 0; i < changeset->n_changes; i++) {
		entry = ledger_find(ledger, &changeset->changes[i].key);
		if (entry && !changeset->changes[i].refused)
			entry->flags |= ENTRY_MARKED;
	}
	while ((entry = ledger_next(ledger, &index))) {
		if (!(entry->flags & ENTRY_MARKED) && result == 0)
			result = apply_removal(changeset, entry, ledger, journal);
		entry->flags &= (uint8_t)~ENTRY_MARKED;
	}
	return result;
}

static int apply_changes(struct changeset *changeset, struct ledger *ledger, size_t map_size,
			 uint64_t revision, struct journal *journal)
{
	int r = 0;

	if (changeset->replace)
		r = remove_others(changeset, ledger, journal);
	for (size_t i = 0; r == 0 && i < changeset->n_changes; i++) {
		struct change *change = &changeset->changes[i];

		/* Where a port cannot lead to its new target, it must not go on to the old one,
		 * which may be somebody else's by now. */
		if (change->removal || change->refused)
			r = apply_removal(changeset, ledger_find(ledger, &change->key), ledger,
					  journal);
		else
			r = apply_put(changeset, change, ledger, map_size, revision, journal);
	}
	return r;
}

int changeset_apply(struct changeset *changeset, struct ledger *ledger, size_t map_size,
		    uint64_t revision, struct journal *journal)
{
	size_t first = journal->n;
	int r;

	changeset->n_removed = 0;
	r = apply_changes(changeset, ledger, map_size,
			  changeset->revision ? changeset->revision : revision, journal);
	if (r == 0)
		return 0;
	if (journal_rollback(journal, first, ledger) < 0)
		r = -ENOMEM;
	return error_set(&changeset->error, r, "internal", NULL, "out of memory");
}

bool changeset_has_udp(const struct changeset *changeset)
{
	for (size_t i = 0; i < changeset->n_changes; i++)
		if (changeset->changes[i].key.protocol == PROTOCOL_UDP)
			return true;
	return changeset->replace;
}

bool changeset_refuse(struct changeset *changeset, const struct mapping_key *key,
		      const char *reason)
{
	char name[MAPPING_STRING_MAX];

	for (size_t i = 0; i < changeset->n_changes; i++) {
		struct change *change = &changeset->changes[i];

		if (change->removal || change->refused ||
		    mapping_key_compare(&change->key, key) != 0)
			continue;
		change->refused = true;
		if (changeset->atomic || add_refusal(changeset, key, reason) < 0)
			error_set(&changeset->error, -EINVAL, "refused", NULL, "%s: %s",
				  mapping_key_format(key, name), reason);
		return true;
	}
	return false;
}
