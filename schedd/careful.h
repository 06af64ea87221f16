/* SPDX-License-Identifier: GPL-2.0-or-later */
/* After the database has refused a batch: which environment is to blame, and that it harms no
 * other.
 */
#pragma once

#include "schedd/scheduler_private.h"

/* May an environment be decided about now? Mostly; while a culprit is looked for only where nothing
 * else would share its commit. */
bool careful_may_decide(const struct scheduler *scheduler);

/* Was this environment refused, and its time has not come? */
bool careful_waits(struct scheduler *scheduler, struct environment_entry *entry, uint64_t now_ms);

/* It was decided about: what is in the open batch now, if anything, is its doing. */
void careful_decided(struct scheduler *scheduler, const struct environment_entry *entry);

/* The end of a commit. True where it was one environment's and the others can go on at once. */
void careful_committed(struct scheduler *scheduler);
bool careful_refused(struct scheduler *scheduler, const char *message);
