/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What happens on a new connection before the first batch: settings, the leader's lock, migrations,
 * the epoch, the load or the check that memory is still right, prepared statements. One step at a
 * time, each a query and what its answer means. What a standby asks is in store_follow.c. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "lib/log.h"
#include "lib/loop.h"
#include "schedd/migrations.h"
#include "schedd/store_private.h"

/* A standby looks this often. */
#define FOLLOW_MS 250
/* A leader that does not say anything for so long (it was stopped, or its machine is swamped) loses
 * its session and with it the lock. store_idle.c speaks more often. */
#define LEASE "10s"

static void enter(struct store *store, enum store_step step);

static bool is_true(const PGresult *result)
{
	return PQntuples(result) == 1 && *PQgetvalue(result, 0, 0) == 't';
}

/* ---- sending ---- */

static int send_migration(struct store *store)
{
	const struct migration *migration = &migrations[store->schema_version];
	_cleanup_free_ char *sql = NULL;
	int ok;

	log_info("database", "migration %u: %s", migration->version, migration->name);
	if (asprintf(
		    &sql,
		    "BEGIN;\n%s\nINSERT INTO schema_migrations (version, name) VALUES (%u, '%s');\n"
		    "COMMIT",
		    migration->sql, migration->version, migration->name) < 0) {
		sql = NULL;
		return 0;
	}
	ok = PQsendQuery(store->connection, sql);
	return ok;
}

static int send_lead(struct store *store)
{
	char overcommit[16];
	const char *values[] = { store->holder, store->address, overcommit };

	(void)snprintf(overcommit, sizeof(overcommit), "%u", store->cpu_overcommit);
	if (store->loaded)
		return PQsendQuery(store->connection, "SELECT epoch, revision FROM leader");
	return PQsendQueryParams(store->connection,
				 "UPDATE leader SET epoch = epoch + 1, holder = $1, address = $2, "
				 "cpu_overcommit_percent = $3, since = now() "
				 "RETURNING epoch, revision",
				 3, NULL, values, NULL, NULL, 0);
}

static int send_load(struct store *store, enum record_kind kind)
{
	char since[24];
	const char *values[] = { since };

	(void)snprintf(since, sizeof(since), "%" PRId64,
		       store->copy.reading ? store->copy.since : -1);
	return PQsendQueryParams(store->connection, store_load_query(kind), 1, NULL, values, NULL,
				 NULL, 0) &&
	       PQsetSingleRowMode(store->connection);
}

static int send_step(struct store *store)
{
	PGconn *connection = store->connection;

	switch (store->step) {
	case STEP_SETTINGS:
		/* Our promise is that an answer means "on disk": a role's or database's setting
		 * must not weaken it. The server, too, has to notice soon that we are gone. */
		return PQsendQuery(connection,
				   "SET client_min_messages = warning;"
				   "SELECT set_config('synchronous_commit', 'on', false)"
				   " WHERE current_setting('synchronous_commit') = 'off';"
				   "SET tcp_keepalives_idle = 5; SET tcp_keepalives_interval = 2;"
				   "SET tcp_keepalives_count = 3; SET tcp_user_timeout = 10000;"
				   "SET idle_in_transaction_session_timeout = '60s'");
	case STEP_FOLLOW_SCHEMA:
	case STEP_FOLLOW_VERSION:
	case STEP_FOLLOW_LEADER:
	case STEP_FOLLOW_BEGIN:
	case STEP_FOLLOW_REVISION:
	case STEP_FOLLOW_DEPARTED:
	case STEP_FOLLOW_COMMIT:
		return store_follow_send(store);
	case STEP_TRY_LOCK:
		return PQsendQuery(connection, "SELECT pg_try_advisory_lock(" STORE_LOCK ")");
	case STEP_SCHEMA:
		return PQsendQuery(connection, "CREATE TABLE IF NOT EXISTS schema_migrations ("
					       "version integer PRIMARY KEY, name text NOT NULL,"
					       "applied_at timestamptz NOT NULL DEFAULT now())");
	case STEP_VERSION:
		return PQsendQuery(connection,
				   "SELECT coalesce(max(version), 0) FROM schema_migrations");
	case STEP_MIGRATE:
		return send_migration(store);
	case STEP_LEAD:
		return send_lead(store);
	case STEP_LOAD_HOSTS:
		return send_load(store, RECORD_HOST);
	case STEP_LOAD_GATEWAYS:
		return send_load(store, RECORD_GATEWAY);
	case STEP_LOAD_ENVIRONMENTS:
		return send_load(store, RECORD_ENVIRONMENT);
	case STEP_LOAD_PORTS:
		return send_load(store, RECORD_PORT);
	case STEP_LOAD_CUSTOMERS:
		return send_load(store, RECORD_CUSTOMER);
	case STEP_LOAD_TOKENS:
		return send_load(store, RECORD_TOKEN);
	case STEP_LOAD_KEYS:
		return send_load(store, RECORD_KEY);
	case STEP_LEASE:
		return PQsendQuery(connection,
				   "SET idle_in_transaction_session_timeout = '" LEASE "';"
				   /* since PostgreSQL 14 */
				   "SELECT set_config(name, '" LEASE "', false)"
				   " FROM pg_settings WHERE name = 'idle_session_timeout'");
	case STEP_PREPARE:
		return PQsendPrepare(connection, store_statements[store->prepared].name,
				     store_statements[store->prepared].sql, 0, NULL);
	case STEP_READY:
	case STEP_PAUSE:
		break;
	}
	return 0;
}

