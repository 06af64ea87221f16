/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Rows and their columns: the queries that load them and the statements that write them. What is
 * read goes through the decoders of proto/, so a row that was damaged by hand is found at the
 * start. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "lib/number.h"
#include "schedd/store_columns.h"

const struct store_statement store_statements[] = {
	{ "put_host",
	  "INSERT INTO hosts (id, address, pool, labels, version, cpu_milli, memory_bytes, gpus, online,"
	  " mode, status_since, mode_since, revision, cpu_overcommit_percent, silent_ms)"
	  " VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, to_timestamp($11::double precision),"
	  " to_timestamp($12::double precision), $13, $14, $15) ON CONFLICT (id) DO UPDATE SET"
	  " address = excluded.address, pool = excluded.pool, labels = excluded.labels,"
	  " version = excluded.version, cpu_milli = excluded.cpu_milli,"
	  " memory_bytes = excluded.memory_bytes, gpus = excluded.gpus, online = excluded.online,"
	  " mode = excluded.mode, status_since = excluded.status_since,"
	  " mode_since = excluded.mode_since,"
	  " revision = excluded.revision,"
	  " cpu_overcommit_percent = excluded.cpu_overcommit_percent,"
	  " silent_ms = excluded.silent_ms" },
	{ "put_gateway",
	  "INSERT INTO gateways (id, addresses, version, online, status_since, addresses_revision,"
	  " revision) VALUES ($1, $2, $3, $4, to_timestamp($5::double precision), $6, $7)"
	  " ON CONFLICT (id) DO UPDATE SET addresses = excluded.addresses,"
	  " version = excluded.version, online = excluded.online,"
	  " status_since = excluded.status_since,"
	  " addresses_revision = excluded.addresses_revision, revision = excluded.revision" },
	{ "put_environments",
	  "INSERT INTO environments (id, name, spec, cpu_milli, memory_bytes, gpu, gpu_milli, login,"
	  " password_hash, ssh_host_key, ssh_host_key_public, phase, stage, reason, power, host, gpus,"
	  " assignment, assignment_revision, created_at, phase_since, revision, action, move_to,"
	  " expires_at, exit_code, crashes, next_try) SELECT id, name, spec, cpu_milli,"
	  " memory_bytes, gpu, gpu_milli, login, password_hash, ssh_host_key, ssh_host_key_public,"
	  " phase, stage, reason, power, host, gpus, assignment, assignment_revision,"
	  " to_timestamp(created_at), to_timestamp(phase_since), revision, action, move_to,"
	  " to_timestamp(expires_at), exit_code, crashes, to_timestamp(next_try) FROM unnest("
	  "$1::text[], $2::text[], $3::jsonb[], $4::bigint[], $5::bigint[], $6::integer[],"
	  " $7::integer[], $8::text[], $9::text[], $10::text[], $11::text[], $12::text[],"
	  " $13::text[], $14::text[], $15::text[], $16::text[], $17::jsonb[], $18::text[],"
	  " $19::bigint[], $20::float8[], $21::float8[], $22::bigint[], $23::text[], $24::text[],"
	  " $25::float8[], $26::integer[], $27::bigint[], $28::float8[]) AS row (id, name, spec,"
	  " cpu_milli, memory_bytes, gpu, gpu_milli, login, password_hash, ssh_host_key,"
	  " ssh_host_key_public, phase, stage, reason, power, host, gpus, assignment,"
	  " assignment_revision, created_at, phase_since, revision, action, move_to, expires_at,"
	  " exit_code, crashes, next_try)"
	  " ON CONFLICT (id) DO UPDATE SET password_hash = excluded.password_hash,"
	  " ssh_host_key = excluded.ssh_host_key, phase = excluded.phase, stage = excluded.stage,"
	  " reason = excluded.reason, power = excluded.power, host = excluded.host,"
	  " gpus = excluded.gpus, assignment = excluded.assignment,"
	  " assignment_revision = excluded.assignment_revision,"
	  " phase_since = excluded.phase_since, revision = excluded.revision,"
	  " action = excluded.action, move_to = excluded.move_to,"
	  " expires_at = excluded.expires_at, exit_code = excluded.exit_code,"
	  " crashes = excluded.crashes, next_try = excluded.next_try" },
	{ "put_ports",
	  "INSERT INTO port_mappings (address, protocol, port, environment, service, state,"
	  " target_address, target_port, mapping_revision, since, quarantined_until, revision,"
	  " expires_at, waited_ms) SELECT address, protocol, port, environment, service, state,"
	  " target_address, target_port, mapping_revision, to_timestamp(since),"
	  " to_timestamp(quarantined_until), revision, to_timestamp(expires_at), waited_ms"
	  " FROM unnest($1::inet[], $2::text[], $3::integer[],"
	  " $4::text[], $5::text[], $6::text[], $7::inet[], $8::integer[], $9::bigint[],"
	  " $10::float8[], $11::float8[], $12::bigint[], $13::float8[], $14::bigint[]) AS row"
	  " (address, protocol, port, environment, service, state, target_address, target_port,"
	  " mapping_revision, since, quarantined_until, revision, expires_at, waited_ms)"
	  " ON CONFLICT (address, protocol, port)"
	  " DO UPDATE SET state = excluded.state, target_address = excluded.target_address,"
	  " target_port = excluded.target_port, mapping_revision = excluded.mapping_revision,"
	  " since = excluded.since, quarantined_until = excluded.quarantined_until,"
	  " revision = excluded.revision, expires_at = excluded.expires_at,"
	  " waited_ms = excluded.waited_ms"
	  /* a row never changes hands: a port is freed, then taken */
	  " WHERE port_mappings.environment = excluded.environment" },
	{ "put_customer",
	  "WITH customer AS (INSERT INTO customers (id, deleted, created_at, revision) VALUES ($1, $2,"
	  " to_timestamp($3::double precision), $4) ON CONFLICT (id) DO UPDATE SET"
	  " deleted = excluded.deleted, revision = excluded.revision)"
	  " INSERT INTO quotas (customer, environments, cpu_milli, memory_bytes, gpu, ports)"
	  " VALUES ($1, $5, $6, $7, $8, $9) ON CONFLICT (customer) DO UPDATE SET"
	  " environments = excluded.environments, cpu_milli = excluded.cpu_milli,"
	  " memory_bytes = excluded.memory_bytes, gpu = excluded.gpu, ports = excluded.ports" },
	{ "put_token",
	  "INSERT INTO tokens (id, name, role, subject, hash, created_by, created_at, expires_at,"
	  " last_used_at, revision) VALUES ($1, $2, $3, $4, $5, $6,"
	  " to_timestamp($7::double precision), to_timestamp($8::double precision),"
	  " to_timestamp($9::double precision), $10) ON CONFLICT (id) DO UPDATE SET"
	  " last_used_at = excluded.last_used_at, revision = excluded.revision" },
	{ "put_key", "INSERT INTO idempotency_keys (id, fingerprint, subject, created_at, revision,"
		     " caller) VALUES ($1, $2, $3, to_timestamp($4::double precision), $5, $6)" },
	{ "delete_key", "WITH gone AS (DELETE FROM idempotency_keys WHERE id = $2)"
			" INSERT INTO departed (revision, kind, id) VALUES ($1, 'key', $2)" },
	/* A standby is told of what is gone by table departed. */
	{ "delete_host", "WITH gone AS (DELETE FROM hosts WHERE id = $2)"
			 " INSERT INTO departed (revision, kind, id) VALUES ($1, 'host', $2)" },
	{ "delete_gateway",
	  "WITH gone AS (DELETE FROM gateways WHERE id = $2)"
	  " INSERT INTO departed (revision, kind, id) VALUES ($1, 'gateway', $2)" },
	{ "delete_port", "WITH gone AS (DELETE FROM port_mappings"
			 " WHERE address = $3 AND protocol = $4 AND port = $5)"
			 " INSERT INTO departed (revision, kind, id) VALUES ($1, 'port', $2)" },
	{ "delete_token", "WITH gone AS (DELETE FROM tokens WHERE id = $2)"
			  " INSERT INTO departed (revision, kind, id) VALUES ($1, 'token', $2)" },
	{ "add_events",
	  "INSERT INTO events (revision, actor, subject_kind, subject, action, message, customer)"
	  " SELECT * FROM unnest($1::bigint[], $2::text[], $3::text[], $4::text[], $5::text[],"
	  " $6::text[], $7::text[])" },
	{ "forget", "SELECT leader_forget($1, $2)" },
	{ "advance", "SELECT leader_advance($1, $2, $3)" },
	{ "address", "UPDATE leader SET address = $2 WHERE epoch = $1" },
};
const size_t store_n_statements = ARRAY_SIZE(store_statements);

