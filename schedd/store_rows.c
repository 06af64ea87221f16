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
	  " mode, status_since, mode_since, revision, cpu_overcommit_percent)"
	  " VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, to_timestamp($11::double precision),"
	  " to_timestamp($12::double precision), $13, $14) ON CONFLICT (id) DO UPDATE SET"
	  " address = excluded.address, pool = excluded.pool, labels = excluded.labels,"
	  " version = excluded.version, cpu_milli = excluded.cpu_milli,"
	  " memory_bytes = excluded.memory_bytes, gpus = excluded.gpus, online = excluded.online,"
	  " mode = excluded.mode, status_since = excluded.status_since,"
	  " mode_since = excluded.mode_since,"
	  " revision = excluded.revision,"
	  " cpu_overcommit_percent = excluded.cpu_overcommit_percent" },
	{ "put_gateway",
	  "INSERT INTO gateways (id, addresses, version, online, status_since, addresses_revision,"
	  " revision) VALUES ($1, $2, $3, $4, to_timestamp($5::double precision), $6, $7)"
	  " ON CONFLICT (id) DO UPDATE SET addresses = excluded.addresses,"
	  " version = excluded.version, online = excluded.online,"
	  " status_since = excluded.status_since,"
	  " addresses_revision = excluded.addresses_revision, revision = excluded.revision" },
	{ "put_environment",
	  "INSERT INTO environments (id, name, spec, cpu_milli, memory_bytes, gpu, gpu_milli, login,"
	  " password_hash, ssh_host_key, ssh_host_key_public, phase, stage, reason, power, host, gpus,"
	  " assignment, assignment_revision, created_at, phase_since, revision, action, move_to,"
	  " expires_at, exit_code, crashes, next_try) VALUES ($1, $2, $3,"
	  " $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19,"
	  " to_timestamp($20::double precision), to_timestamp($21::double precision), $22, $23, $24,"
	  " to_timestamp($25::double precision), $26, $27, to_timestamp($28::double precision))"
	  " ON CONFLICT (id) DO UPDATE SET password_hash = excluded.password_hash,"
	  " ssh_host_key = excluded.ssh_host_key, phase = excluded.phase, stage = excluded.stage,"
	  " reason = excluded.reason, power = excluded.power, host = excluded.host,"
	  " gpus = excluded.gpus, assignment = excluded.assignment,"
	  " assignment_revision = excluded.assignment_revision,"
	  " phase_since = excluded.phase_since, revision = excluded.revision,"
	  " action = excluded.action, move_to = excluded.move_to,"
	  " expires_at = excluded.expires_at, exit_code = excluded.exit_code,"
	  " crashes = excluded.crashes, next_try = excluded.next_try" },
	{ "put_port",
	  "INSERT INTO port_mappings (address, protocol, port, environment, service, state,"
	  " target_address, target_port, mapping_revision, since, quarantined_until, revision,"
	  " expires_at)"
	  " VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, to_timestamp($10::double precision),"
	  " to_timestamp($11::double precision), $12, to_timestamp($13::double precision))"
	  " ON CONFLICT (address, protocol, port)"
	  " DO UPDATE SET state = excluded.state, target_address = excluded.target_address,"
	  " target_port = excluded.target_port, mapping_revision = excluded.mapping_revision,"
	  " since = excluded.since, quarantined_until = excluded.quarantined_until,"
	  " revision = excluded.revision, expires_at = excluded.expires_at"
	  /* a row never changes hands: a port is freed, then taken */
	  " WHERE port_mappings.environment = excluded.environment" },
	{ "put_customer",
	  "INSERT INTO customers (id, deleted, created_at, revision) VALUES ($1, $2,"
	  " to_timestamp($3::double precision), $4) ON CONFLICT (id) DO UPDATE SET"
	  " deleted = excluded.deleted, revision = excluded.revision" },
	{ "put_token",
	  "INSERT INTO tokens (id, name, role, subject, hash, created_by, created_at, expires_at,"
	  " last_used_at, revision) VALUES ($1, $2, $3, $4, $5, $6,"
	  " to_timestamp($7::double precision), to_timestamp($8::double precision),"
	  " to_timestamp($9::double precision), $10) ON CONFLICT (id) DO UPDATE SET"
	  " last_used_at = excluded.last_used_at, revision = excluded.revision" },
	{ "put_key",
	  "INSERT INTO idempotency_keys (id, fingerprint, subject, created_at, revision) VALUES"
	  " ($1, $2, $3, to_timestamp($4::double precision), $5)" },
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
	{ "add_event",
	  "INSERT INTO events (revision, actor, subject_kind, subject, action, message)"
	  " VALUES ($1, $2, $3, $4, $5, $6)" },
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

static void add_life(struct params *params, const struct environment *environment)
{
	add_text(params, environment_action_name(environment->action));
	add_text(params, environment->move_to);
	add_time(params, environment->expires_at);
	if (environment->exit_code == EXIT_CODE_NONE)
		add_text(params, NULL);
	else
		add_number(params, (uint64_t)environment->exit_code);
	add_number(params, environment->crashes);
	add_time(params, environment->next_try);
}