/* ---- answers: each returns the next step, or -1 once it has ended the session ---- */

static int after_version(struct store *store, const PGresult *result)
{
	unsigned version = (unsigned)store_number(result, 0, 0);

	if (version > n_migrations) {
		store_fatal(
			store,
			"the schema has version %u and this schedd knows %u: start a newer schedd",
			version, n_migrations);
		return -1;
	}
	store->schema_version = version;
	return version < n_migrations ? STEP_MIGRATE : STEP_LEAD;
}

/* The connection was lost and is back. The lock is ours again, so no transaction of the old one is
 * still open, and the revision tells how a commit that was on its way has ended. */
static int verify(struct store *store, uint64_t epoch, uint64_t revision)
{
	const struct store_flight *flight = &store->flight;

	if (epoch != store->epoch) {
		store_fatal(store,
			    "another schedd became the leader (epoch %" PRIu64 ", ours was %" PRIu64
			    ")",
			    epoch, store->epoch);
		return -1;
	}
	if (flight->active && revision == flight->to_revision) {
		store->revision = revision;
		store_commit_end(store, 0, "");
	} else if (revision != store->revision) {
		store_fatal(store,
			    "the database is at revision %" PRIu64 " and not at %" PRIu64
			    " as we left it: was it restored?",
			    revision, store->revision);
		return -1;
	} else if (flight->active) {
		store_commit_end(store, -ENOTCONN, "the database went away before the commit");
	}
	return store->fatal ? -1 : STEP_LEASE;
}

static int after_lead(struct store *store, const PGresult *result)
{
	uint64_t epoch, revision;

	if (PQntuples(result) != 1) {
		store_fatal(store, "table leader has %d rows and not one", PQntuples(result));
		return -1;
	}
	epoch = store_number(result, 0, 0);
	revision = store_number(result, 0, 1);
	if (store->loaded)
		return verify(store, epoch, revision);
	store->epoch = epoch;
	store->revision = revision;
	store->copy.loaded = false;
	store->events->on_load(store->userdata);
	return STEP_LOAD_HOSTS;
}

static int load_rows(struct store *store, const PGresult *result)
{
	enum record_kind kind = (enum record_kind)(store->step - STEP_LOAD_HOSTS) + RECORD_HOST;
	struct error err = ERROR_INIT;

	for (int i = 0; i < PQntuples(result); i++) {
		struct record *record;
		int r;

		r = store_row_decode(kind, result, i, &record, &err);
		if (r == 0)
			r = store->events->on_row(store->userdata, record);
		if (r < 0) {
			store_fatal(store, "a row of kind %s cannot be used: %s",
				    record_kind_name(kind), error_text(&err, r));
			return -1;
		}
	}
	return store->step;
}

static int after_load(struct store *store)
{
	if (store->step != STEP_LOAD_KEYS)
		return store->step + 1;
	if (store->copy.reading)
		return STEP_FOLLOW_COMMIT;
	store->loaded = true;
	store->events->on_leader(store->userdata, store->epoch, store->revision);
	return STEP_LEASE;
}

static int after_prepare(struct store *store)
{
	return ++store->prepared < store_n_statements ? STEP_PREPARE : STEP_READY;
}

