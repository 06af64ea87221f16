/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Table usage_intervals, summed up. The database writes it (see its migration); schedd only asks.
 */
#pragma once

#include "lib/json.h"
#include "schedd/archive.h"

#define USAGE_PAGE_MAX 1000

struct usage_query {
	const char *customer; /* NULL: all; copied, as after is */
	const char *after;    /* the page after this id; NULL: the first */
	int64_t since, until; /* Unix seconds; 0: the first of this month, now */
	bool by_customer;     /* a sum for each customer; else for each environment */
	unsigned limit;       /* 1…USAGE_PAGE_MAX */
};

/* The end of a query, once, from the event loop: err->errnum is 0, with the answer as it is sent,
 * borrowed, or -ENOTCONN "unavailable" and others, with NULL. */
typedef void (*usage_log_done)(void *userdata, const struct error *err, json_t *answer);

/* archive_ask's errors; else done will be called. */
int usage_log_read(struct archive *archive, const struct usage_query *query, usage_log_done done,
		   void *userdata) _must_check_;
