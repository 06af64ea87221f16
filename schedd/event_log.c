/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A queue of queries and the connection that answers them. */
#include "schedd/event_log.h"

#include <errno.h>
#include <event2/event_struct.h>
#include <inttypes.h>
#include <libpq-fe.h>
#include <stdio.h>
#include <string.h>
#include <sys/queue.h>

#include "lib/loop.h"

#define TIMEOUT_MS 10000
/* Along the primary key, in either direction. The database makes the JSON; one row more than is
 * asked for tells whether there are others. */
#define SELECT                                                                                     \
	"SELECT json_build_object('id', id, 'at',"                                                 \
	" to_char(at AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS\"Z\"'), 'revision', revision," \
	" 'actor', actor, 'kind', subject_kind, 'subject', subject, 'action', action, 'message',"  \
	" message)::text FROM events WHERE id > $1 AND id < $2"                                    \
	" AND ($3::text IS NULL OR subject_kind = $3) AND ($4::text IS NULL OR subject = $4)"      \
	" AND ($5::text IS NULL OR actor = $5) AND ($6::text IS NULL OR action = $6)"
#define FORWARD SELECT " ORDER BY id LIMIT $7"
#define BACKWARD SELECT " ORDER BY id DESC LIMIT $7"
#define PARAMETERS 7

struct query {
	TAILQ_ENTRY(query) entry;
	char after[24], before[24], limit[24];
	char *text[4]; /* kind, subject, actor, action */
	unsigned wanted;
	bool forward;
	event_log_done done;
	void *userdata;
};

struct event_log {
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
	for (size_t i = 0; i < ARRAY_SIZE(query->text); i++)
		free(query->text[i]);
	free(query);
}

static void disconnect(struct event_log *log)
{
	(void)event_del(&log->readable);
	(void)event_del(&log->writable);
	(void)event_del(&log->timer);
	PQclear(log->result);
	log->result = NULL;
	PQfinish(log->connection);
	log->connection = NULL;
	log->connected = log->asked = false;
}

static void finish(struct event_log *log, const struct error *err, json_t *items, bool more)
{
	struct query *query = TAILQ_FIRST(&log->queries);

	TAILQ_REMOVE(&log->queries, query, entry);
	log->n--;
	log->asked = false;
	query->done(query->userdata, err, items, more);
	query_free(query);
}

/* All that wait have the same answer, and the next one finds a new connection. */
static void fail(struct event_log *log, const char *reason)
{
	char kept[ERROR_MESSAGE_MAX];
	struct error err = ERROR_INIT;
	unsigned waiting = log->n;

	(void)snprintf(kept, sizeof(kept), "%.*s", (int)strcspn(reason, "\n"), reason);
	error_set(&err, -ENOTCONN, "unavailable", NULL, "the database is away: %s", kept);
	disconnect(log);
	while (waiting-- > 0)
		finish(log, &err, NULL, false);
}

/* ---- an answer ---- */

/* In the order of ids, whichever way they were read. */
static json_t *items_of(const struct query *query, const PGresult *result, int n)
{
	json_t *items = json_array();

	for (int i = 0; items && i < n; i++) {
		const char *text = PQgetvalue(result, query->forward ? i : n - 1 - i, 0);

		if (json_array_append_new(items, json_loads(text, 0, NULL)) < 0) {
			json_decref(items);
			items = NULL;
		}
	}
	return items;
}

static void answer(struct event_log *log)
{
	_cleanup_(cleanup_result) PGresult *result = TAKE_PTR(log->result);
	struct query *query = TAILQ_FIRST(&log->queries);
	struct error err = ERROR_INIT;
	json_t *items;
	int n;

	(void)event_del(&log->timer);
	if (PQresultStatus(result) != PGRES_TUPLES_OK) {
		error_set(&err, -EIO, "internal", NULL, "the database refused the query: %s",
			  PQresultErrorField(result, PG_DIAG_MESSAGE_PRIMARY));
		finish(log, &err, NULL, false);
		return;
	}
	n = MIN(PQntuples(result), (int)query->wanted);
	items = items_of(query, result, n);
	if (!items)
		error_set(&err, -ENOMEM, "internal", NULL, "out of memory");
	finish(log, &err, items, PQntuples(result) > n);
	json_decref(items);
}

/* ---- the connection ---- */

static void flush(struct event_log *log)
{
	int r = PQflush(log->connection);

	if (r < 0)
		fail(log, PQerrorMessage(log->connection));
	else if (r > 0)
		(void)event_add(&log->writable, NULL);
}

static void ask_next(struct event_log *log)
{
	const struct query *query = TAILQ_FIRST(&log->queries);
	const char *values[PARAMETERS];

	if (!query || log->asked)
		return;
	values[0] = query->after;
	values[1] = query->before;
	memcpy(&values[2], query->text, sizeof(query->text));
	values[PARAMETERS - 1] = query->limit;
	log->asked = true;
	(void)loop_timer_arm(&log->timer, TIMEOUT_MS);
	if (PQsendQueryParams(log->connection, query->forward ? FORWARD : BACKWARD, PARAMETERS,
			      NULL, values, NULL, NULL, 0))
		flush(log);
	else
		fail(log, PQerrorMessage(log->connection));
}

static void poll_connecting(struct event_log *log);

