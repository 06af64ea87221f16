/* SPDX-License-Identifier: GPL-2.0-or-later */
/* JSON of the committed rows. */
#include "schedd/answers.h"

#include <string.h>

/* json_object_set_new whose failures add up. */
static void set(json_t *object, const char *field, json_t *value, int *r)
{
	*r |= json_object_set_new(object, field, value);
}

static json_t *text_or_null(const char *text)
{
	return text && *text ? json_string(text) : json_null();
}

static json_t *time_or_null(int64_t seconds)
{
	return seconds > 0 ? json_time(seconds) : json_null();
}

static json_t *number(uint64_t value)
{
	return json_integer((json_int_t)value);
}

static json_t *encode_endpoint(const struct endpoint *endpoint)
{
	char address[ADDRESS_STRING_MAX];

	return json_pack("{s:s, s:i}", "address", address_format(&endpoint->address, address),
			 "port", (int)endpoint->port);
}

/* ---- environments ---- */

static json_t *encode_ports(const struct environment_entry *entry)
{
	_cleanup_json_ json_t *ports = json_array();

	for (size_t i = 0; ports && i < entry->n_ports; i++) {
		const struct port *port = port_committed(entry->ports[i]);
		char address[ADDRESS_STRING_MAX];
		json_t *item;

		if (!port)
			continue;
		item = json_pack("{s:s, s:s, s:s, s:i, s:s, s:o}", "service", port->service,
				 "protocol", protocol_name(port->key.protocol), "address",
				 address_format(&port->key.address, address), "port",
				 (int)port->key.port, "state", port_state_name(port->state),
				 "target",
				 port->has_target ? encode_endpoint(&port->target) : json_null());
		if (json_array_append_new(ports, item) < 0)
			return NULL;
	}
	return TAKE_PTR(ports);
}

/* "ssh -p 30001 developer@203.0.113.10", null where there is no ssh service. */
static json_t *encode_connect(const struct environment_entry *entry, const char *public_name)
{
	const struct environment *environment = environment_committed(entry);

	for (size_t i = 0; i < entry->n_ports; i++) {
		const struct port *port = port_committed(entry->ports[i]);
		char address[ADDRESS_STRING_MAX];

		if (!port || strcmp(port->service, "ssh") != 0)
			continue;
		return json_sprintf("ssh -p %u %s@%s", port->key.port, environment->origin->login,
				    public_name && *public_name
					    ? public_name
					    : address_format(&port->key.address, address));
	}
	return json_null();
}

uint64_t answer_environment_revision(const struct environment_entry *entry)
{
	uint64_t revision = environment_committed(entry)->record.revision;

	for (size_t i = 0; i < entry->n_ports; i++) {
		const struct port *port = port_committed(entry->ports[i]);

		if (port)
			revision = MAX(revision, port->record.revision);
	}
	return revision;
}

/* When it ends, and how it ended. */
static void set_ends(json_t *object, const struct environment *environment, int *r)
{
	set(object, "expires_at", time_or_null(environment->expires_at), r);
	set(object, "exit_code",
	    environment->exit_code == EXIT_CODE_NONE ? json_null()
						     : json_integer(environment->exit_code),
	    r);
	set(object, "crashes", number(environment->crashes), r);
	set(object, "next_try", time_or_null(environment->next_try), r);
}

json_t *answer_environment(const struct environment_entry *entry, const char *public_name,
			   const char *password)
{
	const struct environment *environment = environment_committed(entry);
	const struct environment_origin *origin = environment->origin;
	_cleanup_json_ json_t *object = environment_spec_encode(&origin->spec);
	int r = object ? 0 : -1;

	set(object, "id", json_string(origin->id), &r);
	set(object, "phase", json_string(phase_name(environment->phase)), &r);
	set(object, "stage", json_string(stage_name(environment->stage)), &r);
	set(object, "reason", json_string(environment->reason), &r);
	set(object, "customer", text_or_null(origin->spec.customer), &r);
	set(object, "power", json_string(environment->power ? "on" : "off"), &r);
	set(object, "action", json_string(environment_action_name(environment->action)), &r);
	set(object, "host", text_or_null(environment->host), &r);
	set(object, "gpus", environment->gpus ? json_incref(environment->gpus) : json_array(), &r);
	set(object, "ports", encode_ports(entry), &r);
	set(object, "user", json_string(origin->login), &r);
	set(object, "connect", encode_connect(entry, public_name), &r);
	set(object, "ssh_host_key", text_or_null(origin->ssh_host_key_public), &r);
	set(object, "revision", number(answer_environment_revision(entry)), &r);
	set(object, "created_at", json_time(origin->created_at), &r);
	set(object, "phase_since", json_time(environment->phase_since), &r);
	set_ends(object, environment, &r);
	if (password)
		set(object, "password", json_string(password), &r);
	return r == 0 ? TAKE_PTR(object) : NULL;
}

