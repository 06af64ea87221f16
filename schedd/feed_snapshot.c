/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What a stream begins with: all that is committed of what it is about. */
#include "schedd/feed_private.h"

#include <errno.h>

#include "proto/watch.h"
#include "schedd/access.h"
#include "schedd/answers.h"

/* Takes over item. */
static int write_item(struct evbuffer *out, json_t *item)
{
	int r = item ? watch_write_item(out, item) : -ENOMEM;

	json_decref(item);
	return r;
}

/* A stream of environments is of one or all, and of what its reader may see. */
bool feed_shows(const struct stream *stream, const struct environment_entry *entry)
{
	return (!stream->id[0] || strcmp(stream->id, entry->entry.id) == 0) &&
	       access_sees(&stream->caller, environment_committed(entry)->origin->spec.customer);
}

static int write_environments(const struct feed *feed, const struct state *state,
			      const struct stream *stream, struct evbuffer *out)
{
	struct environment_entry *entry;
	int r = 0;

	STATE_FOREACH(state, RECORD_ENVIRONMENT, entry)
	{
		if (r == 0 && entry->entry.committed && feed_shows(stream, entry))
			r = write_item(out, answer_environment(entry, feed->public_name, NULL));
	}
	return r;
}

bool feed_is_assigned(const struct environment *environment)
{
	return environment && !environment->record.gone && environment->host[0] &&
	       environment->assignment != ASSIGNMENT_NONE;
}

static int write_assignment(const struct environment_entry *entry, const char *id,
			    struct evbuffer *out)
{
	const struct environment *environment = environment_committed(entry);

	if (!feed_is_assigned(environment) || strcmp(environment->host, id) != 0)
		return 0;
	return write_item(out, answer_assignment(environment));
}

/* Those of a batch that are in no host's list any more, or in another's. */
static int write_moved(const struct batch *batch, const struct host_entry *host, bool open,
		       struct evbuffer *out)
{
	int r = 0;

	for (size_t i = 0; i < batch->n && r == 0; i++) {
		const struct entry *entry = batch->changes[i].entry;
		const struct environment_entry *environment =
			(const struct environment_entry *)entry;

		/* What is in both batches is written with the flight. */
		if (entry->kind != RECORD_ENVIRONMENT || environment->host == host ||
		    (open && entry->flight))
			continue;
		r = write_assignment(environment, host->entry.id, out);
	}
	return r;
}

/* A host's own list follows the newest versions, and what is not committed may have left it
 * already: the batches know which. */
static int write_assignments(const struct state *state, const char *id, struct evbuffer *out)
{
	const struct host_entry *host = state_host(state, id);
	const struct environment_entry *entry;
	int r = 0;

	if (!host)
		return -ENOENT;
	DL_FOREACH2(host->environments, entry, host_next)
	{
		if (r == 0)
			r = write_assignment(entry, id, out);
	}
	if (r == 0 && state->in_flight)
		r = write_moved(&state->flight, host, false, out);
	return r < 0 ? r : write_moved(&state->open, host, true, out);
}

static int write_mappings(const struct state *state, const char *id, struct evbuffer *out)
{
	struct gateway_entry *gateway = state_gateway(state, id);
	struct port_entry *entry;
	int r = 0;

	if (!gateway || !gateway_committed(gateway))
		return -ENOENT;
	STATE_FOREACH(state, RECORD_PORT, entry)
	{
		const struct port *port = port_committed(entry);

		if (r == 0 && port && port_is_mapped(port) &&
		    gateway_serves(gateway_committed(gateway), &port->key.address))
			r = write_item(out, answer_mapping(port));
	}
	return r;
}

int feed_snapshot_write(const struct feed *feed, const struct state *state,
			const struct stream *stream, struct evbuffer *out)
{
	int r = watch_write_snapshot(out, state->epoch, state->revision);

	if (r < 0)
		return r;
	switch (stream->kind) {
	case FEED_ENVIRONMENTS:
		r = write_environments(feed, state, stream, out);
		break;
	case FEED_ASSIGNMENTS:
		r = write_assignments(state, stream->id, out);
		break;
	case FEED_MAPPINGS:
		r = write_mappings(state, stream->id, out);
		break;
	case FEED_HOSTS:
	case FEED_GATEWAYS:
	case FEED_PORTS:
	case FEED_CUSTOMERS:
	case FEED_QUOTAS:
	case FEED_TOKENS:
		r = feed_rows_write(feed, state, stream, out);
		break;
	case FEED_EVENTS: /* theirs come from the archive */
	case FEED_KIND_MAX:
		break;
	}
	return r < 0 ? r : watch_write_synced(out, state->epoch, state->revision);
}
