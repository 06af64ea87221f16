/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What a leader asks beside its batches. With nothing to commit it says now and then that it lives:
 * the server ends a session that stays silent for the time of its lease (store_session.c), so that
 * a leader that was stopped does not keep the lock for ever. Once in a while it has the database
 * forget what is old, a little at a time. */
#include <errno.h>

#include "lib/clock.h"
#include "lib/log.h"
#include "lib/loop.h"
#include "schedd/store_columns.h"

#define IDLE_MS 3000
#define FORGET_MS 60000

static bool forget_is_due(const struct store *store)
{
	return store->event_retention_s > 0 && clock_monotonic_ms() >= store->forget_ms;
}

void store_idle(struct store *store)
{
	(void)loop_timer_arm(&store->timer,
			     store->questions > 0 ? STORE_ANSWER_TIMEOUT_MS : IDLE_MS);
}

/* Where the connection is lost before the answer, the next session writes it again. */
static int send_address(struct store *store)
{
	struct params params = { .n = 0 };

	store->address_unwritten = false;
	add_number(&params, store->epoch);
	add_text(&params, store->address);
	return execute(store->connection, "address", &params);
}

static int send_question(struct store *store)
{
	struct params params = { .n = 0 };

	if (store->address_unwritten)
		return send_address(store);
	if (!forget_is_due(store))
		return PQsendQueryParams(store->connection, "SELECT 1", 0, NULL, NULL, NULL, NULL,
					 0)
			       ? 0
			       : -EIO;
	store->forget_ms = clock_monotonic_ms() + FORGET_MS;
	add_number(&params, store->epoch);
	add_number(&params, store->event_retention_s);
	return execute(store->connection, "forget", &params);
}

static int ask(struct store *store)
{
	if (send_question(store) < 0 || !PQpipelineSync(store->connection))
		return -EIO;
	store->questions++;
	return 0;
}

void store_idle_ask(struct store *store)
{
	if (ask(store) < 0 || store_flush(store) < 0) {
		store_lost(store, "connection lost: %s", PQerrorMessage(store->connection));
		return;
	}
	store_idle(store);
}

int store_idle_before_batch(struct store *store)
{
	return store->address_unwritten || forget_is_due(store) ? ask(store) : 0;
}

bool store_idle_take(struct store *store, const PGresult *result)
{
	if (store->questions == 0)
		return false;
	switch (PQresultStatus(result)) {
	case PGRES_PIPELINE_SYNC:
		store->questions--;
		if (!store->flight.active)
			store_idle(store);
		break;
	case PGRES_TUPLES_OK:
		/* There may be more: with the next question. */
		if (PQntuples(result) == 1 && *PQgetvalue(result, 0, 0) == 't')
			store->forget_ms = 0;
		break;
	case PGRES_COMMAND_OK:
		break;
	default:
		log_warning("database", "%s", PQresultErrorMessage(result));
		break;
	}
	return true;
}
