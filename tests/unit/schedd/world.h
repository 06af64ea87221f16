/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A scheduler without database and without clock, for the tests that move both themselves: the
 * store and the clocks are replaced when linking (see meson.build). What was committed is kept as
 * rows, of which another scheduler can be made, as after a crash.
 */
#pragma once

#include <errno.h>

#include "lib/clock.h"
#include "lib/log.h"
#include "schedd/scheduler_private.h"
#include "schedd/state_private.h"
#include "tests/unit/schedd/rows.h"

#define WORLD_OFFLINE_MS 4000
#define WORLD_LEASE_MS 8000
#define WORLD_MARGIN_MS 4000
#define WORLD_QUARANTINE_S 30
#define WORLD_ROWS_MAX 512

int __wrap_store_new(struct store **ret, struct event_base *base, const struct store_config *config,
		     const struct store_events *events, void *userdata);
void __wrap_store_free(struct store *store);
enum store_role __wrap_store_role(const struct store *store);
int __wrap_store_commit(struct store *store, uint64_t epoch, const struct batch *batch);
uint64_t __wrap_clock_monotonic_ms(void);
int64_t __wrap_clock_unix_seconds(void);
void *__wrap_array_grow(void *items, size_t size, size_t n, size_t *allocated);
void *__real_array_grow(void *items, size_t size, size_t n, size_t *allocated);

static struct world {
	uint64_t ms;    /* monotonic */
	int64_t step;   /* how far the time of the day was set */
	uint64_t epoch; /* the database: */
	uint64_t revision;
	struct record *rows[WORLD_ROWS_MAX];
	size_t n_rows;
	const struct batch *flight; /* on its way; NULL: none */
	enum store_role role;
	const struct store_events *events;
	void *userdata;
	struct event_base *base;
	struct scheduler *scheduler;
	bool no_memory; /* for arrays that grow */
} world;

uint64_t __wrap_clock_monotonic_ms(void)
{
	return world.ms;
}

int64_t __wrap_clock_unix_seconds(void)
{
	return ROW_TIME + (int64_t)(world.ms / 1000) + world.step;
}

void *__wrap_array_grow(void *items, size_t size, size_t n, size_t *allocated)
{
	return world.no_memory ? NULL : __real_array_grow(items, size, n, allocated);
}

/* ---- the store ---- */

int __wrap_store_new(struct store **ret, struct event_base *base, const struct store_config *config,
		     const struct store_events *events, void *userdata)
{
	world.events = events;
	world.userdata = userdata;
	*ret = (struct store *)&world;
	return 0;
}

void __wrap_store_free(struct store *store)
{
}

enum store_role __wrap_store_role(const struct store *store)
{
	return world.role;
}

int __wrap_store_commit(struct store *store, uint64_t epoch, const struct batch *batch)
{
	cr_assert_null(world.flight);
	cr_assert_eq(epoch, world.epoch);
	cr_assert_eq(batch->from_revision, world.revision);
	world.flight = batch;
	return 0;
}

static size_t world_find(const struct record *record)
{
	char wanted[RECORD_ID_MAX], other[RECORD_ID_MAX];
	const char *id = record_id(record, wanted);
	size_t i = 0;

	while (i < world.n_rows && (world.rows[i]->kind != record->kind ||
				    strcmp(record_id(world.rows[i], other), id) != 0))
		i++;
	return i;
}

/* As the database does; a row that is gone is no row. */
static void world_write(const struct record *record)
{
	size_t i = world_find(record);

	if (i < world.n_rows) {
		record_free(world.rows[i]);
		world.rows[i] = world.rows[--world.n_rows];
	}
	if (record->gone)
		return;
	cr_assert(world.n_rows < WORLD_ROWS_MAX);
	world.rows[world.n_rows] = record_copy(record);
	cr_assert(world.rows[world.n_rows]);
	world.rows[world.n_rows++]->revision = record->revision;
}

static void world_persist(void)
{
	for (size_t i = 0; i < world.flight->n; i++)
		world_write(world.flight->changes[i].entry->flight);
	world.revision = world.flight->to_revision;
}

/* The commit on its way comes to its end. */
static inline void world_commit(void)
{
	if (!world.flight || world.role != STORE_READY)
		return;
	world_persist();
	world.flight = NULL;
	world.events->on_commit(world.userdata, 0, "");
}

/* The connection to the database is gone, with the commit on its way. */
static inline void world_lose_database(void)
{
	if (world.role == STORE_DOWN)
		return;
	world.role = STORE_DOWN;
	world.events->on_role(world.userdata, world.role, "lost");
}

/* It is back, and that commit has happened, or has not. */
static inline void world_find_database(bool happened)
{
	if (world.role != STORE_DOWN)
		return;
	world.role = STORE_STARTING;
	if (world.flight && happened)
		world_persist();
	if (world.flight) {
		world.flight = NULL;
		world.events->on_commit(world.userdata, happened ? 0 : -ENOTCONN, "");
	}
	world.role = STORE_READY;
	world.events->on_role(world.userdata, world.role, "");
}

/* What the scheduler does now. */
static inline void world_turn(void)
{
	scheduler_wake(world.scheduler);
	(void)event_base_loop(world.base, EVLOOP_NONBLOCK);
}

/* Until it has nothing more to do, at this time. */
static inline void world_settle(void)
{
	for (int i = 0; i < 100; i++) {
		world_turn();
		if (!world.flight)
			return;
		world_commit();
	}
	cr_assert_fail("it does not come to rest");
}

/* ---- the scheduler ---- */

static void on_commit(void *userdata, const struct batch *batch)
{
}