/* ---- writing ---- */

static int send_host(PGconn *connection, const struct host *host)
{
	const struct host_registration *registration = &host->origin->registration;
	_cleanup_json_ json_t *json = host_registration_encode(registration);
	_cleanup_free_ char *labels = NULL, *gpus = NULL;
	char address[ADDRESS_STRING_MAX];
	struct params params = { .n = 0 };

	if (!json)
		return -ENOMEM;
	labels = json_encode(json_object_get(json, "labels"));
	gpus = json_encode(json_object_get(json_object_get(json, "capacity"), "gpus"));
	if (!labels || !gpus)
		return -ENOMEM;
	add_text(&params, registration->name);
	add_text(&params, address_format(&registration->address, address));
	add_text(&params, registration->pool);
	add_text(&params, labels);
	add_text(&params, registration->version);
	add_number(&params, registration->capacity.cpu_milli);
	add_number(&params, registration->capacity.memory_bytes);
	add_text(&params, gpus);
	add_text(&params, host->online ? "true" : "false");
	add_text(&params, host_mode_name(host->mode));
	add_number(&params, (uint64_t)host->status_since);
	add_number(&params, (uint64_t)host->mode_since);
	add_number(&params, host->record.revision);
	if (host->cpu_overcommit > 0)
		add_number(&params, host->cpu_overcommit);
	else
		add_text(&params, NULL);
	add_number(&params, host->silent_ms);
	return execute(connection, "put_host", &params);
}