static void read_results(struct event_log *log)
{
	PGresult *result;

	if (!PQconsumeInput(log->connection)) {
		fail(log, PQerrorMessage(log->connection));
		return;
	}
	while (log->connection && !PQisBusy(log->connection)) {
		result = PQgetResult(log->connection);
		if (result) {
			PQclear(log->result);
			log->result = result;
			continue;
		}
		if (!log->result)
			return;
		answer(log);
		ask_next(log);
	}
}

static void on_readable(evutil_socket_t fd, short what, void *userdata)
{
	struct event_log *log = userdata;

	if (log->connected)
		read_results(log);
	else
		poll_connecting(log);
}

static void on_writable(evutil_socket_t fd, short what, void *userdata)
{
	struct event_log *log = userdata;

	if (log->connected)
		flush(log);
	else
		poll_connecting(log);
}

static void on_timeout(evutil_socket_t fd, short what, void *userdata)
{
	fail(userdata, "no answer in time");
}

static void wait_for(struct event_log *log, short what)
{
	int fd = PQsocket(log->connection);

	(void)event_del(&log->readable);
	(void)event_del(&log->writable);
	(void)event_assign(&log->readable, log->base, fd, EV_READ | EV_PERSIST, on_readable, log);
	(void)event_assign(&log->writable, log->base, fd, EV_WRITE, on_writable, log);
	(void)event_add(what == EV_READ ? &log->readable : &log->writable, NULL);
}

static void poll_connecting(struct event_log *log)
{
	switch (PQconnectPoll(log->connection)) {
	case PGRES_POLLING_READING:
		wait_for(log, EV_READ);
		break;
	case PGRES_POLLING_WRITING:
		wait_for(log, EV_WRITE);
		break;
	case PGRES_POLLING_OK:
		log->connected = true;
		(void)PQsetnonblocking(log->connection, 1);
		wait_for(log, EV_READ);
		ask_next(log);
		break;
	case PGRES_POLLING_FAILED:
	case PGRES_POLLING_ACTIVE:
		fail(log, PQerrorMessage(log->connection));
		break;
	}
}

static void start(evutil_socket_t fd, short what, void *userdata)
{
	static const char *const keywords[] = { "fallback_application_name", "connect_timeout",
						"options", "dbname", NULL };
	struct event_log *log = userdata;
	const char *const values[] = { "portico-schedd-events", "10",
				       "-c default_transaction_read_only=on", log->conninfo, NULL };

	if (log->connected) {
		ask_next(log);
		return;
	}
	if (log->connection || log->n == 0)
		return;
	log->connection = PQconnectStartParams(keywords, values, 1);
	(void)loop_timer_arm(&log->timer, TIMEOUT_MS);
	if (!log->connection || PQstatus(log->connection) == CONNECTION_BAD)
		fail(log, log->connection ? PQerrorMessage(log->connection) : "out of memory");
	else
		wait_for(log, EV_WRITE);
}

/* ---- the module ---- */

int event_log_read(struct event_log *log, const struct event_query *wanted, event_log_done done,
		   void *userdata)
{
	const char *const text[] = { wanted->kind, wanted->subject, wanted->actor, wanted->action };
	struct query *query;

	if (log->n == EVENT_LOG_QUERIES_MAX)
		return -EAGAIN;
	query = calloc(1, sizeof(*query));
	if (!query)
		return -ENOMEM;
	*query = (struct query){ .forward = wanted->after > 0,
				 .wanted = wanted->limit,
				 .done = done,
				 .userdata = userdata };
	(void)snprintf(query->after, sizeof(query->after), "%" PRId64, wanted->after);
	(void)snprintf(query->before, sizeof(query->before), "%" PRId64,
		       wanted->before > 0 ? wanted->before : INT64_MAX);
	(void)snprintf(query->limit, sizeof(query->limit), "%u", wanted->limit + 1);
	for (size_t i = 0; i < ARRAY_SIZE(text); i++) {
		query->text[i] = text[i] ? strdup(text[i]) : NULL;
		if (text[i] && !query->text[i]) {
			query_free(query);
			return -ENOMEM;
		}
	}
	TAILQ_INSERT_TAIL(&log->queries, query, entry);
	log->n++;
	event_active(&log->start, EV_TIMEOUT, 0);
	return 0;
}

int event_log_new(struct event_log **ret, struct event_base *base, const char *conninfo)
{
	struct event_log *log = calloc(1, sizeof(*log));

	if (!log)
		return -ENOMEM;
	log->base = base;
	log->conninfo = conninfo;
	TAILQ_INIT(&log->queries);
	(void)event_assign(&log->readable, base, -1, EV_READ, on_readable, log);
	(void)event_assign(&log->writable, base, -1, EV_WRITE, on_writable, log);
	(void)evtimer_assign(&log->timer, base, on_timeout, log);
	(void)evtimer_assign(&log->start, base, start, log);
	*ret = log;
	return 0;
}

void event_log_free(struct event_log *log)
{
	struct query *query;

	if (!log)
		return;
	disconnect(log);
	(void)event_del(&log->start);
	while ((query = TAILQ_FIRST(&log->queries))) {
		TAILQ_REMOVE(&log->queries, query, entry);
		query_free(query);
	}
	free(log);
}