static void on_reset(void *userdata)
{
}

static void on_fatal(void *userdata, const char *reason)
{
	cr_assert_fail("%s", reason);
}

static void world_scheduler(void)
{
	static const struct scheduler_events events = {
		.on_commit = on_commit,
		.on_reset = on_reset,
		.on_fatal = on_fatal,
	};
	struct port_pool pool = { 0 };
	struct address address;
	const struct scheduler_config config = {
		.database = "",
		.holder = "",
		.address = "",
		.pool = &pool,
		.limits = { .quarantine_s = WORLD_QUARANTINE_S,
			    .withdraw_timeout_s = 5,
			    .unready_grace_ms = 2000,
			    .expiry_warning_s = 60 },
		.offline_after_ms = WORLD_OFFLINE_MS,
		.lease_ms = WORLD_LEASE_MS,
		.lease_margin_ms = WORLD_MARGIN_MS,
		.cpu_overcommit = 100,
	};

	cr_assert_eq(address_parse("203.0.113.10", &address), 0);
	cr_assert_eq(port_pool_init(&pool, &address, 1, 30001, 30020, NULL), 0);
	world.role = STORE_STARTING;
	cr_assert_eq(scheduler_new(&world.scheduler, world.base, &config, &events, NULL), 0);
}

/* Loads what the database has into a new leader. */
static void world_lead(void)
{
	world_scheduler();
	world.epoch++;
	world.events->on_load(world.userdata);
	for (int kind = 0; kind < RECORD_KIND_MAX; kind++)
		for (size_t i = 0; i < world.n_rows; i++)
			if ((int)world.rows[i]->kind == kind)
				cr_assert_eq(world.events->on_row(world.userdata,
								  record_copy(world.rows[i])),
					     0);
	world.events->on_leader(world.userdata, world.epoch, world.revision);
	world.role = STORE_READY;
	world.events->on_role(world.userdata, world.role, "");
}

static inline void world_begin(void)
{
	log_set_level(LOG_LEVEL_ERROR);
	world = (struct world){ .ms = 1000000, .base = event_base_new() };
	cr_assert(world.base);
	world_lead();
}

/* The leader is killed, and another one begins. What was on its way has happened, or has not. */
static inline void world_crash(bool happened)
{
	if (world.flight && happened)
		world_persist();
	world.flight = NULL;
	scheduler_free(world.scheduler);
	world_lead();
}

static inline void world_end(void)
{
	scheduler_free(world.scheduler);
	event_base_free(world.base);
	while (world.n_rows > 0)
		record_free(world.rows[--world.n_rows]);
}

/* ---- requests ---- */

static void world_done(void *userdata, const struct error *err, const char *id)
{
}

static inline void world_register_host(const char *name, int cpu_milli)
{
	_cleanup_json_ json_t *json =
		json_pack("{s:s, s:s, s:s, s:{}, s:{s:i, s:I}, s:s}", "name", name, "address",
			  "10.0.1.2", "pool", "default", "labels", "capacity", "cpu_milli",
			  cpu_milli, "memory_bytes", (json_int_t)8 << 30, "version", "1");
	struct host_registration registration;
	struct error err = ERROR_INIT;

	cr_assert_eq(host_registration_decode(json, &registration, &err), 0, "%s", err.message);
	cr_assert_eq(scheduler_register_host(world.scheduler, &registration, "test", world_done,
					     NULL, &err),
		     0, "%s", err.message);
	host_registration_clear(&registration);
}

static inline void world_register_gateway(const char *name)
{
	_cleanup_json_ json_t *json = json_pack("{s:s, s:[s], s:s}", "name", name, "addresses",
						"203.0.113.10", "version", "1");
	struct gateway_registration registration;
	struct error err = ERROR_INIT;

	cr_assert_eq(gateway_registration_decode(json, &registration, &err), 0);
	cr_assert_eq(scheduler_register_gateway(world.scheduler, &registration, "test", world_done,
						NULL, &err),
		     0, "%s", err.message);
	gateway_registration_clear(&registration);
}

/* 400 milli CPU and one service. */
static inline int world_create_as(const char *id, const char *name, bool movable, struct error *err)
{
	struct environment *environment = environment_new();
	struct environment_origin *origin = environment->origin;
	_cleanup_json_ json_t *json =
		json_pack("{s:s, s:s, s:i, s:i, s:[{s:s, s:i}], s:{s:s}}", "name", name, "image",
			  "x", "cpu_milli", 400, "memory_bytes", 1 << 24, "services", "name", "ssh",
			  "port", 22, "volumes", "code", movable ? "shared" : "local");

	cr_assert_eq(environment_spec_decode(json, &origin->spec, err), 0, "%s", err->message);
	(void)snprintf(origin->id, sizeof(origin->id), "%s", id);
	origin->login = strdup("developer");
	origin->password_hash = strdup("$y$");
	origin->ssh_host_key = strdup("KEY");
	origin->ssh_host_key_public = strdup("ssh-ed25519 AAAA");
	return scheduler_create(world.scheduler, environment, "test", world_done, NULL, err);
}

/* The same with the id "env-" and the name. */
static inline int world_create(const char *name, bool movable, struct error *err)
{
	char id[ENVIRONMENT_ID_MAX + 1];

	(void)snprintf(id, sizeof(id), "env-%s", name);
	return world_create_as(id, name, movable, err);
}

static inline const struct environment *world_environment(const char *id)
{
	struct environment_entry *entry = state_environment(&world.scheduler->state, id);

	return entry ? environment_newest(entry) : NULL;
}