/* ---- hosts ---- */

/* The GPUs of which something is free. */
static json_t *encode_free_gpus(const struct host_entry *entry)
{
	const struct capacity *capacity = &host_committed(entry)->origin->registration.capacity;
	_cleanup_json_ json_t *gpus = json_array();

	for (size_t i = 0; gpus && i < capacity->n_gpus; i++) {
		uint32_t used = usage_of_gpu(&entry->committed, capacity->gpus[i].uuid);

		if (used < 1000 &&
		    json_array_append_new(gpus,
					  json_pack("{s:s, s:i}", "uuid", capacity->gpus[i].uuid,
						    "free_milli", (int)(1000 - used))) < 0)
			return NULL;
	}
	return TAKE_PTR(gpus);
}

static uint64_t left(uint64_t capacity, uint64_t used)
{
	return capacity > used ? capacity - used : 0;
}

/* How far a drain has come: what is left, of it what moves, and what cannot. Null where none is. */
static json_t *encode_drain(const struct host_entry *entry)
{
	const struct environment_entry *one;
	int left = 0, moving = 0, staying = 0;

	if (host_committed(entry)->mode != HOST_DRAINING)
		return json_null();
	DL_FOREACH2(entry->environments, one, host_next)
	{
		const struct environment *row = environment_committed(one);

		if (!row || strcmp(row->host, entry->entry.id) != 0)
			continue;
		left++;
		if (row->action == ACTION_MOVE)
			moving++;
		else if (!environment_spec_is_movable(&row->origin->spec))
			staying++;
	}
	return json_pack("{s:i, s:i, s:i}", "left", left, "moving", moving, "staying", staying);
}

json_t *answer_host(const struct state *state, const struct host_entry *entry)
{
	const struct host *host = host_committed(entry);
	const struct host_registration *registration = &host->origin->registration;
	_cleanup_json_ json_t *object = host_registration_encode(registration);
	int r = object ? 0 : -1;

	set(object, "id", json_string(registration->name), &r);
	r |= object ? json_object_del(object, "name") : -1;
	set(object, "status", json_string(host_status_name(host)), &r);
	set(object, "status_since", json_time(host->status_since), &r);
	set(object, "mode", json_string(host_mode_name(host->mode)), &r);
	set(object, "mode_since", json_time(host->mode_since), &r);
	set(object, "heard", json_boolean(host->online), &r);
	set(object, "drain", encode_drain(entry), &r);
	set(object, "cpu_overcommit_percent", number(state_cpu_overcommit(state, host)), &r);
	set(object, "free",
	    json_pack("{s:I, s:I, s:o}", "cpu_milli",
		      (json_int_t)left(state_host_cpu(state, host), entry->committed.cpu_milli),
		      "memory_bytes",
		      (json_int_t)left(registration->capacity.memory_bytes,
				       entry->committed.memory_bytes),
		      "gpus", encode_free_gpus(entry)),
	    &r);
	set(object, "environments", number(entry->committed.environments), &r);
	set(object, "engine_error", text_or_null(entry->report.engine_error), &r);
	set(object, "last_heartbeat", time_or_null(entry->last_heartbeat), &r);
	set(object, "revision", number(host->record.revision), &r);
	return r == 0 ? TAKE_PTR(object) : NULL;
}

/* ---- gateways ---- */

static json_t *encode_failed(const struct gateway_report *report)
{
	_cleanup_json_ json_t *failed = json_array();

	for (size_t i = 0; failed && i < report->n_failed; i++) {
		json_t *item = mapping_key_encode(&report->failed[i].key);

		if (json_array_append_new(failed, item) < 0 ||
		    json_object_set_new(item, "reason", json_string(report->failed[i].reason)) < 0)
			return NULL;
	}
	return TAKE_PTR(failed);
}

