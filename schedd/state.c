/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The tables of rows in memory and the indices over them: names, ports of an environment,
 * environments of a host, the pool. */
#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "schedd/state_private.h"

void state_init(struct state *state, struct port_pool *pool)
{
	*state = (struct state){ .pool = *pool,
				 .cpu_overcommit = OVERCOMMIT_MIN,
				 .hosts_replaced = true };
	*pool = (struct port_pool){ 0 };
}

const struct record *entry_newest(const struct entry *entry)
{
	if (entry->draft)
		return entry->draft;
	return entry->flight ? entry->flight : entry->committed;
}

bool entry_is_changing(const struct entry *entry)
{
	return (entry->draft && !entry->draft->quiet) || (entry->flight && !entry->flight->quiet);
}

const struct host *host_newest(const struct host_entry *entry)
{
	return (const struct host *)entry_newest(&entry->entry);
}

const struct gateway *gateway_newest(const struct gateway_entry *entry)
{
	return (const struct gateway *)entry_newest(&entry->entry);
}

const struct port *port_newest(const struct port_entry *entry)
{
	return (const struct port *)entry_newest(&entry->entry);
}

const struct environment *environment_newest(const struct environment_entry *entry)
{
	return (const struct environment *)entry_newest(&entry->entry);
}

const struct host *host_committed(const struct host_entry *entry)
{
	return (const struct host *)entry->entry.committed;
}

const struct gateway *gateway_committed(const struct gateway_entry *entry)
{
	return (const struct gateway *)entry->entry.committed;
}

const struct port *port_committed(const struct port_entry *entry)
{
	return (const struct port *)entry->entry.committed;
}

const struct environment *environment_committed(const struct environment_entry *entry)
{
	return (const struct environment *)entry->entry.committed;
}

const struct token *token_newest(const struct token_entry *entry)
{
	return (const struct token *)entry_newest(&entry->entry);
}

const struct key *key_newest(const struct key_entry *entry)
{
	return (const struct key *)entry_newest(&entry->entry);
}

const struct customer *customer_committed(const struct customer_entry *entry)
{
	return (const struct customer *)entry->entry.committed;
}

const struct token *token_committed(const struct token_entry *entry)
{
	return (const struct token *)entry->entry.committed;
}

struct entry *state_find(const struct state *state, enum record_kind kind, const char *id)
{
	struct entry *entry;

	HASH_FIND_STR(state->tables[kind], id, entry);
	return entry;
}

struct host_entry *state_host(const struct state *state, const char *id)
{
	return (struct host_entry *)state_find(state, RECORD_HOST, id);
}

struct gateway_entry *state_gateway(const struct state *state, const char *id)
{
	return (struct gateway_entry *)state_find(state, RECORD_GATEWAY, id);
}

struct environment_entry *state_environment(const struct state *state, const char *id)
{
	return (struct environment_entry *)state_find(state, RECORD_ENVIRONMENT, id);
}

struct port_entry *state_port(const struct state *state, const struct mapping_key *key)
{
	char id[MAPPING_STRING_MAX];

	return (struct port_entry *)state_find(state, RECORD_PORT, mapping_key_format(key, id));
}

struct customer_entry *state_customer(const struct state *state, const char *id)
{
	return (struct customer_entry *)state_find(state, RECORD_CUSTOMER, id);
}

struct token_entry *state_token(const struct state *state, const char *id)
{
	return (struct token_entry *)state_find(state, RECORD_TOKEN, id);
}

struct key_entry *state_key(const struct state *state, const char *id)
{
	return (struct key_entry *)state_find(state, RECORD_KEY, id);
}

struct environment_entry *state_environment_named(const struct state *state, const char *customer,
						  const char *name)
{
	struct environment_entry *entry;
	char owned[OWNED_NAME_MAX + 1];
	int length = snprintf(owned, sizeof(owned), "%s/%s", customer ? customer : "", name);

	if (length < 0 || (size_t)length >= sizeof(owned))
		return NULL;
	HASH_FIND(by_name, state->names, owned, (unsigned)length, entry);
	return entry;
}

unsigned state_count(const struct state *state, enum record_kind kind)
{
	return HASH_COUNT(state->tables[kind]);
}

