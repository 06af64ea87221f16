/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A queue of queries and the connection that answers them. */
#include "schedd/archive.h"

#include <errno.h>
#include <event2/event_struct.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/queue.h>

#include "lib/loop.h"

/* The server ends a query itself, and the connection goes on with the next one. That a server does
 * not answer at all is known a little later. */
#define QUERY_TIMEOUT "8s"
#define TIMEOUT_MS 10000
#define SQLSTATE_CANCELED "57014"

struct query {
	TAILQ_ENTRY(query) entry;
	const char *sql; /* borrowed */
	int n;
	char *values[ARCHIVE_VALUES_MAX]; /* owned */
	archive_done done;
	_Alignas(max_align_t) char context[ARCHIVE_CONTEXT_MAX];
};

struct archive {
	struct event_base *base;
	const char *conninfo;
	PGconn *connection; /* NULL: none */
	struct event readable, writable, timer, start;
	bool connected, asked; /* asked: the first query is on its way */
	PGresult *result;
	TAILQ_HEAD(queries, query) queries;
	unsigned n;
};

static inline void cleanup_result(PGresult **result)
{
	PQclear(*result);
}

static void query_free(struct query *query)
{
	for (int i = 0; i < query->n; i++)
		free(query->values[i]);
	free(query);
}

static void disconnect(struct archive *archive)
{
	(void)event_del(&archive->readable);
	(void)event_del(&archive->writable);
	(void)event_del(&archive->timer);
	PQclear(archive->result);
	archive->result = NULL;
	PQfinish(archive->connection);
	archive->connection = NULL;
	archive->connected = archive->asked = false;
}

static void finish(struct archive *archive, const struct error *err, const PGresult *result)
{
	struct query *query = TAILQ_FIRST(&archive->queries);

	TAILQ_REMOVE(&archive->queries, query, entry);
	archive->n--;
	archive->asked = false;
	query->done(query->context, err, result);
	query_free(query);
}

/* All that wait have the same answer, and the next one finds a new connection. */
static void fail(struct archive *archive, const char *reason)
{
	char kept[ERROR_MESSAGE_MAX];
	struct error err = ERROR_INIT;
	unsigned waiting = archive->n;

	(void)snprintf(kept, sizeof(kept), "%.*s", (int)strcspn(reason, "\n"), reason);
	error_set(&err, -ENOTCONN, "unavailable", NULL, "the database is away: %s", kept);
	disconnect(archive);
	while (waiting-- > 0)
		finish(archive, &err, NULL);
}

/* ---- an answer ---- */

static void explain(const PGresult *result, struct error *err)
{
	const char *state = PQresultErrorField(result, PG_DIAG_SQLSTATE);
	const char *message = PQresultErrorField(result, PG_DIAG_MESSAGE_PRIMARY);

	if (state && strcmp(state, SQLSTATE_CANCELED) == 0)
		error_set(err, -ETIMEDOUT, "timeout", NULL,
			  "the database ended the query, which may take " QUERY_TIMEOUT
			  ": %s; ask for less at a time",
			  message);
	else
		error_set(err, -EIO, "internal", NULL, "the database refused the query: %s",
			  message ? message : PQresultErrorMessage(result));
}

static void answer(struct archive *archive)
{
	_cleanup_(cleanup_result) PGresult *result = TAKE_PTR(archive->result);
	struct error err = ERROR_INIT;

	(void)event_del(&archive->timer);
	if (PQresultStatus(result) == PGRES_TUPLES_OK) {
		finish(archive, &err, result);
		return;
	}
	explain(result, &err);
	finish(archive, &err, NULL);
}

/* ---- the connection ---- */

static void flush(struct archive *archive)
{
	int r = PQflush(archive->connection);

	if (r < 0)
		fail(archive, PQerrorMessage(archive->connection));
	else if (r > 0)
		(void)event_add(&archive->writable, NULL);
}

static void ask_next(struct archive *archive)
{
	const struct query *query = TAILQ_FIRST(&archive->queries);

	if (!query || archive->asked)
		return;
	archive->asked = true;
	(void)loop_timer_arm(&archive->timer, TIMEOUT_MS);
	if (PQsendQueryParams(archive->connection, query->sql, query->n, NULL,
			      (const char *const *)query->values, NULL, NULL, 0))
		flush(archive);
	else
		fail(archive, PQerrorMessage(archive->connection));
}

static void poll_connecting(struct archive *archive);

static void read_results(struct archive *archive)
{
	PGresult *result;

	if (!PQconsumeInput(archive->connection)) {
		fail(archive, PQerrorMessage(archive->connection));
		return;
	}
	while (archive->connection && !PQisBusy(archive->connection)) {
		result = PQgetResult(archive->connection);
		if (result) {
			PQclear(archive->result);
			archive->result = result;
			continue;
		}
		if (!archive->result)
			return;
		answer(archive);
		ask_next(archive);
	}
}

