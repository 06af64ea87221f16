/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Draining hosts are emptied one after another, in the order in which they began, a few
 * environments at a time. It only writes down that an environment is to move, and only while
 * another host has room for it; what cannot move stays, and says so. */
#include <stdlib.h>
#include <string.h>

#include "schedd/scheduler_private.h"

#define MOVES_MAX 4 /* at the same time */

static bool is_draining(const struct host_entry *host)
{
	return host_newest(host)->mode == HOST_DRAINING && host_newest(host)->online;
}

/* What waits for a host that is not heard of keeps nobody else from moving; nor does what is
 * deleted on the way. */
static bool is_moving(const struct environment_entry *entry)
{
	const struct environment *environment = environment_newest(entry);

	return environment->action == ACTION_MOVE && environment->phase != PHASE_DELETING &&
	       entry->host && host_newest(entry->host)->online;
}

static bool can_move(const struct environment_entry *entry)
{
	const struct environment *environment = environment_newest(entry);

	return environment->phase != PHASE_DELETING && environment->action == ACTION_NONE &&
	       environment_spec_is_movable(&environment->origin->spec);
}

static unsigned count_moving(const struct scheduler *scheduler)
{
	struct environment_entry *entry;
	unsigned n = 0;

	STATE_FOREACH(&scheduler->state, RECORD_ENVIRONMENT, entry)
	n += is_moving(entry);
	return n;
}

static bool comes_before(const struct host_entry *a, const struct host_entry *b)
{
	if (host_newest(a)->mode_since != host_newest(b)->mode_since)
		return host_newest(a)->mode_since < host_newest(b)->mode_since;
	return strcmp(a->entry.id, b->entry.id) < 0;
}

/* The draining host that comes next after this one (NULL: the first of all). */
static struct host_entry *next_host(const struct scheduler *scheduler,
				    const struct host_entry *after)
{
	struct host_entry *host, *next = NULL;

	STATE_FOREACH(&scheduler->state, RECORD_HOST, host)
	if (is_draining(host) && (!after || comes_before(after, host)) &&
	    (!next || comes_before(host, next)))
		next = host;
	return next;
}

void drain_forget(struct scheduler *scheduler, struct environment_entry *entry)
{
	if (!entry->no_room)
		return;
	free(entry->no_room);
	entry->no_room = NULL;
	scheduler->drain_changed = true;
}

/* Its owner reads why it stays, in the row's reason. Without memory it is said another time. */
static void note_no_room(struct scheduler *scheduler, struct environment_entry *entry,
			 const char *reason)
{
	if (strcmp(entry->no_room ? entry->no_room : "", reason) == 0)
		return;
	free(entry->no_room);
	entry->no_room = *reason ? strdup(reason) : NULL;
	state_mark(&scheduler->state, entry);
}

/* Each is looked for alone: what is told to move now may take another's room, which then waits for
 * its turn on its new host, or goes home. */
static bool has_room(struct scheduler *scheduler, struct environment_entry *entry)
{
	const struct environment *environment = environment_newest(entry);
	const struct candidates_wish wish = { .avoid = entry->host };
	char reason[REASON_MAX] = "";
	/* What does not run needs no place before it is started. */
	bool room = !environment->power || lifecycle_has_ended(environment) ||
		    candidates_try(scheduler, &environment->origin->spec, &wish, reason) == 0;

	note_no_room(scheduler, entry, room ? "" : reason);
	return room;
}

static bool begin_move(struct scheduler *scheduler, struct environment_entry *entry)
{
	struct environment *environment = state_edit_environment(&scheduler->state, entry);

	if (!environment)
		return false;
	environment->action = ACTION_MOVE;
	environment->move_to[0] = '\0';
	state_audit(&scheduler->state, &entry->entry, "schedd", "move", "host %s is draining",
		    entry->host->entry.id);
	state_mark(&scheduler->state, entry);
	return true;
}

/* How many of a host's environments were told to move. */
static unsigned empty_host(struct scheduler *scheduler, struct host_entry *host, unsigned budget)
{
	struct environment_entry *entry;
	unsigned n = 0;

	DL_FOREACH2(host->environments, entry, host_next)
	{
		if (n == budget)
			break;
		if (can_move(entry) && has_room(scheduler, entry))
			n += begin_move(scheduler, entry);
	}
	return n;
}

void drain_run(struct scheduler *scheduler)
{
	unsigned moving;
	struct host_entry *host;

	scheduler->drain_changed = false;
	host = next_host(scheduler, NULL);
	if (!host)
		return;
	moving = count_moving(scheduler);
	/* The next host's turn comes when none of this one's can move, now. */
	for (; host && moving == 0; host = next_host(scheduler, host))
		moving = empty_host(scheduler, host, MOVES_MAX);
}
