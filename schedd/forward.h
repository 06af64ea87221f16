/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What a standby does with requests: reads it answers from its copy, marked where that is stale,
 * and everything else it passes on to the leader, whose answer it gives back. It decides nothing.
 */
#pragma once

#include <event2/event.h>

#include "lib/http_server.h"
#include "schedd/scheduler.h"

#define FORWARD_MAX 1024 /* requests on their way at once; more are refused */

struct forward;

/* Sets the server's filter. holder names this process in what it passes on; borrowed. */
int forward_new(struct forward **ret, struct event_base *base, struct http_server *server,
		const struct scheduler *scheduler, const char *holder) _must_check_;
/* Answers what is on its way with 504 "outcome_unknown". NULL is fine. */
void forward_free(struct forward *forward);

/* Requests that were passed on, and how many of them had no answer. */
void forward_stats(const struct forward *forward, uint64_t *ret_passed, uint64_t *ret_failed);

DEFINE_CLEANUP(struct forward *, forward_free, cleanup_forward)
