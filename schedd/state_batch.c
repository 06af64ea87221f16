/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Batches: how versions move from the open batch to the flight and become the committed ones, or
 * are forgotten; and what follows the newest version, a host's environments and sums. */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "lib/array.h"
#include "lib/utf8.h"
#include "schedd/state_private.h"

int state_link_host(struct state *state, struct environment_entry *environment,
		    struct host_entry *host, const json_t *gpus)
{
	int r;

	r = usage_add(&host->newest, &environment_newest(environment)->origin->spec, gpus);
	if (r < 0)
		return r;
	environment->host = host;
	DL_APPEND2(host->environments, environment, host_prev, host_next);
	state_set_homeless(state, environment, false);
	state_host_changed(state, host);
	return 0;
}

void state_unlink_host(struct state *state, struct environment_entry *environment,
		       const json_t *gpus)
{
	struct host_entry *host = environment->host;

	if (!host)
		return;
	usage_remove(&host->newest, &environment_newest(environment)->origin->spec, gpus);
	DL_DELETE2(host->environments, environment, host_prev, host_next);
	environment->host = NULL;
	state_set_homeless(state, environment, true);
	state_host_changed(state, host);
}

int state_place(struct state *state, struct environment_entry *entry, struct host_entry *host,
		json_t *gpus)
{
	struct environment *environment = state_edit_environment(state, entry);
	int r;

	if (!environment)
		return -ENOMEM;
	if (entry->host)
		return -EEXIST;
	r = state_link_host(state, entry, host, gpus);
	if (r < 0)
		return r;
	(void)snprintf(environment->host, sizeof(environment->host), "%s", host->entry.id);
	json_decref(environment->gpus);
	environment->gpus = json_incref(gpus);
	return 0;
}

int state_release(struct state *state, struct environment_entry *entry)
{
	struct environment *environment = state_edit_environment(state, entry);

	if (!environment)
		return -ENOMEM;
	state_unlink_host(state, entry, environment->gpus);
	environment->host[0] = '\0';
	json_decref(environment->gpus);
	environment->gpus = NULL;
	return 0;
}

void state_audit(struct state *state, const struct entry *entry, const char *actor,
		 const char *action, const char *format, ...)
{
	struct batch *batch = &state->open;
	const char *owner = entry_owner(entry);
	struct audit *audit, *audits = array_grow(batch->audits, sizeof(*audits), batch->n_audits,
						  &batch->audits_capacity);
	va_list arguments;

	if (!audits) {
		batch->unaudited = true;
		return;
	}
	batch->audits = audits;
	audit = &batch->audits[batch->n_audits++];
	audit->kind = entry->kind;
	audit->action = action;
	(void)snprintf(audit->id, sizeof(audit->id), "%s", entry->id);
	(void)snprintf(audit->customer, sizeof(audit->customer), "%s", owner ? owner : "");
	(void)snprintf(audit->actor, sizeof(audit->actor), "%s", actor);
	va_start(arguments, format);
	(void)vsnprintf(audit->message, sizeof(audit->message), format, arguments);
	va_end(arguments);
	utf8_mend(audit->message);
}

void batch_clear(struct batch *batch)
{
	for (size_t i = 0; i < batch->n; i++)
		record_free(batch->changes[i].old);
	free(batch->changes);
	free(batch->audits);
	*batch = (struct batch){ 0 };
}

static void close_batch(struct state *state, uint64_t to_revision)
{
	struct batch *batch = &state->open;

	batch->from_revision = state->revision;
	batch->to_revision = to_revision;
	for (size_t i = 0; i < batch->n; i++)
		batch->changes[i].entry->flight = TAKE_PTR(batch->changes[i].entry->draft);
	state->flight = *batch;
	state->in_flight = true;
	*batch = (struct batch){ 0 };
}

bool state_close_batch(struct state *state)
{
	if (state->open.n == 0)
		return false;
	close_batch(state, state->revision + 1);
	for (size_t i = 0; i < state->flight.n; i++) {
		struct record *record = state->flight.changes[i].entry->flight;

		if (!record->quiet)
			record->revision = state->flight.to_revision;
	}
	return true;
}