json_t *answer_gateway(const struct state *state, const struct gateway_entry *entry)
{
	const struct gateway *gateway = gateway_committed(entry);
	_cleanup_json_ json_t *object = gateway_registration_encode(&gateway->origin->registration);
	int r = object ? 0 : -1;

	set(object, "id", json_string(gateway->origin->registration.name), &r);
	r |= object ? json_object_del(object, "name") : -1;
	set(object, "status", json_string(gateway->online ? "online" : "offline"), &r);
	set(object, "status_since", json_time(gateway->status_since), &r);
	set(object, "revision", number(entry->report.revision), &r);
	set(object, "desired_revision", number(state->mapping_revision), &r);
	set(object, "mappings", number(entry->report.mappings), &r);
	set(object, "failed", encode_failed(&entry->report), &r);
	set(object, "last_heartbeat", time_or_null(entry->last_heartbeat), &r);
	return r == 0 ? TAKE_PTR(object) : NULL;
}

/* ---- ports ---- */

json_t *answer_port(const struct port_entry *entry)
{
	const struct environment *owner =
		entry->environment ? environment_committed(entry->environment) : NULL;
	const struct port *port = port_committed(entry);
	_cleanup_json_ json_t *object = mapping_key_encode(&port->key);
	int r = object ? 0 : -1;

	set(object, "state", json_string(port_state_name(port->state)), &r);
	set(object, "environment", json_string(port->environment), &r);
	set(object, "environment_name", owner ? json_string(owner->origin->spec.name) : json_null(),
	    &r);
	set(object, "service", json_string(port->service), &r);
	set(object, "target", port->has_target ? encode_endpoint(&port->target) : json_null(), &r);
	set(object, "since", json_time(port->since), &r);
	set(object, "until", time_or_null(port->quarantined_until), &r);
	set(object, "revision", number(port->record.revision), &r);
	return r == 0 ? TAKE_PTR(object) : NULL;
}

/* ---- customers and tokens ---- */

json_t *answer_customer(const struct customer_entry *entry)
{
	const struct customer *customer = customer_committed(entry);

	return json_pack("{s:s, s:o, s:I}", "id", customer->id, "created_at",
			 json_time(customer->created_at), "revision",
			 (json_int_t)customer->record.revision);
}

json_t *answer_quota(const struct state *state, const struct customer_entry *entry)
{
	const struct customer *customer = customer_committed(entry);
	const struct tally used = state_tally(state, customer->id);

	return json_pack("{s:s, s:o, s:o, s:I}", "id", customer->id, "limits",
			 quota_encode(&customer->quota), "used", tally_encode(&used), "revision",
			 (json_int_t)customer->record.revision);
}

json_t *answer_token(const struct token_entry *entry, const char *text)
{
	const struct token *token = token_committed(entry);
	_cleanup_json_ json_t *object = json_object();
	int r = object ? 0 : -1;

	set(object, "id", json_string(token->id), &r);
	set(object, "name", json_string(token->name), &r);
	set(object, "role", json_string(role_name(token->role)), &r);
	set(object, "subject", text_or_null(token->subject), &r);
	set(object, "created_by", json_string(token->created_by), &r);
	set(object, "created_at", json_time(token->created_at), &r);
	set(object, "expires_at", time_or_null(token->expires_at), &r);
	set(object, "last_used_at", time_or_null(MAX(token->last_used_at, entry->last_used_at)),
	    &r);
	set(object, "revision", number(token->record.revision), &r);
	if (text)
		set(object, "token", json_string(text), &r);
	return r == 0 ? TAKE_PTR(object) : NULL;
}

/* ---- desired state ---- */

json_t *answer_assignment(const struct environment *environment)
{
	const struct environment_origin *origin = environment->origin;
	/* Borrowed from the row: encoded, not cleared. */
	const struct assignment assignment = {
		.environment = (char *)origin->id,
		.revision = environment->assignment_revision,
		.running = environment->assignment == ASSIGNMENT_RUNNING,
		.spec = origin->spec,
		.user = origin->login,
		.password_hash = origin->password_hash,
		.ssh_host_key = origin->ssh_host_key,
	};

	return assignment_encode(&assignment);
}

json_t *answer_mapping(const struct port *port)
{
	const struct mapping mapping = {
		.key = port->key,
		.target = port->target,
		.environment = (char *)port->environment,
		.service = (char *)port->service,
		.revision = port->mapping_revision,
		.expires_at = port->expires_at,
		/* The container's stop ends what is open, so a client sees a clean close. */
		.on_remove = ON_REMOVE_DRAIN,
	};

	return mapping_encode(&mapping);
}
