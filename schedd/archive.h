/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Reading what is kept in the database and not in memory, events and usage, on a connection of its
 * own that is opened when it is wanted: a leader's connection is busy with batches. One query is on
 * its way at a time, in the order in which they were asked, and nothing blocks. A query that takes
 * too long is ended by the database and has an error; those behind it are answered.
 */
#pragma once

#include <event2/event.h>
#include <libpq-fe.h>

#include "lib/error.h"

#define ARCHIVE_QUERIES_MAX 64
#define ARCHIVE_VALUES_MAX 12
#define ARCHIVE_CONTEXT_MAX 64

struct archive;

/* conninfo is borrowed. */
int archive_new(struct archive **ret, struct event_base *base, const char *conninfo) _must_check_;
/* No done is called. NULL is fine. */
void archive_free(struct archive *archive);

/* The end of a query, once, from the event loop. context is the query's own copy; err->errnum is 0,
 * with the rows in result, or -ENOTCONN "unavailable", -ETIMEDOUT "timeout" and others, with NULL.
 */
typedef void (*archive_done)(const void *context, const struct error *err, const PGresult *result);

/* sql is static; values (NULL for SQL's NULL) and size bytes of context are copied. -EAGAIN where
 * too many wait, -ENOMEM; else done will be called. */
int archive_ask(struct archive *archive, const char *sql, int n, const char *const *values,
		archive_done done, const void *context, size_t size) _must_check_;

DEFINE_CLEANUP(struct archive *, archive_free, cleanup_archive)