static int send_environment(PGconn *connection, const struct environment *environment)
{
	const struct environment_origin *origin = environment->origin;
	_cleanup_json_ json_t *json = environment_spec_encode(&origin->spec);
	_cleanup_free_ char *spec = json ? json_encode(json) : NULL, *gpus = NULL;
	struct params params = { .n = 0 };

	if (environment->gpus)
		gpus = json_encode(environment->gpus);
	if (!spec || (environment->gpus && !gpus))
		return -ENOMEM;
	add_text(&params, origin->id);
	add_text(&params, origin->spec.name);
	add_text(&params, spec);
	add_number(&params, origin->spec.cpu_milli);
	add_number(&params, origin->spec.memory_bytes);
	add_number(&params, origin->spec.gpu);
	add_number(&params, origin->spec.gpu_milli);
	add_text(&params, origin->login);
	add_text(&params, origin->password_hash);
	add_text(&params, origin->ssh_host_key);
	add_text(&params, origin->ssh_host_key_public);
	add_text(&params, phase_name(environment->phase));
	add_text(&params, stage_name(environment->stage));
	add_text(&params, environment->reason);
	add_text(&params, environment->power ? "on" : "off");
	add_text(&params, environment->host[0] ? environment->host : NULL);
	add_text(&params, gpus);
	add_text(&params, assignment_name(environment->assignment));
	add_number(&params, environment->assignment_revision);
	add_number(&params, (uint64_t)origin->created_at);
	add_number(&params, (uint64_t)environment->phase_since);
	add_number(&params, environment->record.revision);
	add_life(&params, environment);
	return execute(connection, "put_environment", &params);
}

static void add_key(struct params *params, const struct mapping_key *key,
		    char address[ADDRESS_STRING_MAX])
{
	add_text(params, address_format(&key->address, address));
	add_text(params, protocol_name(key->protocol));
	add_number(params, key->port);
}

static int send_port(PGconn *connection, const struct port *port)
{
	char address[ADDRESS_STRING_MAX], target[ADDRESS_STRING_MAX];
	struct params params = { .n = 0 };

	add_key(&params, &port->key, address);
	add_text(&params, port->environment);
	add_text(&params, port->service);
	add_text(&params, port_state_name(port->state));
	if (port->has_target) {
		add_text(&params, address_format(&port->target.address, target));
		add_number(&params, port->target.port);
	} else {
		add_text(&params, NULL);
		add_text(&params, NULL);
	}
	add_number(&params, port->mapping_revision);
	add_number(&params, (uint64_t)port->since);
	add_time(&params, port->state == PORT_QUARANTINED ? port->quarantined_until : 0);
	add_number(&params, port->record.revision);
	add_time(&params, port->has_target ? port->expires_at : 0);
	return execute(connection, "put_port", &params);
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
	case RECORD_ENVIRONMENT: /* its row stays, as "deleted": ports and bills refer to it */
		return send_environment(connection, (const struct environment *)entry->flight);
	case RECORD_CUSTOMER: /* so does this one's, for its environments */
		return store_send_customer(connection, (const struct customer *)entry->flight);
	case RECORD_TOKEN:
		return execute(connection, "delete_token", &params);
	case RECORD_KEY:
		return execute(connection, "delete_key", &params);
	case RECORD_KIND_MAX:
		break;
	}
	return -EINVAL;
}

int store_send_change(PGconn *connection, const struct entry *entry)
{
	if (entry->flight->gone)
		return send_gone(connection, entry);
	switch (entry->kind) {
	case RECORD_HOST:
		return send_host(connection, (const struct host *)entry->flight);
	case RECORD_GATEWAY:
		return send_gateway(connection, (const struct gateway *)entry->flight);
	case RECORD_ENVIRONMENT:
		return send_environment(connection, (const struct environment *)entry->flight);
	case RECORD_PORT:
		return send_port(connection, (const struct port *)entry->flight);
	case RECORD_CUSTOMER:
		return store_send_customer(connection, (const struct customer *)entry->flight);
	case RECORD_TOKEN:
		return store_send_token(connection, (const struct token *)entry->flight);
	case RECORD_KEY:
		return store_send_key(connection, (const struct key *)entry->flight);
	case RECORD_KIND_MAX:
		break;
	}
	return -EINVAL;
}

int store_send_audit(PGconn *connection, const struct audit *audit, uint64_t revision)
{
	struct params params = { .n = 0 };

	add_number(&params, revision);
	add_text(&params, audit->actor);
	add_text(&params, record_kind_name(audit->kind));
	add_text(&params, audit->id);
	add_text(&params, audit->action);
	add_text(&params, audit->message);
	return execute(connection, "add_event", &params);
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
		       " extract(epoch FROM mode_since)::bigint, revision, cpu_overcommit_percent"
		       " FROM hosts"
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
		       " extract(epoch FROM expires_at)::bigint FROM port_mappings"
		       " WHERE revision > $1 ORDER BY address, protocol, port";
	case RECORD_CUSTOMER:
		return "SELECT id, extract(epoch FROM created_at)::bigint, revision FROM customers"
		       " WHERE NOT deleted AND revision > $1 ORDER BY id";
	case RECORD_TOKEN:
		return "SELECT id, name, role, subject, encode(hash, 'hex'), created_by,"
		       " extract(epoch FROM created_at)::bigint,"
		       " extract(epoch FROM expires_at)::bigint,"
		       " extract(epoch FROM last_used_at)::bigint, revision FROM tokens"
		       " WHERE revision > $1 ORDER BY created_at, id";
	case RECORD_KEY:
		return "SELECT id, encode(fingerprint, 'hex'), subject,"
		       " extract(epoch FROM created_at)::bigint, revision FROM idempotency_keys"
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
