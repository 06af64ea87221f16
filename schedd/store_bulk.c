/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The rows of which a batch has many: environments, ports, events. All of a kind are one statement,
 * their columns as arrays. PostgreSQL reads a table's checks anew for each statement, which costs
 * more than the row; a batch of 64 creates is four times as fast this way. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "schedd/store_columns.h"

#define COLUMN_FIRST_BYTES 1024
/* A batch may have any number; each statement has some megabytes of them at most. */
#define AUDITS_PER_STATEMENT 10000

/* An array as PostgreSQL writes it: {"a","b",NULL}. */
struct column {
	char *text;
	size_t length, capacity;
};

struct bulk {
	struct column columns[PARAMS_MAX];
	int n;
	bool any;
};

static void bulk_clear(struct bulk *bulk)
{
	for (int i = 0; i < bulk->n; i++) {
		if (bulk->columns[i].text) /* there are secrets among them */
			explicit_bzero(bulk->columns[i].text, bulk->columns[i].length);
		free(bulk->columns[i].text);
	}
}

static int reserve(struct column *column, size_t more)
{
	size_t capacity = column->capacity ? column->capacity : COLUMN_FIRST_BYTES;
	char *text;

	if (column->capacity - column->length >= more)
		return 0;
	while (capacity - column->length < more)
		capacity *= 2;
	text = malloc(capacity);
	if (!text)
		return -ENOMEM;
	if (column->text) {
		memcpy(text, column->text, column->length);
		explicit_bzero(column->text, column->length);
		free(column->text);
	}
	column->text = text;
	column->capacity = capacity;
	return 0;
}

static int append(struct column *column, const char *value)
{
	char *end;

	/* Each byte may need a backslash; two quotes, a comma, the last brace, the zero. */
	if (reserve(column, (value ? 2 * strlen(value) : strlen("NULL")) + 5) < 0)
		return -ENOMEM;
	end = column->text + column->length;
	*end++ = column->length == 0 ? '{' : ',';
	if (value) {
		*end++ = '"';
		for (; *value; value++) {
			if (*value == '"' || *value == '\\')
				*end++ = '\\';
			*end++ = *value;
		}
		*end++ = '"';
	} else {
		memcpy(end, "NULL", 4);
		end += 4;
	}
	column->length = (size_t)(end - column->text);
	return 0;
}

static int add_row(struct bulk *bulk, const struct params *params)
{
	int r = 0;

	bulk->n = params->n;
	bulk->any = true;
	for (int i = 0; i < params->n && r == 0; i++)
		r = append(&bulk->columns[i], params->values[i]);
	return r;
}

/* Nothing where there is no row. */
static int send_rows(PGconn *connection, const char *statement, struct bulk *bulk)
{
	struct params params = { .n = 0 };

	if (!bulk->any)
		return 0;
	for (int i = 0; i < bulk->n; i++) {
		struct column *column = &bulk->columns[i];

		memcpy(column->text + column->length, "}", 2);
		add_text(&params, column->text);
	}
	return execute(connection, statement, &params);
}

/* ---- environments ---- */

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

static int add_environment(struct bulk *bulk, const struct environment *environment)
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
	return add_row(bulk, &params);
}

/* ---- ports ---- */

static int add_port(struct bulk *bulk, const struct port *port)
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
	add_number(&params, port->waited_ms);
	return add_row(bulk, &params);
}

/* ---- batches ---- */

int store_send_environments(PGconn *connection, const struct batch *batch)
{
	_cleanup_(bulk_clear) struct bulk bulk = { .n = 0 };
	int r = 0;

	for (size_t i = 0; i < batch->n && r == 0; i++)
		if (batch->changes[i].entry->kind == RECORD_ENVIRONMENT)
			r = add_environment(
				&bulk, (const struct environment *)batch->changes[i].entry->flight);
	return r < 0 ? r : send_rows(connection, "put_environments", &bulk);
}

int store_send_ports(PGconn *connection, const struct batch *batch)
{
	_cleanup_(bulk_clear) struct bulk bulk = { .n = 0 };
	int r = 0;

	for (size_t i = 0; i < batch->n && r == 0; i++) {
		const struct entry *entry = batch->changes[i].entry;

		if (entry->kind == RECORD_PORT && !entry->flight->gone)
			r = add_port(&bulk, (const struct port *)entry->flight);
	}
	return r < 0 ? r : send_rows(connection, "put_ports", &bulk);
}

static int send_audits(PGconn *connection, const struct batch *batch, size_t first, size_t end)
{
	_cleanup_(bulk_clear) struct bulk bulk = { .n = 0 };
	int r = 0;

	for (size_t i = first; i < end && r == 0; i++) {
		const struct audit *audit = &batch->audits[i];
		struct params params = { .n = 0 };

		add_number(&params, batch->to_revision);
		add_text(&params, audit->actor);
		add_text(&params, record_kind_name(audit->kind));
		add_text(&params, audit->id);
		add_text(&params, audit->action);
		add_text(&params, audit->message);
		add_text(&params, audit->customer[0] ? audit->customer : NULL);
		r = add_row(&bulk, &params);
	}
	return r < 0 ? r : send_rows(connection, "add_events", &bulk);
}

int store_send_audits(PGconn *connection, const struct batch *batch)
{
	int r = 0;

	for (size_t i = 0; i < batch->n_audits && r == 0; i += AUDITS_PER_STATEMENT)
		r = send_audits(connection, batch, i,
				MIN(i + AUDITS_PER_STATEMENT, batch->n_audits));
	return r;
}