static int send_gateway(PGconn *connection, const struct gateway *gateway)
{
	const struct gateway_registration *registration = &gateway->origin->registration;
	_cleanup_json_ json_t *json = gateway_registration_encode(registration);
	_cleanup_free_ char *addresses =
		json ? json_encode(json_object_get(json, "addresses")) : NULL;
	struct params params = { .n = 0 };

	if (!addresses)
		return -ENOMEM;
	add_text(&params, registration->name);
	add_text(&params, addresses);
	add_text(&params, registration->version);
	add_text(&params, gateway->online ? "true" : "false");
	add_number(&params, (uint64_t)gateway->status_since);
	add_number(&params, gateway->addresses_revision);
	add_number(&params, gateway->record.revision);
	return execute(connection, "put_gateway", &params);
}

static int send_gone(PGconn *connection, const struct entry *entry)
{
	char address[ADDRESS_STRING_MAX];
	struct params params = { .n = 0 };

	add_number(&params, entry->flight->revision);
	add_text(&params, entry->id);
	switch (entry->kind) {
	case RECORD_HOST:
	case RECORD_GATEWAY:
		return execute(connection,
			       entry->kind == RECORD_HOST ? "delete_host" : "delete_gateway",
			       &params);
	case RECORD_PORT:
		add_key(&params, &((const struct port *)entry->flight)->key, address);
		return execute(connection, "delete_port", &params);
	case RECORD_TOKEN:
		return execute(connection, "delete_token", &params);
	case RECORD_KEY:
		return execute(connection, "delete_key", &params);
	case RECORD_ENVIRONMENT:
	case RECORD_CUSTOMER:
	case RECORD_KIND_MAX:
		break;
	}
	return -EINVAL;
}

static int send_change(PGconn *connection, const struct entry *entry)
{
	switch (entry->kind) {
	case RECORD_HOST:
		return send_host(connection, (const struct host *)entry->flight);
	case RECORD_GATEWAY:
		return send_gateway(connection, (const struct gateway *)entry->flight);
	case RECORD_CUSTOMER:
		return store_send_customer(connection, (const struct customer *)entry->flight);
	case RECORD_TOKEN:
		return store_send_token(connection, (const struct token *)entry->flight);
	case RECORD_KEY:
		return store_send_key(connection, (const struct key *)entry->flight);
	case RECORD_ENVIRONMENT: /* many at a time: store_bulk.c */
	case RECORD_PORT:
	case RECORD_KIND_MAX:
		break;
	}
	return 0;
}

