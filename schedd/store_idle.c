/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A leader that has nothing to commit says now and then that it lives: the server ends a session
 * that stays silent for the time of its lease (store_session.c), so that a leader that was stopped
 * does not keep the lock for ever. */
#include "lib/log.h"
#include "lib/loop.h"
#include "schedd/store_private.h"

#define IDLE_MS 3000

void store_idle(struct store *store)
{
	(void)loop_timer_arm(&store->timer,
			     store->questions > 0 ? STORE_ANSWER_TIMEOUT_MS : IDLE_MS);
}

void store_idle_ask(struct store *store)
{
	if (!PQsendQueryParams(store->connection, "SELECT 1", 0, NULL, NULL, NULL, NULL, 0) ||
	    !PQpipelineSync(store->connection) || store_flush(store) < 0) {
		store_lost(store, "connection lost: %s", PQerrorMessage(store->connection));
		return;
	}
	store->questions++;
	store_idle(store);
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
	case PGRES_COMMAND_OK:
		break;
	default:
		log_warning("database", "%s", PQresultErrorMessage(result));
		break;
	}
	return true;
}