static const char *row_owner(const struct record *record)
{
	switch (record->kind) {
	case RECORD_ENVIRONMENT:
		return ((const struct environment *)record)->origin->spec.customer;
	case RECORD_CUSTOMER:
		return ((const struct customer *)record)->id;
	case RECORD_TOKEN:
		return ((const struct token *)record)->role == ROLE_CUSTOMER
			       ? ((const struct token *)record)->subject
			       : NULL;
	case RECORD_HOST:
	case RECORD_GATEWAY:
	case RECORD_PORT:
	case RECORD_KEY:
	case RECORD_KIND_MAX:
		break;
	}
	return NULL;
}

const char *entry_owner(const struct entry *entry)
{
	const struct environment_entry *environment;

	if (entry->kind != RECORD_PORT)
		return row_owner(entry_newest(entry));
	/* A port in quarantine may have outlived its environment. */
	environment = ((const struct port_entry *)entry)->environment;
	return environment ? row_owner(entry_newest(&environment->entry)) : NULL;
}

unsigned state_cpu_overcommit(const struct state *state, const struct host *host)
{
	return host->cpu_overcommit ? host->cpu_overcommit : state->cpu_overcommit;
}

uint64_t state_host_cpu(const struct state *state, const struct host *host)
{
	uint64_t has = host->origin->registration.capacity.cpu_milli, all;

	/* Hosts say what they have: a silly number stays one, and is not a small one. */
	if (__builtin_mul_overflow(has, state_cpu_overcommit(state, host), &all))
		return INT64_MAX;
	return all / 100;
}

uint64_t state_open_revision(const struct state *state)
{
	return (state->in_flight ? state->flight.to_revision : state->revision) + 1;
}

/* ---- entries in and out of the tables ---- */

const char *record_id(const struct record *record, char buffer[RECORD_ID_MAX])
{
	switch (record->kind) {
	case RECORD_HOST:
		return ((const struct host *)record)->origin->registration.name;
	case RECORD_GATEWAY:
		return ((const struct gateway *)record)->origin->registration.name;
	case RECORD_ENVIRONMENT:
		return ((const struct environment *)record)->origin->id;
	case RECORD_PORT:
		return mapping_key_format(&((const struct port *)record)->key, buffer);
	case RECORD_CUSTOMER:
		return ((const struct customer *)record)->id;
	case RECORD_TOKEN:
		return ((const struct token *)record)->id;
	case RECORD_KEY:
		return ((const struct key *)record)->id;
	case RECORD_KIND_MAX:
		break;
	}
	return "";
}

static size_t entry_size(enum record_kind kind)
{
	switch (kind) {
	case RECORD_HOST:
		return sizeof(struct host_entry);
	case RECORD_GATEWAY:
		return sizeof(struct gateway_entry);
	case RECORD_ENVIRONMENT:
		return sizeof(struct environment_entry);
	case RECORD_PORT:
		return sizeof(struct port_entry);
	case RECORD_CUSTOMER:
		return sizeof(struct customer_entry);
	case RECORD_TOKEN:
		return sizeof(struct token_entry);
	case RECORD_KEY:
		return sizeof(struct key_entry);
	case RECORD_KIND_MAX:
		break;
	}
	return 0;
}

static int index_environment(struct state *state, struct environment_entry *entry)
{
	const struct environment *environment = environment_newest(entry);
	const struct environment_spec *spec = &environment->origin->spec;
	struct host_entry *host;

	if (state_environment_named(state, spec->customer, spec->name))
		return -EEXIST;
	(void)snprintf(entry->owned_name, sizeof(entry->owned_name), "%s/%s",
		       spec->customer ? spec->customer : "", spec->name);
	HASH_ADD_KEYPTR(by_name, state->names, entry->owned_name, strlen(entry->owned_name), entry);
	if (!entry->by_name.tbl || state_count_owner(state, entry) < 0)
		return -ENOMEM;
	state_set_homeless(state, entry, true);
	if (!environment->host[0])
		return 0;
	host = state_host(state, environment->host);
	return host ? state_link_host(state, entry, host, environment->gpus) : -ENOENT;
}

/* The order of services, so that answers keep it whatever the order of rows. */
static size_t service_rank(const struct environment *environment, const char *service)
{
	const struct environment_spec *spec = &environment->origin->spec;
	size_t i;

	for (i = 0; i < spec->n_services; i++)
		if (strcmp(spec->services[i].name, service) == 0)
			break;
	return i;
}

