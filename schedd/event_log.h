/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Table events, read page by page. */
#pragma once

#include "lib/json.h"
#include "schedd/archive.h"

#define EVENT_LOG_PAGE_MAX 1000

/* Which events; text may be NULL, for any. */
struct event_query {
	int64_t after, before; /* ids; 0: no bound */
	uint64_t revision;     /* only of later commits than this one; 0: of any */
	/* copied */
	const char *kind, *subject, *actor, *action, *customer;
	bool forward;   /* the first after the bound; else the newest before it */
	unsigned limit; /* 1…EVENT_LOG_PAGE_MAX */
};

/* The end of a query, once, from the event loop. err->errnum is 0, or as archive_done's,
 * with items NULL; items is a borrowed array in the order of ids. more: there are others in that
 * direction. */
typedef void (*event_log_done)(void *userdata, const struct error *err, json_t *items, bool more);

/* archive_ask's errors; else done will be called. */
int event_log_read(struct archive *archive, const struct event_query *query, event_log_done done,
		   void *userdata) _must_check_;
