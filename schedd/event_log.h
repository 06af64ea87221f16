/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Reading table events, on a connection of its own that is opened when it is wanted: what was
 * written down is not kept in memory, and a leader's connection is busy with batches. One query is
 * on its way at a time, and nothing blocks.
 */
#pragma once

#include <event2/event.h>

#include "lib/error.h"
#include "lib/json.h"

#define EVENT_LOG_QUERIES_MAX 64
#define EVENT_LOG_PAGE_MAX 1000

struct event_log;

/* Which events; text may be NULL, for any. */
struct event_query {
	int64_t after, before;                       /* ids; 0: no bound */
	const char *kind, *subject, *actor, *action; /* copied */
	unsigned limit;                              /* 1…EVENT_LOG_PAGE_MAX */
};

/* conninfo is borrowed. */
int event_log_new(struct event_log **ret, struct event_base *base, const char *conninfo)
	_must_check_;
/* No done is called. NULL is fine. */
void event_log_free(struct event_log *log);

/* The end of a query, once, from the event loop. err->errnum is 0, or -ENOTCONN "unavailable" and
 * others; items is a borrowed array in the order of ids: those right after `after` or, without
 * it, the newest. more: there are others in that direction. */
typedef void (*event_log_done)(void *userdata, const struct error *err, json_t *items, bool more);

/* -EAGAIN where too many wait, -ENOMEM; else done will be called. */
int event_log_read(struct event_log *log, const struct event_query *query, event_log_done done,
		   void *userdata) _must_check_;

DEFINE_CLEANUP(struct event_log *, event_log_free, cleanup_event_log)
