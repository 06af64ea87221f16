/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the files of the store share. */
#pragma once

#include <event2/event_struct.h>
#include <libpq-fe.h>

#include "lib/backoff.h"
#include "schedd/store.h"

#define STORE_ANSWER_TIMEOUT_MS 30000

/* Two numbers that make the leader's advisory lock: "PORT", 1. */
#define STORE_LOCK "1347375700, 1"

static inline void cleanup_pg_result(PGresult **result)
{
	PQclear(*result);
}
#define _cleanup_pg_result_ _cleanup_(cleanup_pg_result)

/* The statements of store_rows.c, prepared once for each connection. */
struct store_statement {
	const char *name;
	const char *sql;
};
extern const struct store_statement store_statements[];
extern const size_t store_n_statements;

/* What a new connection asks, in this order; see store_session.c and, for a standby,
 * store_follow.c. */
enum store_step {
	STEP_SETTINGS,
	STEP_TRY_LOCK,
	STEP_FOLLOW_SCHEMA,
	STEP_FOLLOW_VERSION,
	STEP_FOLLOW_LEADER,
	STEP_FOLLOW_BEGIN,
	STEP_FOLLOW_REVISION,
	STEP_FOLLOW_DEPARTED,
	STEP_SCHEMA,
	STEP_VERSION,
	STEP_MIGRATE,
	STEP_LEAD,
	STEP_LOAD_HOSTS,
	STEP_LOAD_GATEWAYS,
	STEP_LOAD_ENVIRONMENTS,
	STEP_LOAD_PORTS,
	STEP_LOAD_CUSTOMERS,
	STEP_LOAD_TOKENS,
	STEP_LOAD_KEYS,
	STEP_FOLLOW_COMMIT,
	STEP_LEASE,
	STEP_PREPARE,
	STEP_READY,
	STEP_PAUSE, /* nothing is asked until the timer says so */
};

/* The batch on its way. */
struct store_flight {
	bool active;
	bool failed; /* an error was seen; the rest of the pipeline is skipped up to its sync */
	uint64_t from_revision, to_revision;
	char message[REASON_MAX];
};

/* What a standby has read. */
struct store_copy {
	bool reading; /* rows are on their way */
	bool loaded;  /* memory holds what revision says */
	uint64_t epoch, revision;
	uint64_t next_epoch, next_revision; /* once all is read */
	int64_t since;                      /* rows of later revisions are read; -1: all */
	char address[STORE_ADDRESS_MAX];    /* the leader's */
};

struct store {
	struct event_base *base;
	const struct store_events *events;
	void *userdata;
	char *conninfo, *holder, *address;
	bool address_unwritten; /* the leader's row may have another */
	enum store_role role;
	PGconn *connection; /* NULL while down */
	struct event readable, writable, timer;
	struct backoff backoff;
	bool connecting;
	bool fatal;
	bool loaded;              /* as leader: memory holds what revision says */
	uint64_t epoch, revision; /* of the leader's row as we wrote it last */
	struct store_copy copy;
	enum store_step step;
	PGresult *last; /* of the step, until its end has come */
	uint64_t event_retention_s;
	unsigned cpu_overcommit;
	uint64_t forget_ms; /* monotonic: when what is old is looked for next */
	unsigned questions; /* beside batches, in the pipeline; see store_idle.c */
	unsigned schema_version;
	unsigned other_version; /* of the schema that a standby found and does not know; 0: none */
	size_t prepared;
	struct store_flight flight;
};

/* Closes the connection and comes back later. Calls no callback but on_role. */
void store_lost(struct store *store, const char *format, ...) _printf_(2, 3);
void store_fatal(struct store *store, const char *format, ...) _printf_(2, 3);
void store_set_role(struct store *store, enum store_role role, const char *reason);
/* Can the database hold every text that the API takes? -EINVAL. */
int store_check_encoding(const PGconn *connection, struct error *err) _must_check_;
/* Sends what is queued; -EIO where the connection is lost. */
int store_flush(struct store *store) _must_check_;

/* The session's set-up, step by step, once connected. */
void store_session_start(struct store *store);
void store_session_read(struct store *store);

/* A standby's time to look again. */
void store_session_again(struct store *store);

/* ---- a standby: store_follow.c ---- */

/* Sends the query of a STEP_FOLLOW_… step. 0 where it cannot. */
int store_follow_send(struct store *store);
/* What its answer means: the next step, STEP_PAUSE, or -1 once it has ended the session. */
int store_follow_next(struct store *store, const PGresult *result);

/* ---- an idle leader: store_idle.c ---- */

/* Before a batch, where it is time, so that a leader that is always busy forgets, too. -EIO. */
int store_idle_before_batch(struct store *store) _must_check_;
/* No batch is on its way: asks something now and then. */
void store_idle(struct store *store);
void store_idle_ask(struct store *store);
/* Takes a result of such a question; false where it belongs to a batch. */
bool store_idle_take(struct store *store, const PGresult *result);

/* The results of the batch on its way. */
void store_commit_read(struct store *store);
/* Ends the flight and calls on_commit. */
void store_commit_end(struct store *store, int result, const char *message);

/* ---- rows ---- */

/* The query that loads the rows of a kind that changed after revision $1, and one of its rows as a
 * record. */
const char *store_load_query(enum record_kind kind);
int store_row_decode(enum record_kind kind, const PGresult *result, int row, struct record **ret,
		     struct error *err) _must_check_;
/* A column of a number type; 0 for SQL's NULL. */
uint64_t store_number(const PGresult *result, int row, int column);
/* Sends the statements that write the rows of a batch and its events. */
int store_send_rows(PGconn *connection, const struct batch *batch) _must_check_;
/* Sends the step of the leader's row from the batch's first revision to its last. */
int store_send_advance(PGconn *connection, uint64_t epoch, const struct batch *batch) _must_check_;
