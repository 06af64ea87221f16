/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The connection to PostgreSQL: connecting without blocking, events of its socket, loss and return.
 */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "lib/log.h"
#include "lib/loop.h"
#include "schedd/migrations.h"
#include "schedd/store_private.h"

#define CONNECT_TIMEOUT_MS 10000
#define RETRY_FIRST_MS 200
#define RETRY_MAX_MS 5000

static void start_connecting(struct store *store);
static void poll_connecting(struct store *store);

void store_set_role(struct store *store, enum store_role role, const char *reason)
{
	if (store->role == role)
		return;
	store->role = role;
	store->events->on_role(store->userdata, role, reason);
}

enum store_role store_role(const struct store *store)
{
	return store->role;
}

static void disconnect(struct store *store)
{
	(void)event_del(&store->readable);
	(void)event_del(&store->writable);
	(void)event_del(&store->timer);
	PQclear(store->last);
	store->last = NULL;
	PQfinish(store->connection);
	store->connection = NULL;
	store->connecting = false;
	store->copy.reading = false;
	store->questions = 0;
}

/* libpq's messages end in a newline and may have several lines. */
static void one_line(char *text)
{
	size_t length = strlen(text);

	while (length > 0 && (text[length - 1] == '\n' || text[length - 1] == ' '))
		text[--length] = '\0';
	for (char *c = text; *c; c++)
		if (*c == '\n' || *c == '\t')
			*c = ' ';
}

void store_lost(struct store *store, const char *format, ...)
{
	char reason[REASON_MAX];
	uint32_t delay;
	va_list arguments;

	va_start(arguments, format);
	(void)vsnprintf(reason, sizeof(reason), format, arguments);
	va_end(arguments);
	one_line(reason);
	disconnect(store);
	if (store->fatal)
		return;
	delay = backoff_next_ms(&store->backoff);
	if (store->role == STORE_DOWN)
		log_warning("database", "%s; next try in %u ms", reason, delay);
	else
		log_error("database", "%s; writes are refused until it is back", reason);
	(void)loop_timer_arm(&store->timer, delay);
	store_set_role(store, STORE_DOWN, reason);
}

void store_fatal(struct store *store, const char *format, ...)
{
	char reason[REASON_MAX];
	va_list arguments;

	if (store->fatal)
		return;
	va_start(arguments, format);
	(void)vsnprintf(reason, sizeof(reason), format, arguments);
	va_end(arguments);
	one_line(reason);
	store->fatal = true;
	disconnect(store);
	store->role = STORE_DOWN;
	store->events->on_fatal(store->userdata, reason);
}

int store_flush(struct store *store)
{
	int r = PQflush(store->connection);

	if (r < 0)
		return -EIO;
	if (r > 0)
		(void)event_add(&store->writable, NULL);
	return 0;
}

static void on_readable(evutil_socket_t fd, short what, void *userdata)
{
	struct store *store = userdata;

	if (store->connecting) {
		poll_connecting(store);
		return;
	}
	/* In non-blocking mode both directions move, or both sides may wait for ever. */
	if (!PQconsumeInput(store->connection) || store_flush(store) < 0) {
		store_lost(store, "connection lost: %s", PQerrorMessage(store->connection));
		return;
	}
	if (store->role == STORE_READY)
		store_commit_read(store);
	else
		store_session_read(store);
}

static void on_writable(evutil_socket_t fd, short what, void *userdata)
{
	struct store *store = userdata;

	if (store->connecting)
		poll_connecting(store);
	else if (store_flush(store) < 0)
		store_lost(store, "connection lost: %s", PQerrorMessage(store->connection));
}

/* One timer: the next try while down, the deadline while connecting and while something is asked,
 * the next look of a standby, the next sign of life of an idle leader. */
