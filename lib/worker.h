/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A worker does beside the event loop what would hold it up: one thread, one piece of work at a
 * time, and the loop is told when it is done. It knows nothing of the work.
 */
#pragma once

#include <event2/event.h>

#include "lib/util.h"

struct worker;

int worker_new(struct worker **ret, struct event_base *base) _must_check_;
/* Waits for the work that was submitted; its on_done is not called. NULL is fine. */
void worker_free(struct worker *worker);

/* Has the thread call work, and the loop call on_done with its result afterwards. Until then what
 * userdata leads to is the thread's, as far as work touches it. -EBUSY while there is other work.
 */
int worker_submit(struct worker *worker, int (*work)(void *userdata),
		  void (*on_done)(int result, void *userdata), void *userdata) _must_check_;
bool worker_busy(const struct worker *worker);

DEFINE_CLEANUP(struct worker *, worker_free, cleanup_worker)
