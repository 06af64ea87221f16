/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The ring of changes. */
#include "schedd/feed_log.h"

#include <stdio.h>
#include <string.h>

void feed_log_reset(struct feed_log *log)
{
	log->first = log->n = 0;
	log->begun = false;
}

void feed_log_clear(struct feed_log *log)
{
	free(log->changes);
	*log = (struct feed_log){ 0 };
}

static struct feed_log_change *note_id(struct feed_log *log, const struct batch *batch,
				       enum record_kind kind, const char *id)
{
	struct feed_log_change *change;

	if (log->n == FEED_LOG_MAX) { /* the oldest makes room */
		log->floor = log->changes[log->first].revision;
		log->first = (log->first + 1) % FEED_LOG_MAX;
		log->n--;
	}
	change = &log->changes[(log->first + log->n++) % FEED_LOG_MAX];
	*change = (struct feed_log_change){ .revision = batch->to_revision, .kind = kind };
	(void)snprintf(change->id, sizeof(change->id), "%s", id);
	return change;
}

static void note(struct feed_log *log, const struct batch *batch, const struct entry *entry)
{
	struct feed_log_change *change = note_id(log, batch, entry->kind, entry->id);
	const char *owner = entry_owner(entry);

	(void)snprintf(change->owner, sizeof(change->owner), "%s", owner ? owner : "");
	if (entry->kind == RECORD_PORT)
		change->key = ((const struct port *)entry->committed)->key;
}

/* What it has is part of its quota. */
static void note_owner(struct feed_log *log, const struct batch *batch, const char *customer)
{
	struct feed_log_change *change = note_id(log, batch, RECORD_CUSTOMER, customer);

	(void)snprintf(change->owner, sizeof(change->owner), "%s", customer);
}

/* What else looks different: a host's free resources follow its environments, and the ports of an
 * environment that is gone are nobody's. */
static void note_around(struct feed_log *log, const struct batch *batch,
			const struct change *change)
{
	const struct environment_entry *entry = (const struct environment_entry *)change->entry;
	const struct environment *new = environment_committed(entry);
	const struct environment *old = (const struct environment *)change->old;

	if (feed_log_changes_host(change)) {
		if (old && old->host[0])
			note_id(log, batch, RECORD_HOST, old->host);
		if (new->host[0])
			note_id(log, batch, RECORD_HOST, new->host);
	}
	if (old && !new->record.gone)
		return;
	if (new->origin->spec.customer)
		note_owner(log, batch, new->origin->spec.customer);
	for (size_t i = 0; old && i < entry->n_ports; i++)
		if (entry->ports[i]->entry.committed)
			note(log, batch, &entry->ports[i]->entry);
}

bool feed_log_changes_host(const struct change *change)
{
	const struct environment *new = (const struct environment *)change->entry->committed;
	const struct environment *old = (const struct environment *)change->old;

	return !old || strcmp(old->host, new->host) != 0 || old->gpus != new->gpus ||
	       old->action != new->action;
}

void feed_log_commit(struct feed_log *log, const struct batch *batch)
{
	if (!log->changes)
		log->changes = calloc(FEED_LOG_MAX, sizeof(*log->changes));
	if (!log->changes)
		return;
	if (!log->begun)
		log->floor = batch->from_revision;
	log->begun = true;
	for (size_t i = 0; i < batch->n; i++) {
		const struct entry *entry = batch->changes[i].entry;
		const struct environment_entry *owner;

		if (entry->kind == RECORD_KEY || entry->committed->quiet)
			continue;
		note(log, batch, entry);
		if (entry->kind == RECORD_ENVIRONMENT)
			note_around(log, batch, &batch->changes[i]);
		/* a port's state is part of its environment's answer */
		owner = entry->kind == RECORD_PORT ? ((const struct port_entry *)entry)->environment
						   : NULL;
		if (owner && owner->entry.committed)
			note(log, batch, &owner->entry);
	}
}

bool feed_log_knows(const struct feed_log *log, uint64_t revision, uint64_t revision_now)
{
	return revision <= revision_now && revision >= (log->begun ? log->floor : revision_now);
}

const struct feed_log_change *feed_log_next(const struct feed_log *log, uint64_t revision,
					    size_t *position)
{
	const struct feed_log_change *change;

	if (*position == log->n)
		return NULL;
	change = &log->changes[(log->first + log->n - 1 - *position) % FEED_LOG_MAX];
	if (change->revision <= revision)
		return NULL;
	(*position)++;
	return change;
}