bool state_close_mirror(struct state *state, uint64_t revision)
{
	if (state->open.n == 0 && revision == state->revision)
		return false;
	close_batch(state, revision);
	state->flight.copied = true;
	return true;
}

void state_close_empty(struct state *state)
{
	if (state->open.n == 0)
		close_batch(state, state->revision + 1);
}

/* What a reader sees as a host's free resources follows the committed versions. A share of a GPU
 * that could not be noted for want of memory is shown as free until the next start; placement
 * does not look here. */
static void count_committed(struct state *state, const struct environment *environment, bool add)
{
	struct host_entry *host;

	if (!environment || !environment->host[0])
		return;
	host = state_host(state, environment->host);
	if (!host)
		return;
	if (!add)
		usage_remove(&host->committed, &environment->origin->spec, environment->gpus);
	else if (usage_add(&host->committed, &environment->origin->spec, environment->gpus) < 0)
		host->committed.environments++;
}

static void note_mapping(struct state *state, const struct port *port)
{
	state->mapping_revision = MAX(state->mapping_revision, port->mapping_revision);
}

void state_count_committed(struct state *state, const struct entry *entry)
{
	if (entry->kind == RECORD_ENVIRONMENT)
		count_committed(state, (const struct environment *)entry->committed, true);
	else if (entry->kind == RECORD_PORT)
		note_mapping(state, (const struct port *)entry->committed);
}

void state_commit_batch(struct state *state)
{
	struct batch *batch = &state->flight;

	for (size_t i = 0; i < batch->n; i++) {
		struct change *change = &batch->changes[i];
		struct entry *entry = change->entry;

		change->old = entry->committed;
		entry->committed = TAKE_PTR(entry->flight);
		if (entry->kind == RECORD_ENVIRONMENT)
			count_committed(state, (const struct environment *)change->old, false);
		state_count_committed(state, entry);
		if (entry->kind == RECORD_ENVIRONMENT && entry->committed->gone)
			state_uncount_owner(state, (struct environment_entry *)entry);
	}
	state->revision = batch->to_revision;
	state->in_flight = false;
}

void state_finish_batch(struct state *state)
{
	struct batch *batch = &state->flight;

	for (size_t i = 0; i < batch->n; i++) {
		struct entry *entry = batch->changes[i].entry;

		if (entry->committed->gone)
			state_remove_entry(state, entry);
	}
	batch_clear(batch);
}

/* After versions were dropped, the newest ones are others: everything that follows them is made
 * again. Rare, so in full. */
static void rebuild_newest(struct state *state)
{
	struct environment_entry *environment;
	struct host_entry *host;

	state->hosts_replaced = true;
	STATE_FOREACH(state, RECORD_HOST, host)
	{
		usage_clear(&host->newest);
		host->environments = NULL;
	}
	STATE_FOREACH(state, RECORD_ENVIRONMENT, environment)
	{
		const struct environment *row = environment_newest(environment);

		environment->host = NULL;
		host = row->host[0] ? state_host(state, row->host) : NULL;
		if (host && state_link_host(state, environment, host, row->gpus) < 0) {
			environment->host = host;
			DL_APPEND2(host->environments, environment, host_prev, host_next);
		}
		state_set_homeless(state, environment, !host);
		state_mark(state, environment);
	}
}

static void drop_drafts(struct state *state)
{
	struct batch *batch = &state->open;

	for (size_t i = 0; i < batch->n; i++) {
		struct entry *entry = batch->changes[i].entry;

		if (entry->committed || entry->flight) {
			record_free(entry->draft);
			entry->draft = NULL;
		} else {
			state_remove_entry(state, entry);
		}
	}
	batch_clear(batch);
}

void state_drop_open(struct state *state)
{
	drop_drafts(state);
	rebuild_newest(state);
}

void state_drop_flight(struct state *state)
{
	struct batch *batch = &state->flight;

	drop_drafts(state);
	for (size_t i = 0; i < batch->n; i++) {
		struct entry *entry = batch->changes[i].entry;

		if (entry->committed) {
			record_free(entry->flight);
			entry->flight = NULL;
		} else {
			state_remove_entry(state, entry);
		}
	}
	state->in_flight = false;
	batch_clear(batch);
	rebuild_newest(state);
}