static int index_port(struct state *state, struct port_entry *entry)
{
	const struct port *port = port_newest(entry);
	struct environment_entry *owner = state_environment(state, port->environment);
	size_t at, rank;

	port_pool_take(&state->pool, &port->key);
	if (!owner)
		return 0;
	if (owner->n_ports == ARRAY_SIZE(owner->ports))
		return -E2BIG;
	rank = service_rank(environment_newest(owner), port->service);
	for (at = owner->n_ports; at > 0; at--) {
		const struct port *before = port_newest(owner->ports[at - 1]);

		if (service_rank(environment_newest(owner), before->service) <= rank)
			break;
		owner->ports[at] = owner->ports[at - 1];
	}
	owner->ports[at] = entry;
	owner->n_ports++;
	entry->environment = owner;
	return 0;
}

/* record is already one of the entry's versions. */
static int add_entry(struct state *state, struct entry *entry)
{
	int r = 0;

	if (state_find(state, entry->kind, entry->id))
		return -EEXIST;
	HASH_ADD_STR(state->tables[entry->kind], id, entry);
	if (!entry->hh.tbl)
		return -ENOMEM;
	if (entry->kind == RECORD_ENVIRONMENT)
		r = index_environment(state, (struct environment_entry *)entry);
	else if (entry->kind == RECORD_PORT)
		r = index_port(state, (struct port_entry *)entry);
	else if (entry->kind == RECORD_HOST)
		state->hosts_replaced = true;
	else if (entry->kind == RECORD_KEY)
		r = state_hold_key(state, (struct key_entry *)entry);
	return r;
}

static struct entry *new_entry(const struct record *record)
{
	struct entry *entry = calloc(1, entry_size(record->kind));
	char buffer[RECORD_ID_MAX];

	if (!entry)
		return NULL;
	entry->kind = record->kind;
	(void)snprintf(entry->id, sizeof(entry->id), "%s", record_id(record, buffer));
	return entry;
}

static int insert(struct state *state, struct record *record, bool committed, struct entry **ret)
{
	_cleanup_(cleanup_record) struct record *owned = record;
	struct entry *entry = new_entry(record);
	int r;

	if (!entry)
		return -ENOMEM;
	if (committed)
		entry->committed = TAKE_PTR(owned);
	else
		entry->draft = TAKE_PTR(owned);
	r = add_entry(state, entry);
	if (r < 0) {
		state_remove_entry(state, entry);
		return r;
	}
	*ret = entry;
	return 0;
}

int state_load(struct state *state, struct record *record)
{
	struct entry *entry;
	int r;

	r = insert(state, record, true, &entry);
	if (r < 0)
		return r;
	state_count_committed(state, entry);
	if (record->kind == RECORD_ENVIRONMENT)
		state_mark(state, (struct environment_entry *)entry);
	return 0;
}

static int note_new(struct state *state, struct entry *entry)
{
	struct batch *batch = &state->open;

	if (batch->n == batch->capacity) {
		size_t capacity = batch->capacity ? batch->capacity * 2 : 64;
		struct change *changes = reallocarray(batch->changes, capacity, sizeof(*changes));

		if (!changes)
			return -ENOMEM;
		batch->changes = changes;
		batch->capacity = capacity;
	}
	batch->changes[batch->n++] = (struct change){ .entry = entry };
	return 0;
}

int state_add(struct state *state, struct record *record, struct entry **ret)
{
	struct entry *entry;
	int r;

	r = insert(state, record, false, &entry);
	if (r < 0)
		return r;
	r = note_new(state, entry);
	if (r < 0) {
		state_remove_entry(state, entry);
		return r;
	}
	if (ret)
		*ret = entry;
	return 0;
}

static struct record *edit(struct state *state, struct entry *entry, bool quietly)
{
	struct record *draft;

	if (entry->kind == RECORD_HOST)
		state_host_changed(state, (struct host_entry *)entry);
	if (entry->draft) {
		entry->draft->quiet &= quietly;
		return entry->draft;
	}
	/* With its commit the entry is freed, and the open batch must not know it. */
	assert(!entry->flight || !entry->flight->gone);
	draft = record_copy(entry_newest(entry));
	if (!draft)
		return NULL;
	if (note_new(state, entry) < 0) {
		record_free(draft);
		return NULL;
	}
	draft->quiet = quietly;
	entry->draft = draft;
	return draft;
}

struct record *state_edit(struct state *state, struct entry *entry)
{
	return edit(state, entry, false);
}

struct host *state_edit_host(struct state *state, struct host_entry *entry)
{
	return (struct host *)state_edit(state, &entry->entry);
}

struct gateway *state_edit_gateway(struct state *state, struct gateway_entry *entry)
{
	return (struct gateway *)state_edit(state, &entry->entry);
}