static int after_try_lock(struct store *store, const PGresult *result)
{
	if (is_true(result))
		return STEP_SCHEMA;
	if (store->role != STORE_WAITING)
		log_info("database", "another schedd is the leader: following it");
	store_set_role(store, STORE_WAITING, "");
	return STEP_FOLLOW_SCHEMA;
}

/* The last result of a step; NULL result for those that have none of interest. */
static int next_step(struct store *store, const PGresult *result)
{
	switch (store->step) {
	case STEP_SETTINGS:
		return STEP_TRY_LOCK;
	case STEP_TRY_LOCK:
		return after_try_lock(store, result);
	case STEP_FOLLOW_SCHEMA:
	case STEP_FOLLOW_VERSION:
	case STEP_FOLLOW_LEADER:
	case STEP_FOLLOW_BEGIN:
	case STEP_FOLLOW_REVISION:
	case STEP_FOLLOW_DEPARTED:
	case STEP_FOLLOW_COMMIT:
		return store_follow_next(store, result);
	case STEP_SCHEMA:
	case STEP_MIGRATE:
		return STEP_VERSION;
	case STEP_VERSION:
		return after_version(store, result);
	case STEP_LEAD:
		return after_lead(store, result);
	case STEP_LOAD_HOSTS:
	case STEP_LOAD_GATEWAYS:
	case STEP_LOAD_ENVIRONMENTS:
	case STEP_LOAD_PORTS:
	case STEP_LOAD_CUSTOMERS:
	case STEP_LOAD_TOKENS:
	case STEP_LOAD_KEYS:
		return after_load(store);
	case STEP_LEASE:
		return STEP_PREPARE;
	case STEP_PREPARE:
		return after_prepare(store);
	case STEP_READY:
	case STEP_PAUSE:
		break;
	}
	return -1;
}

static void ready(struct store *store)
{
	if (!PQenterPipelineMode(store->connection)) {
		store_lost(store, "cannot pipeline: %s", PQerrorMessage(store->connection));
		return;
	}
	backoff_reset(&store->backoff);
	store->address_unwritten = true;
	store_idle(store);
	store_set_role(store, STORE_READY, "");
}

static void enter(struct store *store, enum store_step step)
{
	store->step = step;
	if (step == STEP_READY)
		ready(store);
	else if (step == STEP_PAUSE)
		(void)loop_timer_arm(&store->timer, FOLLOW_MS);
	else if (!send_step(store) || store_flush(store) < 0)
		store_lost(store, "cannot send: %s", PQerrorMessage(store->connection));
}

void store_session_start(struct store *store)
{
	struct error err = ERROR_INIT;

	/* Before anything is asked: a text that cannot be written would be refused by the database,
	 * and with it all that is committed together. */
	if (store_check_encoding(store->connection, &err) < 0) {
		store_fatal(store, "%s", err.message);
		return;
	}
	store->prepared = 0;
	store->schema_version = 0;
	store_set_role(store, STORE_STARTING, "");
	enter(store, STEP_SETTINGS);
}

/* Takes one result; false where the session has ended. */
static bool take_result(struct store *store, const PGresult *result)
{
	switch (PQresultStatus(result)) {
	case PGRES_COMMAND_OK:
	case PGRES_TUPLES_OK:
		return true;
	case PGRES_SINGLE_TUPLE:
		return load_rows(store, result) >= 0;
	default:
		store_lost(store, "%s", PQresultErrorMessage(result));
		return false;
	}
}

/* The answer to a step is complete: a result and the end of it may come in different datagrams. */
static bool step_ended(struct store *store)
{
	_cleanup_pg_result_ PGresult *last = TAKE_PTR(store->last);
	int step = next_step(store, last);

	if (step < 0)
		return false;
	enter(store, (enum store_step)step);
	return store->role != STORE_READY;
}

void store_session_read(struct store *store)
{
	while (store->connection && !PQisBusy(store->connection)) {
		PGresult *result = PQgetResult(store->connection);

		if (result) {
			PQclear(store->last);
			store->last = result;
			if (!take_result(store, result))
				return;
		} else if (!store->last || !step_ended(store)) {
			return; /* nothing was asked: a notice or a parameter; or the end */
		}
	}
}

void store_session_again(struct store *store)
{
	enter(store, store->copy.loaded ? STEP_FOLLOW_LEADER : STEP_TRY_LOCK);
}
