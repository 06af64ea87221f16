/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A standby's copy of the rows. It looks at the leader's row at short intervals, tries for the lock
 * on the way, and reads what has a higher revision than its copy, as of one moment. Where the
 * leader has forgotten what was removed since then, it reads everything. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "lib/log.h"
#include "schedd/migrations.h"
#include "schedd/store_private.h"

#define MARK                                        \
	"epoch, revision, address, departed_since," \
	" (SELECT max(version) FROM schema_migrations)"

static int send_departed(struct store *store)
{
	char since[24];
	const char *values[] = { since };

	(void)snprintf(since, sizeof(since), "%" PRId64, store->copy.since);
	return PQsendQueryParams(store->connection,
				 "SELECT kind, id FROM departed WHERE revision > $1"
				 " UNION SELECT 'environment', id FROM environments"
				 " WHERE phase = 'deleted' AND revision > $1"
				 " UNION SELECT 'customer', id FROM customers"
				 " WHERE deleted AND revision > $1",
				 1, NULL, values, NULL, NULL, 0);
}

int store_follow_send(struct store *store)
{
	static const char *const queries[] = {
		[STEP_FOLLOW_SCHEMA] = "SELECT to_regclass('schema_migrations') IS NOT NULL",
		[STEP_FOLLOW_VERSION] = "SELECT coalesce(max(version), 0) FROM schema_migrations",
		[STEP_FOLLOW_LEADER] =
			"SELECT pg_try_advisory_lock(" STORE_LOCK "), " MARK " FROM leader",
		[STEP_FOLLOW_BEGIN] = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY",
		[STEP_FOLLOW_REVISION] = "SELECT NULL, " MARK " FROM leader",
		[STEP_FOLLOW_COMMIT] = "COMMIT",
	};

	if (store->step == STEP_FOLLOW_DEPARTED)
		return send_departed(store);
	return PQsendQuery(store->connection, queries[store->step]);
}

unsigned store_other_schema(const struct store *store)
{
	return store->role == STORE_WAITING ? store->other_version : 0;
}

/* ---- answers ---- */

static bool is_true(const PGresult *result)
{
	return PQntuples(result) == 1 && *PQgetvalue(result, 0, 0) == 't';
}

static void tell(const struct store *store)
{
	const struct store_copy *copy = &store->copy;

	store->events->on_copied(store->userdata, copy->epoch, copy->revision, copy->address);
}

/* Is the schema another than this program's? Where it is, nothing of it is read, and what was read
 * before is what there is. Said once, and again in the answers of whoever asks. */
static bool is_other_schema(struct store *store, unsigned version)
{
	unsigned before = store->other_version;

	store->other_version = version == n_migrations ? 0 : version;
	if (store->other_version == 0 || store->other_version == before)
		return store->other_version > 0;
	if (version > n_migrations)
		log_error("standby",
			  "the schema has version %u and this schedd knows %u: it has no copy and "
			  "cannot lead; install the leader's version",
			  version, n_migrations);
	else
		log_warning("standby",
			    "the schema has version %u and this schedd knows %u: it has no copy "
			    "until it leads and brings the schema up to date",
			    version, n_migrations);
	return true;
}

static int after_leader(struct store *store, const PGresult *result)
{
	uint64_t epoch = store_number(result, 0, 1), revision = store_number(result, 0, 2);

	if (is_true(result)) {
		store_set_role(store, STORE_STARTING, "");
		return STEP_SCHEMA;
	}
	if (store->loaded) {
		/* We were the leader. Somebody has the lock: our own old session, which the server
		 * has not given up yet, or the next leader, and then memory is of no use. */
		if (epoch == store->epoch)
			return STEP_PAUSE;
		store_fatal(store,
			    "another schedd became the leader (epoch %" PRIu64 ", ours was %" PRIu64
			    ")",
			    epoch, store->epoch);
		return -1;
	}
	if (is_other_schema(store, (unsigned)store_number(result, 0, 5)))
		return STEP_PAUSE;
	if (!store->copy.loaded || epoch != store->copy.epoch || revision != store->copy.revision ||
	    strcmp(PQgetvalue(result, 0, 3), store->copy.address) != 0)
		return STEP_FOLLOW_BEGIN;
	tell(store);
	return STEP_PAUSE;
}

/* The copy will be of this moment. */
static int after_revision(struct store *store, const PGresult *result)
{
	struct store_copy *copy = &store->copy;

	if (PQntuples(result) != 1) {
		store_lost(store, "table leader has %d rows and not one", PQntuples(result));
		return -1;
	}
	/* Migrated since we looked: this transaction ends with the session. */
	if (is_other_schema(store, (unsigned)store_number(result, 0, 5))) {
		store_lost(store, "the schema was migrated");
		return -1;
	}
	copy->reading = true;
	copy->next_epoch = store_number(result, 0, 1);
	copy->next_revision = store_number(result, 0, 2);
	(void)snprintf(copy->address, sizeof(copy->address), "%s", PQgetvalue(result, 0, 3));
	if (copy->loaded && copy->revision <= copy->next_revision &&
	    copy->revision >= store_number(result, 0, 4)) {
		copy->since = (int64_t)copy->revision;
		return STEP_FOLLOW_DEPARTED;
	}
	copy->loaded = false;
	copy->since = -1;
	store->events->on_load(store->userdata);
	return STEP_LOAD_HOSTS;
}

static enum record_kind kind_of(const char *name)
{
	int kind = 0;

	while (kind < RECORD_KIND_MAX &&
	       strcmp(record_kind_name((enum record_kind)kind), name) != 0)
		kind++;
	return (enum record_kind)kind;
}

static int after_departed(struct store *store, const PGresult *result)
{
	for (int i = 0; i < PQntuples(result); i++) {
		enum record_kind kind = kind_of(PQgetvalue(result, i, 0));
		const char *id = PQgetvalue(result, i, 1);

		if (kind == RECORD_KIND_MAX ||
		    store->events->on_departed(store->userdata, kind, id,
					       store->copy.next_revision) < 0) {
			store_fatal(store, "%s %s is gone, and the copy cannot follow",
				    PQgetvalue(result, i, 0), id);
			return -1;
		}
	}
	return STEP_LOAD_HOSTS;
}

static int after_commit(struct store *store, const PGresult *result)
{
	struct store_copy *copy = &store->copy;

	copy->reading = false;
	copy->loaded = true;
	copy->epoch = copy->next_epoch;
	copy->revision = copy->next_revision;
	tell(store);
	return STEP_PAUSE;
}

static int after_version(struct store *store, const PGresult *result)
{
	unsigned version = (unsigned)store_number(result, 0, 0);

	return is_other_schema(store, version) ? STEP_PAUSE : STEP_FOLLOW_LEADER;
}

static int after_schema(struct store *store, const PGresult *result)
{
	return is_true(result) ? STEP_FOLLOW_VERSION : STEP_PAUSE;
}

static int after_begin(struct store *store, const PGresult *result)
{
	return STEP_FOLLOW_REVISION;
}

int store_follow_next(struct store *store, const PGresult *result)
{
	static int (*const after[])(struct store * store, const PGresult *result) = {
		[STEP_FOLLOW_SCHEMA] = after_schema,     [STEP_FOLLOW_VERSION] = after_version,
		[STEP_FOLLOW_LEADER] = after_leader,     [STEP_FOLLOW_BEGIN] = after_begin,
		[STEP_FOLLOW_REVISION] = after_revision, [STEP_FOLLOW_DEPARTED] = after_departed,
		[STEP_FOLLOW_COMMIT] = after_commit,
	};

	return after[store->step](store, result);
}
