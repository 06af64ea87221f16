/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Writing a batch: all of its statements and the leader's step in one pipeline, which PostgreSQL
 * runs as one transaction up to the sync. So a batch costs one round trip and one flush to disk,
 * whatever its size, and an error anywhere in it undoes it whole. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "lib/log.h"
#include "lib/loop.h"
#include "schedd/store_private.h"

/* Raised by leader_advance. */
#define SQLSTATE_NOT_LEADER "PL001"

static int send_batch(struct store *store, uint64_t epoch, const struct batch *batch)
{
	int r = store_idle_before_batch(store);

	if (r == 0)
		r = store_send_rows(store->connection, batch);
	if (r == 0)
		r = store_send_advance(store->connection, epoch, batch);
	if (r == 0 && !PQpipelineSync(store->connection))
		r = -EIO;
	return r == 0 ? store_flush(store) : r;
}

int store_commit(struct store *store, uint64_t epoch, const struct batch *batch)
{
	int r;

	if (store->role != STORE_READY)
		return -ENOTCONN;
	if (store->flight.active)
		return -EBUSY;
	store->flight = (struct store_flight){
		.active = true,
		.from_revision = batch->from_revision,
		.to_revision = batch->to_revision,
	};
	r = send_batch(store, epoch, batch);
	if (r == 0) {
		(void)loop_timer_arm(&store->timer, STORE_ANSWER_TIMEOUT_MS);
		return 0;
	}
	/* The sync was not sent, so nothing of it can be committed; libpq's queue is not to be used
	 * any more. */
	store->flight.active = false;
	store_lost(store, "cannot send a commit: %s", PQerrorMessage(store->connection));
	return -ENOTCONN;
}

void store_commit_end(struct store *store, int result, const char *message)
{
	char kept[REASON_MAX];

	(void)snprintf(kept, sizeof(kept), "%s", message);
	store->flight.active = false;
	store->events->on_commit(store->userdata, result, kept);
}

/* One result. True where it ended the batch. */
static bool take_result(struct store *store, const PGresult *result)
{
	const char *state = PQresultErrorField(result, PG_DIAG_SQLSTATE);

	switch (PQresultStatus(result)) {
	case PGRES_COMMAND_OK:
	case PGRES_TUPLES_OK:
	case PGRES_PIPELINE_ABORTED:
		return false;
	case PGRES_PIPELINE_SYNC:
		return true;
	default:
		break;
	}
	if (state && strcmp(state, SQLSTATE_NOT_LEADER) == 0)
		store_fatal(store, "%s", PQresultErrorMessage(result));
	else if (!store->flight.failed)
		(void)snprintf(store->flight.message, sizeof(store->flight.message), "%s",
			       PQresultErrorMessage(result));
	store->flight.failed = true;
	return false;
}

static void batch_ended(struct store *store)
{
	store_idle(store);
	if (store->flight.failed) {
		store_commit_end(store, -EIO, store->flight.message);
		return;
	}
	store->revision = store->flight.to_revision;
	store_commit_end(store, 0, "");
}

void store_commit_read(struct store *store)
{
	/* In a pipeline each statement's results end with a NULL. */
	bool null_before = false;

	while (store->connection && !PQisBusy(store->connection)) {
		_cleanup_pg_result_ PGresult *result = PQgetResult(store->connection);

		if (!result && null_before)
			return;
		null_before = !result;
		if (!result)
			continue;
		if (store_idle_take(store, result))
			continue;
		if (!store->flight.active) {
			log_warning("database", "an answer that was not asked for: %s",
				    PQresultErrorMessage(result));
			continue;
		}
		if (take_result(store, result) && store->flight.active)
			batch_ended(store);
	}
}