struct port *state_edit_port(struct state *state, struct port_entry *entry)
{
	return (struct port *)state_edit(state, &entry->entry);
}

struct host *state_edit_host_quietly(struct state *state, struct host_entry *entry)
{
	return (struct host *)edit(state, &entry->entry, true);
}

struct port *state_edit_port_quietly(struct state *state, struct port_entry *entry)
{
	return (struct port *)edit(state, &entry->entry, true);
}

struct environment *state_edit_environment(struct state *state, struct environment_entry *entry)
{
	return (struct environment *)state_edit(state, &entry->entry);
}

struct customer *state_edit_customer(struct state *state, struct customer_entry *entry)
{
	return (struct customer *)state_edit(state, &entry->entry);
}

struct token *state_edit_token(struct state *state, struct token_entry *entry)
{
	return (struct token *)state_edit(state, &entry->entry);
}

struct key *state_edit_key(struct state *state, struct key_entry *entry)
{
	return (struct key *)state_edit(state, &entry->entry);
}

static void unindex_environment(struct state *state, struct environment_entry *entry)
{
	const struct environment_spec *spec = &environment_newest(entry)->origin->spec;

	/* An entry that never came into the index, for its name was there, must not take out the
	 * one that is. */
	if (state_environment_named(state, spec->customer, spec->name) == entry)
		HASH_DELETE(by_name, state->names, entry);
	state_unmark(state, entry);
	state_set_waiting(state, entry, false);
	state_uncount_owner(state, entry);
	state_unlink_host(state, entry, environment_newest(entry)->gpus);
	state_set_homeless(state, entry, false);
	state_set_due(state, entry, 0);
	for (size_t i = 0; i < entry->n_ports; i++)
		entry->ports[i]->environment = NULL;
}

static void unindex_port(struct state *state, struct port_entry *entry)
{
	struct environment_entry *owner = entry->environment;

	port_pool_give(&state->pool, &port_newest(entry)->key);
	if (!owner)
		return;
	for (size_t i = 0; i < owner->n_ports; i++) {
		if (owner->ports[i] != entry)
			continue;
		memmove(&owner->ports[i], &owner->ports[i + 1],
			(owner->n_ports - i - 1) * sizeof(struct port_entry *));
		owner->n_ports--;
		return;
	}
}

static void clear_host(struct state *state, struct host_entry *entry)
{
	while (entry->environments)
		state_unlink_host(state, entry->environments, NULL);
	state_forget_changed(state, entry);
	state->hosts_replaced = true;
	usage_clear(&entry->newest);
	usage_clear(&entry->committed);
	host_report_clear(&entry->report);
}

void state_remove_entry(struct state *state, struct entry *entry)
{
	/* One that found its id taken is in no table, and its port is not its own to give back. */
	bool indexed = entry->hh.tbl && state_find(state, entry->kind, entry->id) == entry;

	switch (entry->kind) {
	case RECORD_ENVIRONMENT:
		if (indexed)
			unindex_environment(state, (struct environment_entry *)entry);
		free(((struct environment_entry *)entry)->no_room);
		break;
	case RECORD_PORT:
		if (indexed)
			unindex_port(state, (struct port_entry *)entry);
		break;
	case RECORD_HOST:
		clear_host(state, (struct host_entry *)entry);
		break;
	case RECORD_GATEWAY:
		gateway_report_clear(&((struct gateway_entry *)entry)->report);
		break;
	case RECORD_KEY:
		state_release_key(state, (struct key_entry *)entry);
		break;
	case RECORD_CUSTOMER:
	case RECORD_TOKEN:
	case RECORD_KIND_MAX:
		break;
	}
	if (indexed)
		HASH_DEL(state->tables[entry->kind], entry);
	record_free(entry->committed);
	record_free(entry->flight);
	record_free(entry->draft);
	free(entry);
}

void state_clear(struct state *state)
{
	static const enum record_kind order[] = { RECORD_PORT,    RECORD_ENVIRONMENT, RECORD_HOST,
						  RECORD_GATEWAY, RECORD_CUSTOMER,    RECORD_TOKEN,
						  RECORD_KEY };
	struct entry *entry, *next;

	batch_clear(&state->open);
	batch_clear(&state->flight);
	for (size_t i = 0; i < ARRAY_SIZE(order); i++)
		HASH_ITER (hh, state->tables[order[i]], entry, next)
			state_remove_entry(state, entry);
	port_pool_clear(&state->pool);
}