static void on_readable(evutil_socket_t fd, short what, void *userdata)
{
	struct archive *archive = userdata;

	if (archive->connected)
		read_results(archive);
	else
		poll_connecting(archive);
}

static void on_writable(evutil_socket_t fd, short what, void *userdata)
{
	struct archive *archive = userdata;

	if (archive->connected)
		flush(archive);
	else
		poll_connecting(archive);
}

static void on_timeout(evutil_socket_t fd, short what, void *userdata)
{
	fail(userdata, "no answer in time");
}

static void wait_for(struct archive *archive, short what)
{
	int fd = PQsocket(archive->connection);

	(void)event_del(&archive->readable);
	(void)event_del(&archive->writable);
	(void)event_assign(&archive->readable, archive->base, fd, EV_READ | EV_PERSIST, on_readable,
			   archive);
	(void)event_assign(&archive->writable, archive->base, fd, EV_WRITE, on_writable, archive);
	(void)event_add(what == EV_READ ? &archive->readable : &archive->writable, NULL);
}

static void poll_connecting(struct archive *archive)
{
	switch (PQconnectPoll(archive->connection)) {
	case PGRES_POLLING_READING:
		wait_for(archive, EV_READ);
		break;
	case PGRES_POLLING_WRITING:
		wait_for(archive, EV_WRITE);
		break;
	case PGRES_POLLING_OK:
		archive->connected = true;
		(void)PQsetnonblocking(archive->connection, 1);
		wait_for(archive, EV_READ);
		ask_next(archive);
		break;
	case PGRES_POLLING_FAILED:
	case PGRES_POLLING_ACTIVE:
		fail(archive, PQerrorMessage(archive->connection));
		break;
	}
}

static void start(evutil_socket_t fd, short what, void *userdata)
{
	static const char *const keywords[] = { "fallback_application_name",
						"connect_timeout",
						"options",
						"dbname",
						"client_encoding",
						NULL };
	struct archive *archive = userdata;
	const char *const values[] = { "portico-schedd-archive",
				       "10",
				       "-c default_transaction_read_only=on"
				       " -c statement_timeout=" QUERY_TIMEOUT,
				       archive->conninfo,
				       "UTF8",
				       NULL };

	if (archive->connected) {
		ask_next(archive);
		return;
	}
	if (archive->connection || archive->n == 0)
		return;
	archive->connection = PQconnectStartParams(keywords, values, 1);
	(void)loop_timer_arm(&archive->timer, TIMEOUT_MS);
	if (!archive->connection || PQstatus(archive->connection) == CONNECTION_BAD)
		fail(archive,
		     archive->connection ? PQerrorMessage(archive->connection) : "out of memory");
	else
		wait_for(archive, EV_WRITE);
}

/* ---- the module ---- */

int archive_ask(struct archive *archive, const char *sql, int n, const char *const *values,
		archive_done done, const void *context, size_t size)
{
	struct query *query;

	if (archive->n == ARCHIVE_QUERIES_MAX)
		return -EAGAIN;
	if (n > ARCHIVE_VALUES_MAX || size > ARCHIVE_CONTEXT_MAX)
		return -EINVAL;
	query = calloc(1, sizeof(*query));
	if (!query)
		return -ENOMEM;
	query->sql = sql;
	query->n = n;
	query->done = done;
	memcpy(query->context, context, size);
	for (int i = 0; i < n; i++) {
		query->values[i] = values[i] ? strdup(values[i]) : NULL;
		if (values[i] && !query->values[i]) {
			query_free(query);
			return -ENOMEM;
		}
	}
	TAILQ_INSERT_TAIL(&archive->queries, query, entry);
	archive->n++;
	event_active(&archive->start, EV_TIMEOUT, 0);
	return 0;
}

int archive_new(struct archive **ret, struct event_base *base, const char *conninfo)
{
	struct archive *archive = calloc(1, sizeof(*archive));

	if (!archive)
		return -ENOMEM;
	archive->base = base;
	archive->conninfo = conninfo;
	TAILQ_INIT(&archive->queries);
	(void)event_assign(&archive->readable, base, -1, EV_READ, on_readable, archive);
	(void)event_assign(&archive->writable, base, -1, EV_WRITE, on_writable, archive);
	(void)evtimer_assign(&archive->timer, base, on_timeout, archive);
	(void)evtimer_assign(&archive->start, base, start, archive);
	*ret = archive;
	return 0;
}

void archive_free(struct archive *archive)
{
	struct query *query;

	if (!archive)
		return;
	disconnect(archive);
	(void)event_del(&archive->start);
	while ((query = TAILQ_FIRST(&archive->queries))) {
		TAILQ_REMOVE(&archive->queries, query, entry);
		query_free(query);
	}
	free(archive);
}
