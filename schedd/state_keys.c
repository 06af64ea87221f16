/* SPDX-License-Identifier: GPL-2.0-or-later */
/* How many idempotency keys each caller has, which is kept as these come and go. */
#include <errno.h>
#include <stdio.h>

#include "schedd/state_private.h"

static struct key_holder *find(const struct state *state, const char *caller)
{
	struct key_holder *holder;

	HASH_FIND_STR(state->key_holders, caller, holder);
	return holder;
}

unsigned state_count_keys(const struct state *state, const char *caller,
			  const struct key_entry **ret_oldest)
{
	const struct key_holder *holder = find(state, caller);

	*ret_oldest = holder ? holder->keys : NULL;
	return holder ? holder->n : 0;
}

static struct key_holder *add(struct state *state, const char *caller)
{
	struct key_holder *holder = calloc(1, sizeof(*holder));

	if (!holder)
		return NULL;
	(void)snprintf(holder->caller, sizeof(holder->caller), "%s", caller);
	HASH_ADD_STR(state->key_holders, caller, holder);
	if (holder->hh.tbl)
		return holder;
	free(holder);
	return NULL;
}

int state_hold_key(struct state *state, struct key_entry *key)
{
	const char *caller = key_newest(key)->caller;
	struct key_holder *holder;

	if (!caller[0])
		return 0;
	holder = find(state, caller);
	if (!holder)
		holder = add(state, caller);
	if (!holder)
		return -ENOMEM;
	holder->n++;
	DL_APPEND(holder->keys, key);
	key->holder = holder;
	return 0;
}

void state_release_key(struct state *state, struct key_entry *key)
{
	struct key_holder *holder = key->holder;

	key->holder = NULL;
	if (!holder)
		return;
	holder->n--;
	DL_DELETE(holder->keys, key);
	if (holder->n > 0)
		return;
	HASH_DEL(state->key_holders, holder);
	free(holder);
}
