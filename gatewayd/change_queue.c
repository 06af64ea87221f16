/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The queue of changesets: those that wait for the kernel, and those whose answer waits until the
 * sweeper has looked through UDP flows. Each is answered once, and freed.
 */
#include "gatewayd/change_queue.h"

void change_queue_init(struct change_queue *queue)
{
	*queue = (struct change_queue){ 0 };
	queue->tail = &queue->first;
	queue->held_tail = &queue->held;
}

void change_queue_add(struct change_queue *queue, struct changeset *changeset)
{
	changeset->next = NULL;
	*queue->tail = changeset;
	queue->tail = &changeset->next;
}

void change_queue_apply(struct change_queue *queue, struct ledger *ledger, size_t map_size,
			uint64_t revision, struct journal *journal)
{
	for (struct changeset *c = queue->first; c; c = c->next)
		if (c->error.errnum == 0)
			/* The error is in the changeset. */
			(void)!changeset_apply(c, ledger, map_size, revision, journal);
}

bool change_queue_refuse(struct change_queue *queue, const struct mapping_key *key,
			 const char *reason)
{
	bool found = false;

	for (struct changeset *c = queue->first; c; c = c->next)
		found |= changeset_refuse(c, key, reason);
	return found;
}

void change_queue_fail(struct change_queue *queue, const struct error *err, bool all)
{
	for (struct changeset *c = queue->first; c; c = c->next)
		if ((all || c->atomic) && c->error.errnum == 0)
			c->error = *err;
}

uint64_t change_queue_number(struct change_queue *queue, uint64_t revision)
{
	const uint64_t own = revision + 1;

	for (struct changeset *c = queue->first; c; c = c->next) {
		if (c->error.errnum != 0)
			continue;
		if (c->revision == 0)
			c->revision = own;
		revision = c->revision;
	}
	return revision;
}

/* ---- answers ---- */

static void answer(struct changeset *changeset)
{
	if (changeset->on_done)
		changeset->on_done(changeset, changeset->userdata);
	changeset_free(changeset);
}

static void answer_all(struct changeset *finished)
{
	while (finished) {
		struct changeset *c = finished;

		finished = c->next;
		answer(c);
	}
}

void change_queue_answer_held(struct change_queue *queue, uint64_t looks)
{
	struct changeset *finished = NULL, **finished_tail = &finished;

	while (queue->held && queue->held->look <= looks) {
		struct changeset *c = queue->held;

		queue->held = c->next;
		c->next = NULL;
		*finished_tail = c;
		finished_tail = &c->next;
	}
	if (!queue->held)
		queue->held_tail = &queue->held;
	answer_all(finished);
}

/* Whoever is answered finds no UDP flow at an old target. A follower's changes, which are not
 * atomic, are answered in their order besides: its sender takes the newest revision for all. */
static bool must_wait(struct change_queue *queue, struct changeset *c, uint64_t look)
{
	if (c->error.errnum != 0)
		return false;
	if (look > 0 && changeset_has_udp(c))
		queue->held_look = look;
	else if (!queue->held || c->atomic)
		return false;
	c->look = queue->held_look;
	return true;
}

void change_queue_settle(struct change_queue *queue, bool done, uint64_t look)
{
	struct changeset *finished = NULL, **finished_tail = &finished;
	struct changeset **link = &queue->first;

	while (*link) {
		struct changeset *c = *link;

		if (!done && c->error.errnum == 0) {
			link = &c->next;
			continue;
		}
		*link = c->next;
		c->next = NULL;
		if (must_wait(queue, c, look)) {
			*queue->held_tail = c;
			queue->held_tail = &c->next;
		} else {
			*finished_tail = c;
			finished_tail = &c->next;
		}
	}
	queue->tail = link;
	answer_all(finished);
}