/* A customer's row stays, as deleted, and so does an environment's: others refer to them. */
static bool is_removed(const struct entry *entry)
{
	return entry->flight->gone && entry->kind != RECORD_CUSTOMER &&
	       entry->kind != RECORD_ENVIRONMENT;
}

/* A port goes after the environment that lets go of it, a host after those that left it. */
static bool goes_last(const struct entry *entry)
{
	return is_removed(entry) && (entry->kind == RECORD_HOST || entry->kind == RECORD_GATEWAY ||
				     entry->kind == RECORD_PORT);
}

/* Rows that others refer to come before them. */
int store_send_rows(PGconn *connection, const struct batch *batch)
{
	int r = 0;

	for (size_t i = 0; i < batch->n && r == 0; i++) {
		const struct entry *entry = batch->changes[i].entry;

		if (!goes_last(entry))
			r = is_removed(entry) ? send_gone(connection, entry)
					      : send_change(connection, entry);
	}
	if (r == 0)
		r = store_send_environments(connection, batch);
	if (r == 0)
		r = store_send_ports(connection, batch);
	for (size_t i = 0; i < batch->n && r == 0; i++)
		if (goes_last(batch->changes[i].entry))
			r = send_gone(connection, batch->changes[i].entry);
	return r < 0 ? r : store_send_audits(connection, batch);
}

int store_send_advance(PGconn *connection, uint64_t epoch, const struct batch *batch)
{
	struct params params = { .n = 0 };

	add_number(&params, epoch);
	add_number(&params, batch->from_revision);
	add_number(&params, batch->to_revision);
	return execute(connection, "advance", &params);
}

/* ---- reading ---- */

const char *store_load_query(enum record_kind kind)
{
	switch (kind) {
	case RECORD_HOST:
		return "SELECT id, host(address), pool, labels, version, cpu_milli, memory_bytes, gpus,"
		       " online, mode, extract(epoch FROM status_since)::bigint,"
		       " extract(epoch FROM mode_since)::bigint, revision, cpu_overcommit_percent,"
		       " silent_ms FROM hosts"
		       " WHERE revision > $1 ORDER BY id";
	case RECORD_GATEWAY:
		return "SELECT id, addresses, version, online,"
		       " extract(epoch FROM status_since)::bigint, addresses_revision, revision"
		       " FROM gateways WHERE revision > $1 ORDER BY id";
	case RECORD_ENVIRONMENT:
		return "SELECT id, spec, login, password_hash, ssh_host_key, ssh_host_key_public, phase,"
		       " stage, reason, power, host, gpus, assignment, assignment_revision,"
		       " extract(epoch FROM created_at)::bigint,"
		       " extract(epoch FROM phase_since)::bigint, revision, action, move_to,"
		       " extract(epoch FROM expires_at)::bigint, exit_code, crashes,"
		       " extract(epoch FROM next_try)::bigint FROM environments"
		       " WHERE phase <> 'deleted' AND revision > $1 ORDER BY created_at, id";
	case RECORD_PORT:
		return "SELECT host(address), protocol, port, environment, service, state,"
		       " host(target_address), target_port, mapping_revision,"
		       " extract(epoch FROM since)::bigint,"
		       " extract(epoch FROM quarantined_until)::bigint, revision,"
		       " extract(epoch FROM expires_at)::bigint, waited_ms FROM port_mappings"
		       " WHERE revision > $1 ORDER BY address, protocol, port";
	case RECORD_CUSTOMER:
		return "SELECT id, extract(epoch FROM created_at)::bigint, revision, environments,"
		       " cpu_milli, memory_bytes, gpu, ports FROM customers"
		       " LEFT JOIN quotas ON quotas.customer = customers.id"
		       " WHERE NOT deleted AND revision > $1 ORDER BY id";
	case RECORD_TOKEN:
		return "SELECT id, name, role, subject, encode(hash, 'hex'), created_by,"
		       " extract(epoch FROM created_at)::bigint,"
		       " extract(epoch FROM expires_at)::bigint,"
		       " extract(epoch FROM last_used_at)::bigint, revision FROM tokens"
		       " WHERE revision > $1 ORDER BY created_at, id";
	case RECORD_KEY:
		return "SELECT id, encode(fingerprint, 'hex'), subject,"
		       " extract(epoch FROM created_at)::bigint, revision, caller"
		       " FROM idempotency_keys"
		       " WHERE revision > $1 ORDER BY created_at, id";
	case RECORD_KIND_MAX:
		break;
	}
	return "";
}