static void on_timer(evutil_socket_t fd, short what, void *userdata)
{
	struct store *store = userdata;

	if (!store->connection)
		start_connecting(store);
	else if (store->connecting)
		store_lost(store, "no connection within %d s", CONNECT_TIMEOUT_MS / 1000);
	else if (store->role == STORE_WAITING)
		store_session_again(store);
	else if (store->role == STORE_READY && !store->flight.active && store->questions == 0)
		store_idle_ask(store);
	else
		store_lost(store, "no answer in time");
}

/* libpq may change its socket from one step of the connection to the next. */
static void watch_socket(struct store *store)
{
	int fd = PQsocket(store->connection);

	(void)event_del(&store->readable);
	(void)event_del(&store->writable);
	(void)event_assign(&store->readable, store->base, fd, EV_READ | EV_PERSIST, on_readable,
			   store);
	(void)event_assign(&store->writable, store->base, fd, EV_WRITE, on_writable, store);
}

static void connected(struct store *store)
{
	store->connecting = false;
	(void)event_del(&store->timer);
	if (PQsetnonblocking(store->connection, 1) != 0) {
		store_lost(store, "cannot be used without blocking: %s",
			   PQerrorMessage(store->connection));
		return;
	}
	watch_socket(store);
	(void)event_add(&store->readable, NULL);
	store_session_start(store);
}

static void poll_connecting(struct store *store)
{
	switch (PQconnectPoll(store->connection)) {
	case PGRES_POLLING_READING:
		watch_socket(store);
		(void)event_add(&store->readable, NULL);
		break;
	case PGRES_POLLING_WRITING:
		watch_socket(store);
		(void)event_add(&store->writable, NULL);
		break;
	case PGRES_POLLING_OK:
		connected(store);
		break;
	case PGRES_POLLING_FAILED:
	case PGRES_POLLING_ACTIVE:
		store_lost(store, "cannot connect: %s", PQerrorMessage(store->connection));
		break;
	}
}

static void ignore_notice(void *userdata, const PGresult *result)
{
}

static PGconn *begin_connection(const char *conninfo, bool blocking)
{
	/* What comes before dbname are our defaults; the operator's conninfo overrides them. A
	 * silent network must not keep a dead leader's lock, or ours, for the kernel's two hours.
	 */
	static const char *const keywords[] = { "fallback_application_name",
						"keepalives_idle",
						"keepalives_interval",
						"keepalives_count",
						"tcp_user_timeout",
						"connect_timeout",
						"dbname",
						"client_encoding", /* whatever they say */
						NULL };
	const char *const values[] = { "portico-schedd", "5",    "2", "3", "10000", "10",
				       conninfo,         "UTF8", NULL };

	if (blocking)
		return PQconnectdbParams(keywords, values, 1);
	return PQconnectStartParams(keywords, values, 1);
}

static void start_connecting(struct store *store)
{
	store->connection = begin_connection(store->conninfo, false);
	if (!store->connection) {
		store_lost(store, "cannot connect: out of memory");
		return;
	}
	(void)PQsetNoticeReceiver(store->connection, ignore_notice, NULL);
	if (PQstatus(store->connection) == CONNECTION_BAD) {
		store_lost(store, "cannot connect: %s", PQerrorMessage(store->connection));
		return;
	}
	store->connecting = true;
	(void)loop_timer_arm(&store->timer, CONNECT_TIMEOUT_MS);
	/* PQconnectStart asks to be treated as if the last poll had said WRITING. */
	watch_socket(store);
	(void)event_add(&store->writable, NULL);
}

int store_new(struct store **ret, struct event_base *base, const struct store_config *config,
	      const struct store_events *events, void *userdata)
{
	_cleanup_(cleanup_store) struct store *store = calloc(1, sizeof(*store));

	if (!store)
		return -ENOMEM;
	store->base = base;
	store->events = events;
	store->event_retention_s = config->event_retention_s;
	store->cpu_overcommit = config->cpu_overcommit;
	store->userdata = userdata;
	store->backoff = (struct backoff){ .first_ms = RETRY_FIRST_MS, .max_ms = RETRY_MAX_MS };
	(void)event_assign(&store->readable, base, -1, EV_READ, on_readable, store);
	(void)event_assign(&store->writable, base, -1, EV_WRITE, on_writable, store);
	(void)evtimer_assign(&store->timer, base, on_timer, store);
	store->conninfo = strdup(config->conninfo);
	store->holder = strdup(config->holder);
	store->address = strdup(config->address);
	if (!store->conninfo || !store->holder || !store->address ||
	    loop_timer_arm(&store->timer, 0) < 0)
		return -ENOMEM;
	*ret = TAKE_PTR(store);
	return 0;
}

