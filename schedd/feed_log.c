/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The ring of changes. */
#include "schedd/feed_log.h"

#include <stdio.h>

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

static void note(struct feed_log *log, const struct batch *batch, const struct entry *entry)
{
	struct feed_log_change *change;

	if (log->n == FEED_LOG_MAX) { /* the oldest makes room */
		log->floor = log->changes[log->first].revision;
		log->first = (log->first + 1) % FEED_LOG_MAX;
		log->n--;
	}
	change = &log->changes[(log->first + log->n++) % FEED_LOG_MAX];
	*change = (struct feed_log_change){ .revision = batch->to_revision, .kind = entry->kind };
	(void)snprintf(change->id, sizeof(change->id), "%s", entry->id);
	if (entry->kind == RECORD_PORT) {
		change->key = ((const struct port *)entry->committed)->key;
	} else {
		const struct environment *row = (const struct environment *)entry->committed;

		(void)snprintf(change->owner, sizeof(change->owner), "%s",
			       row->origin->spec.customer ? row->origin->spec.customer : "");
	}
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

		if (entry->kind != RECORD_PORT && entry->kind != RECORD_ENVIRONMENT)
			continue;
		note(log, batch, entry);
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
