/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Which rows were changed by the last commits, so that a watch can go on from a revision. It keeps
 * no rows: whoever goes on is told what they are now.
 */
#pragma once

#include "schedd/state.h"

#define FEED_LOG_MAX 32768 /* changes that are remembered */

struct feed_log_change {
	uint64_t revision;
	enum record_kind kind; /* all but keys */
	char id[RECORD_ID_MAX];
	char owner[CUSTOMER_NAME_MAX + 1]; /* "": none */
	struct mapping_key key;            /* of a port */
};

struct feed_log {
	struct feed_log_change *changes; /* a ring */
	size_t first, n;
	uint64_t floor; /* all that changed after this revision is there */
	bool begun;
};

/* Notes a batch that was committed; without memory everything before it is forgotten. */
void feed_log_commit(struct feed_log *log, const struct batch *batch);
/* Forgets all: another state was loaded. */
void feed_log_reset(struct feed_log *log);
void feed_log_clear(struct feed_log *log);

/* Does this change of an environment show in what its host says of itself? */
bool feed_log_changes_host(const struct change *change);

/* Can a reader go on from this revision? revision_now is the newest. */
bool feed_log_knows(const struct feed_log *log, uint64_t revision, uint64_t revision_now);
/* The newest change, or the one before *position; NULL where there is none after revision. Begin
 * with *position 0. */
const struct feed_log_change *feed_log_next(const struct feed_log *log, uint64_t revision,
					    size_t *position);