void store_free(struct store *store)
{
	if (!store)
		return;
	disconnect(store);
	free(store->conninfo);
	free(store->holder);
	free(store->address);
	free(store);
}

int store_set_address(struct store *store, const char *address)
{
	char *copy = strdup(address);

	if (!copy)
		return -ENOMEM;
	free(store->address);
	store->address = copy;
	store->address_unwritten = true;
	if (store->role == STORE_READY && !store->flight.active && store->questions == 0)
		store_idle_ask(store);
	return 0;
}

int store_check_conninfo(const char *conninfo, struct error *err)
{
	char *message = NULL;
	PQconninfoOption *options = PQconninfoParse(conninfo, &message);
	int r = 0;

	if (!options) {
		/* libpq repeats what it cannot read, and that may be a password. */
		bool secret = strstr(conninfo, "password") || strchr(conninfo, '@');

		if (message)
			one_line(message);
		r = error_set(err, -EINVAL, "invalid", "database", "database: %s",
			      !message ? "out of memory"
			      : secret ? "not a connection string of libpq"
				       : message);
		PQfreemem(message);
		return r;
	}
	for (PQconninfoOption *option = options; option->keyword; option++)
		if (strcmp(option->keyword, "password") == 0 && option->val)
			r = error_set(err, -EINVAL, "invalid", "database",
				      "database: a password does not belong here; put it into a "
				      "file that PGPASSFILE names, or use peer authentication");
	PQconninfoFree(options);
	return r;
}

int store_check_encoding(const PGconn *connection, struct error *err)
{
	const char *encoding = PQparameterStatus(connection, "server_encoding");

	if (!encoding || strcmp(encoding, "UTF8") == 0)
		return 0;
	return error_set(err, -EINVAL, "invalid", "database",
			 "database %s has the encoding %s and has to have UTF8: make another with "
			 "createdb --encoding UTF8 --locale C --template template0, and bring over "
			 "with pg_dump what is in this one",
			 PQdb(connection), encoding);
}

static int probe_version(PGconn *connection, unsigned *ret_version, struct error *err)
{
	_cleanup_pg_result_ PGresult *exists =
		PQexec(connection, "SELECT to_regclass('schema_migrations') IS NOT NULL");
	_cleanup_pg_result_ PGresult *version = NULL;

	if (PQresultStatus(exists) == PGRES_TUPLES_OK && *PQgetvalue(exists, 0, 0) == 'f') {
		*ret_version = 0;
		return 0;
	}
	version = PQexec(connection, "SELECT coalesce(max(version), 0) FROM schema_migrations");
	if (PQresultStatus(version) != PGRES_TUPLES_OK)
		return error_set(err, -EIO, "database", "database", "database: %s",
				 PQerrorMessage(connection));
	*ret_version = (unsigned)store_number(version, 0, 0);
	return 0;
}

int store_probe(const char *conninfo, unsigned *ret_version, struct error *err)
{
	PGconn *connection = begin_connection(conninfo, true);
	int r;

	if (!connection)
		return -ENOMEM;
	(void)PQsetNoticeReceiver(connection, ignore_notice, NULL);
	if (PQstatus(connection) == CONNECTION_OK)
		r = store_check_encoding(connection, err);
	else
		r = error_set(err, -ENOTCONN, "unavailable", "database", "database: %s",
			      PQerrorMessage(connection));
	if (r == 0)
		r = probe_version(connection, ret_version, err);
	PQfinish(connection);
	return r;
}
