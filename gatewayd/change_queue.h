/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The queue of changesets: those that wait for the kernel, and those whose answer waits until the
 * sweeper has looked through UDP flows. Each is answered once, and freed.
 */
#pragma once

#include "gatewayd/changeset.h"

struct change_queue {
	struct changeset *first, **tail;
	struct changeset *held, **held_tail; /* done; UDP flows may still go elsewhere */
	uint64_t held_look;                  /* of the last of them */
};

void change_queue_init(struct change_queue *queue);

/* Takes the changeset over. */
void change_queue_add(struct change_queue *queue, struct changeset *changeset);

/* Applies all that have not failed to the ledger's desired side, as changeset_apply does. Those
 * that fail stay with their error, until change_queue_settle. */
void change_queue_apply(struct change_queue *queue, struct ledger *ledger, size_t map_size,
			uint64_t revision, struct journal *journal);
/* The kernel refuses this key. False: none of them puts it. */
bool change_queue_refuse(struct change_queue *queue, const struct mapping_key *key,
			 const char *reason);
/* Gives those that have not failed this error: all of them, or those that are atomic. */
void change_queue_fail(struct change_queue *queue, const struct error *err, bool all);
/* What has not failed is in the kernel. Gives those a revision whose sender has none, the one after
 * this; returns the last one's, or the same where there is none. */
uint64_t change_queue_number(struct change_queue *queue, uint64_t revision);

/* Answers those that have failed, and where all is done the rest; of these, some once the look of
 * this number has been, where it is not 0. */
void change_queue_settle(struct change_queue *queue, bool done, uint64_t look);
/* Answers those that wait for looks up to this one. */
void change_queue_answer_held(struct change_queue *queue, uint64_t looks);
