/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A watch that goes on from a revision: instead of a snapshot it is told each row that has changed
 * since, once, as it is now. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "proto/watch.h"
#include "schedd/answers.h"
#include "schedd/feed_private.h"

static void say_environment(struct stream *stream, const struct state *state,
			    const struct feed_log_change *change)
{
	const struct environment_entry *entry = state_environment(state, change->id);
	const char *owner = change->owner[0] ? change->owner : NULL;

	if (entry && entry->entry.committed) {
		if (feed_shows(stream, entry))
			feed_add(stream, true,
				 answer_environment(entry, stream->feed->public_name, NULL));
	} else if ((!stream->id[0] || strcmp(stream->id, change->id) == 0) &&
		   access_sees(&stream->caller, owner)) {
		feed_add(stream, false, json_pack("{s:s}", "id", change->id));
	}
}

static void say_assignment(struct stream *stream, const struct state *state,
			   const struct feed_log_change *change)
{
	const struct environment_entry *entry = state_environment(state, change->id);
	const struct environment *row = entry ? environment_committed(entry) : NULL;
	bool is = feed_is_assigned(row) && strcmp(row->host, stream->id) == 0;

	feed_add(stream, is,
		 is ? answer_assignment(row) : json_pack("{s:s}", "environment", change->id));
}

static void say_mapping(struct stream *stream, const struct state *state,
			const struct feed_log_change *change)
{
	const struct gateway_entry *gateway = state_gateway(state, stream->id);
	const struct port_entry *entry = state_port(state, &change->key);
	const struct port *port = entry ? port_committed(entry) : NULL;
	bool is = port && port_is_mapped(port);

	if (gateway && gateway_committed(gateway) &&
	    gateway_serves(gateway_committed(gateway), &change->key.address))
		feed_add(stream, is, is ? answer_mapping(port) : mapping_key_encode(&change->key));
}

static void say(struct stream *stream, const struct state *state,
		const struct feed_log_change *change)
{
	switch (stream->kind) {
	case FEED_ENVIRONMENTS:
		if (change->kind == RECORD_ENVIRONMENT)
			say_environment(stream, state, change);
		break;
	case FEED_ASSIGNMENTS:
		if (change->kind == RECORD_ENVIRONMENT)
			say_assignment(stream, state, change);
		break;
	case FEED_MAPPINGS:
		if (change->kind == RECORD_PORT)
			say_mapping(stream, state, change);
		break;
	case FEED_HOSTS:
	case FEED_GATEWAYS:
	case FEED_PORTS:
	case FEED_CUSTOMERS:
	case FEED_QUOTAS:
	case FEED_TOKENS:
		if (change->kind == feed_rows_of(stream->kind))
			feed_rows_say(stream, state, change);
		break;
	case FEED_EVENTS:
	case FEED_KIND_MAX:
		break;
	}
}

/* Each row once, as it is now. -ENOMEM. */
static int say_since(struct stream *stream, const struct state *state, uint64_t revision)
{
	const struct feed_log *log = &stream->feed->log;
	_cleanup_json_ json_t *said = json_object();
	const struct feed_log_change *change;
	size_t position = 0;

	while (said && (change = feed_log_next(log, revision, &position))) {
		char name[RECORD_ID_MAX + 8];

		(void)snprintf(name, sizeof(name), "%d %s", (int)change->kind, change->id);
		if (json_object_get(said, name))
			continue;
		if (json_object_set_new(said, name, json_true()) < 0)
			return -ENOMEM;
		say(stream, state, change);
	}
	return said ? 0 : -ENOMEM;
}

/* A gateway whose addresses have changed since then needs a snapshot. */
static bool can_resume(const struct feed *feed, const struct state *state, enum feed_kind kind,
		       const char *id, uint64_t revision)
{
	const struct gateway_entry *gateway =
		kind == FEED_MAPPINGS ? state_gateway(state, id) : NULL;

	if (gateway && gateway_committed(gateway) &&
	    gateway_committed(gateway)->addresses_revision > revision)
		return false;
	return feed_log_knows(&feed->log, revision, state->revision);
}

int feed_resume(struct feed *feed, const struct state *state, struct http_request *request,
		enum feed_kind kind, const char *id, uint64_t revision)
{
	struct stream *stream;
	struct evbuffer *out;
	int r;

	if (!can_resume(feed, state, kind, id, revision))
		return -ERANGE;
	stream = feed_open_stream(feed, state, request, kind, id);
	if (!stream)
		return 0; /* it was answered */
	r = say_since(stream, state, revision);
	if (stream->touched && r == 0) {
		feed_send_touched(feed);
		return 0;
	}
	out = evbuffer_new();
	if (r == 0)
		r = out ? watch_write_bookmark(out, state->epoch, state->revision) : -ENOMEM;
	if (r < 0 && stream->touched)
		feed->touched = NULL; /* it is the only one, and ends here */
	feed_stream_send(stream, out, r);
	if (out)
		evbuffer_free(out);
	return 0;
}
