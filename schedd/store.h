/* SPDX-License-Identifier: GPL-2.0-or-later */
/* PostgreSQL, and the only place that knows libpq: one connection, never blocking. It connects and
 * comes back by itself, keeps a copy of the rows until it is the leader, migrates, loads, and
 * writes batches, one at a time, each as one transaction that the leader's row must agree to.
 *
 * A commit whose answer was lost is never sent again: after the next connection the revision says
 * whether it happened.
 */
#pragma once

#include <event2/event.h>

#include "lib/error.h"
#include "schedd/state.h"

struct store;

enum store_role {
	STORE_DOWN,    /* no connection; tried again with back-off */
	STORE_WAITING, /* another schedd is the leader: a standby, which keeps a copy of the rows */
	STORE_STARTING,
	STORE_READY, /* a batch may be written */
};

#define STORE_ADDRESS_MAX 384 /* of the leader's address, with its end */

struct store_events {
	/* A load begins: whatever was loaded before is to be forgotten. */
	void (*on_load)(void *userdata);
	/* A row, new or, in a standby's copy, another version; taken over. Not 0 ends the load and
	 * is fatal. */
	int (*on_row)(void *userdata, struct record *record);
	/* All rows were given: this process is the leader of this epoch. */
	void (*on_leader)(void *userdata, uint64_t epoch, uint64_t revision);
	/* A standby: a row of its copy is gone, by the revision that is being read. Not 0 is
	 * fatal. */
	int (*on_departed)(void *userdata, enum record_kind kind, const char *id,
			   uint64_t revision);
	/* A standby: its copy is what the leader has committed now. All departures were given, then
	 * all rows; mostly there were none. address is where the leader can be reached, "" for
	 * nowhere. */
	void (*on_copied)(void *userdata, uint64_t epoch, uint64_t revision, const char *address);
	/* At each change of role. reason is a sentence for STORE_DOWN, else "". */
	void (*on_role)(void *userdata, enum store_role role, const char *reason);
	/* The end of the one batch: 0; -ENOTCONN, it did not happen for the connection was lost;
	 * -EIO, the database refused it, with its sentence. */
	void (*on_commit)(void *userdata, int result, const char *message);
	/* Nothing can go on in this process: another is the leader, or the database is not the one
	 * that was written. Called once, from the event loop. */
	void (*on_fatal)(void *userdata, const char *reason);
};

struct store_config {
	const char *conninfo;       /* must hold no password: see store_check_conninfo */
	uint64_t event_retention_s; /* 0: events are not forgotten */
	unsigned cpu_overcommit;    /* of hosts without their own, in percent: the guards in the
				     * database go by it */
	const char *holder;         /* names this process in the leader's row */
	const char *address; /* where standbys reach it, with the pin of its key behind a '#' if it
			      * has one; "" for nowhere */
};

/* Copies the configuration. Connects from the event loop. */
int store_new(struct store **ret, struct event_base *base, const struct store_config *config,
	      const struct store_events *events, void *userdata) _must_check_;
/* Closes the connection at once; the server ends what is open. NULL is fine. */
void store_free(struct store *store);

/* Another address for the leader's row, copied; written soon where this process leads. -ENOMEM. */
int store_set_address(struct store *store, const char *address) _must_check_;

enum store_role store_role(const struct store *store);

/* A standby whose database has another schema than this program: its version; else 0. */
unsigned store_other_schema(const struct store *store);

/* Writes a closed batch; its entries' flight versions must stay until on_commit. -ENOTCONN where
 * the role is not STORE_READY, -EBUSY while one is on its way, -ENOMEM. */
int store_commit(struct store *store, uint64_t epoch, const struct batch *batch) _must_check_;

/* Is this a conninfo string without a secret in it? -EINVAL names what is wrong. */
int store_check_conninfo(const char *conninfo, struct error *err) _must_check_;

/* For --check, blocking: connects and writes to *ret_version the schema's version (0: no schema
 * yet). -EINVAL: the database is there, and is not one that can be used. */
int store_probe(const char *conninfo, unsigned *ret_version, struct error *err) _must_check_;

DEFINE_CLEANUP(struct store *, store_free, cleanup_store)
