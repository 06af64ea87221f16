/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Makes files durable beside the event loop: fsync(2) may take as long as the disk likes, so a
 * thread does it and the loop is told.
 */
#pragma once

#include <event2/event.h>

#include "lib/util.h"

struct syncer;

int syncer_new(struct syncer **ret, struct event_base *base) _must_check_;
/* Waits for the one that is being done; its callback is not called. NULL is fine. */
void syncer_free(struct syncer *syncer);

/* Has fd (a duplicate is made of it; a file or a folder) written to disk and calls on_done with 0
 * or fsync(2)'s error from the loop. One at a time: -EBUSY while another is being done. */
int syncer_submit(struct syncer *syncer, int fd, void (*on_done)(int result, void *userdata),
		  void *userdata) _must_check_;
bool syncer_busy(const struct syncer *syncer);

DEFINE_CLEANUP(struct syncer *, syncer_free, cleanup_syncer)