uint64_t store_number(const PGresult *result, int row, int column)
{
	uint64_t number = 0;

	if (!PQgetisnull(result, row, column) &&
	    number_parse(PQgetvalue(result, row, column), &number, NULL) < 0)
		return 0; /* the columns are of number types and checked to be positive */
	return number;
}

static int decode_host(struct cursor *cursor, struct record **ret, struct error *err)
{
	_cleanup_(cleanup_host) struct host *host = host_new();
	_cleanup_json_ json_t *json = json_object(), *capacity = json_object();
	int r = host && json && capacity ? 0 : -ENOMEM;

	if (r < 0)
		return r;
	r |= json_object_set_new(json, "name", json_string(next_text(cursor)));
	r |= json_object_set_new(json, "address", json_string(next_text(cursor)));
	r |= json_object_set_new(json, "pool", json_string(next_text(cursor)));
	r |= json_object_set_new(json, "labels", next_json(cursor));
	r |= json_object_set_new(json, "version", json_string(next_text(cursor)));
	r |= json_object_set_new(capacity, "cpu_milli",
				 json_integer((json_int_t)next_number(cursor)));
	r |= json_object_set_new(capacity, "memory_bytes",
				 json_integer((json_int_t)next_number(cursor)));
	r |= json_object_set_new(capacity, "gpus", next_json(cursor));
	r |= json_object_set(json, "capacity", capacity);
	if (r < 0)
		return -ENOMEM;
	r = host_registration_decode(json, &host->origin->registration, err);
	if (r < 0)
		return r;
	host->online = next_bool(cursor);
	host->mode = host_mode_parse(next_text(cursor));
	host->status_since = (int64_t)next_number(cursor);
	host->mode_since = (int64_t)next_number(cursor);
	host->record.revision = next_number(cursor);
	host->cpu_overcommit = (unsigned)next_number(cursor);
	host->silent_ms = next_number(cursor);
	*ret = &TAKE_PTR(host)->record;
	return 0;
}

static int decode_gateway(struct cursor *cursor, struct record **ret, struct error *err)
{
	_cleanup_(cleanup_gateway) struct gateway *gateway = gateway_new();
	_cleanup_json_ json_t *json = json_object();
	int r = gateway && json ? 0 : -ENOMEM;

	if (r < 0)
		return r;
	r |= json_object_set_new(json, "name", json_string(next_text(cursor)));
	r |= json_object_set_new(json, "addresses", next_json(cursor));
	r |= json_object_set_new(json, "version", json_string(next_text(cursor)));
	if (r < 0)
		return -ENOMEM;
	r = gateway_registration_decode(json, &gateway->origin->registration, err);
	if (r < 0)
		return r;
	gateway->online = next_bool(cursor);
	gateway->status_since = (int64_t)next_number(cursor);
	gateway->addresses_revision = next_number(cursor);
	gateway->record.revision = next_number(cursor);
	*ret = &TAKE_PTR(gateway)->record;
	return 0;
}

static int decode_origin(struct cursor *cursor, struct environment_origin *origin,
			 struct error *err)
{
	_cleanup_json_ json_t *spec = NULL;
	bool failed = false;
	int r;

	(void)snprintf(origin->id, sizeof(origin->id), "%s", next_text(cursor));
	spec = next_json(cursor);
	r = spec ? environment_spec_decode(spec, &origin->spec, err) : -ENOMEM;
	if (r < 0)
		return r;
	origin->login = next_copy(cursor, &failed);
	origin->password_hash = next_copy(cursor, &failed);
	origin->ssh_host_key = next_copy(cursor, &failed);
	origin->ssh_host_key_public = next_copy(cursor, &failed);
	return failed ? -ENOMEM : 0;
}

