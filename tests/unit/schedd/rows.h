/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Short ways for the tests of schedd to make rows, and batches of them as the committer does. */
#pragma once

#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

#include "schedd/state.h"

#define ROW_TIME 1800000000 /* 2027-01-15T08:00:00Z */

static inline struct endpoint row_endpoint(const char *text)
{
	struct endpoint endpoint = { 0 };

	cr_assert_eq(endpoint_parse(text, &endpoint), 0, "\"%s\"", text);
	return endpoint;
}

/* 203.0.113.10 and 2001:db8::10 with ports 30001-30999. */
static inline void row_state(struct state *state)
{
	struct port_pool pool = { 0 };
	struct address addresses[2];

	cr_assert_eq(address_parse("203.0.113.10", &addresses[0]), 0);
	cr_assert_eq(address_parse("2001:db8::10", &addresses[1]), 0);
	cr_assert_eq(port_pool_init(&pool, addresses, 2, 30001, 30999, NULL), 0);
	state_init(state, &pool);
	state->epoch = 3;
	state->revision = 100;
}

/* Two GPUs, 4 cores, 8 GiB. */
static inline struct host *row_host(const char *name)
{
	struct host *host = host_new();
	struct error err = ERROR_INIT;
	_cleanup_json_ json_t *json = json_pack(
		"{s:s, s:s, s:s, s:{s:s}, s:{s:i, s:I, s:[{s:s, s:s, s:I}, {s:s, s:s, s:I}]}, s:s}",
		"name", name, "address", "10.0.1.2", "pool", "default", "labels", "zone", "a",
		"capacity", "cpu_milli", 4000, "memory_bytes", (json_int_t)8 << 30, "gpus", "uuid",
		"GPU-1", "model", "H200", "memory_bytes", (json_int_t)141 << 30, "uuid", "GPU-2",
		"model", "H200", "memory_bytes", (json_int_t)141 << 30, "version", "1.2");

	cr_assert(host && json);
	cr_assert_eq(host_registration_decode(json, &host->origin->registration, &err), 0, "%s",
		     err.message);
	host->online = true;
	host->status_since = ROW_TIME;
	host->mode_since = ROW_TIME;
	return host;
}

static inline struct gateway *row_gateway(const char *name, const char *address)
{
	struct gateway *gateway = gateway_new();
	struct error err = ERROR_INIT;
	_cleanup_json_ json_t *json = json_pack("{s:s, s:[s], s:s}", "name", name, "addresses",
						address, "version", "1.2");

	cr_assert(gateway && json);
	cr_assert_eq(gateway_registration_decode(json, &gateway->origin->registration, &err), 0,
		     "%s", err.message);
	gateway->online = true;
	gateway->status_since = ROW_TIME;
	return gateway;
}

/* With services ssh (22) and web (8080), and secrets that must not be seen. */
static inline struct environment *row_environment(const char *id, const char *name)
{
	struct environment *environment = environment_new();
	struct environment_origin *origin = environment ? environment->origin : NULL;
	struct error err = ERROR_INIT;
	_cleanup_json_ json_t *json = json_pack(
		"{s:s, s:s, s:i, s:i, s:[{s:s, s:i}, {s:s, s:i}], s:{s:s}}", "name", name, "image",
		"ubuntu:24.04", "cpu_milli", 500, "memory_bytes", 1 << 30, "services", "name",
		"ssh", "port", 22, "name", "web", "port", 8080, "labels", "team", "a");

	cr_assert(origin && json);
	cr_assert_eq(environment_spec_decode(json, &origin->spec, &err), 0, "%s", err.message);
	(void)snprintf(origin->id, sizeof(origin->id), "%s", id);
	origin->login = strdup("developer");
	origin->password_hash = strdup("$y$secret-hash");
	origin->ssh_host_key = strdup("PRIVATE KEY");
	origin->ssh_host_key_public = strdup("ssh-ed25519 AAAA env");
	origin->created_at = ROW_TIME;
	environment->phase_since = ROW_TIME + 5;
	environment->power = true;
	return environment;
}

static inline struct port *row_port(const char *environment, const char *service,
				    const char *endpoint)
{
	struct endpoint at = row_endpoint(endpoint);
	struct port *port = port_new();

	cr_assert(port);
	port->key = (struct mapping_key){ .address = at.address,
					  .port = at.port,
					  .protocol = PROTOCOL_TCP };
	(void)snprintf(port->environment, sizeof(port->environment), "%s", environment);
	(void)snprintf(port->service, sizeof(port->service), "%s", service);
	port->since = ROW_TIME;
	return port;
}

static inline void row_load_record(struct state *state, struct record *record)
{
	record->revision = state->revision;
	cr_assert_eq(state_load(state, record), 0);
}

static inline void row_add_record(struct state *state, struct record *record)
{
	cr_assert_eq(state_add(state, record, NULL), 0);
}

/* Into the state as loaded at start: committed. */
#define row_load(state, row) row_load_record(state, &(row)->record)
/* Into the open batch. */
#define row_add(state, row) row_add_record(state, &(row)->record)
