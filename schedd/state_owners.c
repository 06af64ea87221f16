/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What each customer has: sums over its environments, which are kept as these come and go. */
#include <errno.h>
#include <stdio.h>

#include "schedd/state_private.h"

static struct owner *find(const struct state *state, const char *customer)
{
	struct owner *owner;

	HASH_FIND_STR(state->owners, customer, owner);
	return owner;
}

struct tally state_tally(const struct state *state, const char *customer)
{
	const struct owner *owner = find(state, customer);

	return owner ? owner->tally : (struct tally){ 0 };
}

static struct owner *add(struct state *state, const char *customer)
{
	struct owner *owner = calloc(1, sizeof(*owner));

	if (!owner)
		return NULL;
	(void)snprintf(owner->customer, sizeof(owner->customer), "%s", customer);
	HASH_ADD_STR(state->owners, customer, owner);
	if (owner->hh.tbl)
		return owner;
	free(owner);
	return NULL;
}

int state_count_owner(struct state *state, struct environment_entry *environment)
{
	const struct environment_spec *spec = &environment_newest(environment)->origin->spec;
	struct tally tally = tally_of(spec);
	struct owner *owner;

	if (!spec->customer)
		return 0;
	owner = find(state, spec->customer);
	if (!owner)
		owner = add(state, spec->customer);
	if (!owner)
		return -ENOMEM;
	tally_add(&owner->tally, &tally);
	environment->counted = true;
	return 0;
}

void state_uncount_owner(struct state *state, struct environment_entry *environment)
{
	const struct environment_spec *spec = &environment_newest(environment)->origin->spec;
	struct tally tally = tally_of(spec);
	struct owner *owner = environment->counted ? find(state, spec->customer) : NULL;

	environment->counted = false;
	if (!owner)
		return;
	tally_remove(&owner->tally, &tally);
	if (owner->tally.used[QUOTA_ENVIRONMENTS] > 0)
		return;
	HASH_DEL(state->owners, owner);
	free(owner);
}