static void decode_life(struct cursor *cursor, struct environment *environment)
{
	bool ended;

	environment->action = environment_action_parse(next_text(cursor));
	(void)snprintf(environment->move_to, sizeof(environment->move_to), "%s", next_text(cursor));
	environment->expires_at = (int64_t)next_number(cursor);
	ended = !PQgetisnull(cursor->result, cursor->row, cursor->column);
	environment->exit_code = (int)next_number(cursor);
	if (!ended)
		environment->exit_code = EXIT_CODE_NONE;
	environment->crashes = (unsigned)next_number(cursor);
	environment->next_try = (int64_t)next_number(cursor);
}

static int decode_environment(struct cursor *cursor, struct record **ret, struct error *err)
{
	_cleanup_(cleanup_environment) struct environment *environment = environment_new();
	const char *host;
	int r;

	if (!environment)
		return -ENOMEM;
	r = decode_origin(cursor, environment->origin, err);
	if (r < 0)
		return r;
	environment->phase = phase_parse(next_text(cursor));
	environment->stage = stage_parse(next_text(cursor));
	(void)snprintf(environment->reason, sizeof(environment->reason), "%s", next_text(cursor));
	environment->power = strcmp(next_text(cursor), "on") == 0;
	host = next_text(cursor);
	(void)snprintf(environment->host, sizeof(environment->host), "%s", host ? host : "");
	environment->gpus = next_json(cursor);
	environment->assignment = assignment_parse(next_text(cursor));
	environment->assignment_revision = next_number(cursor);
	environment->origin->created_at = (int64_t)next_number(cursor);
	environment->phase_since = (int64_t)next_number(cursor);
	environment->record.revision = next_number(cursor);
	decode_life(cursor, environment);
	*ret = &TAKE_PTR(environment)->record;
	return 0;
}

static int decode_port(struct cursor *cursor, struct record **ret, struct error *err)
{
	_cleanup_(cleanup_port) struct port *port = port_new();
	const char *target;

	if (!port)
		return -ENOMEM;
	if (address_parse(next_text(cursor), &port->key.address) < 0)
		return error_set(err, -EINVAL, "invalid", "address", "not an address of one host");
	port->key.protocol = (uint8_t)protocol_parse(next_text(cursor));
	port->key.port = (uint16_t)next_number(cursor);
	(void)snprintf(port->environment, sizeof(port->environment), "%s", next_text(cursor));
	(void)snprintf(port->service, sizeof(port->service), "%s", next_text(cursor));
	port->state = port_state_parse(next_text(cursor));
	target = next_text(cursor);
	port->has_target = target != NULL;
	if (target && address_parse(target, &port->target.address) < 0)
		return error_set(err, -EINVAL, "invalid", "target_address",
				 "not an address of one host");
	port->target.port = (uint16_t)next_number(cursor);
	port->mapping_revision = next_number(cursor);
	port->since = (int64_t)next_number(cursor);
	port->quarantined_until = (int64_t)next_number(cursor);
	port->record.revision = next_number(cursor);
	port->expires_at = (int64_t)next_number(cursor);
	port->waited_ms = next_number(cursor);
	*ret = &TAKE_PTR(port)->record;
	return 0;
}

int store_row_decode(enum record_kind kind, const PGresult *result, int row, struct record **ret,
		     struct error *err)
{
	struct cursor cursor = { .result = result, .row = row };

	switch (kind) {
	case RECORD_HOST:
		return decode_host(&cursor, ret, err);
	case RECORD_GATEWAY:
		return decode_gateway(&cursor, ret, err);
	case RECORD_ENVIRONMENT:
		return decode_environment(&cursor, ret, err);
	case RECORD_PORT:
		return decode_port(&cursor, ret, err);
	case RECORD_CUSTOMER:
		return store_decode_customer(&cursor, ret);
	case RECORD_TOKEN:
		return store_decode_token(&cursor, ret, err);
	case RECORD_KEY:
		return store_decode_key(&cursor, ret, err);
	case RECORD_KIND_MAX:
		break;
	}
	return -EINVAL;
}
