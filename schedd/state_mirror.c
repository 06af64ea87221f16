/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A standby's copy: rows that the leader has committed become versions of ours, through the same
 * batches as the leader's own, so that indices, sums and streams follow them. */
#include <errno.h>
#include <string.h>

#include "schedd/state_private.h"

/* Watchers are told once for each batch: of this one, too, where it ends at a revision that they
 * know. */
static void forget_told(struct environment_entry *environment)
{
	if (environment)
		environment->told_revision = 0;
}

static int mirror_environment(struct state *state, struct environment_entry *entry,
			      struct environment *environment)
{
	struct host_entry *host =
		environment->host[0] ? state_host(state, environment->host) : NULL;

	forget_told(entry);
	/* The index of names points into the origin, which never changes. */
	environment_share_origin(environment, environment_newest(entry));
	state_unlink_host(state, entry, environment_newest(entry)->gpus);
	record_free(entry->entry.draft);
	entry->entry.draft = &environment->record;
	if (!environment->host[0])
		return 0;
	return host ? state_link_host(state, entry, host, environment->gpus) : -ENOENT;
}

int state_mirror(struct state *state, struct record *record)
{
	_cleanup_(cleanup_record) struct record *owned = record;
	char buffer[RECORD_ID_MAX];
	struct entry *entry = state_find(state, record->kind, record_id(record, buffer));

	if (!entry)
		return state_add(state, TAKE_PTR(owned), NULL);
	if (!state_edit(state, entry))
		return -ENOMEM;
	if (record->kind == RECORD_ENVIRONMENT)
		return mirror_environment(state, (struct environment_entry *)entry,
					  (struct environment *)TAKE_PTR(owned));
	if (record->kind == RECORD_PORT)
		forget_told(((struct port_entry *)entry)->environment);
	record_free(entry->draft);
	entry->draft = TAKE_PTR(owned);
	return 0;
}

int state_mirror_gone(struct state *state, enum record_kind kind, const char *id)
{
	struct entry *entry = state_find(state, kind, id);
	struct record *draft;

	if (!entry)
		return 0;
	if (kind == RECORD_ENVIRONMENT) {
		forget_told((struct environment_entry *)entry);
		if (state_release(state, (struct environment_entry *)entry) < 0)
			return -ENOMEM;
	}
	draft = state_edit(state, entry);
	if (!draft)
		return -ENOMEM;
	draft->gone = true;
	return 0;
}
