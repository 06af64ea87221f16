/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The streams, and which of them a change concerns. */
#include "schedd/feed_private.h"

#include <errno.h>
#include <event2/event_struct.h>
#include <stdio.h>
#include <string.h>

#include "lib/clock.h"
#include "lib/loop.h"
#include "proto/watch.h"
#include "schedd/access.h"
#include "schedd/answers.h"

static const struct {
	const char *code, *message;
} ends[FEED_END_MAX] = {
	[FEED_TOO_SLOW] = { "too_slow", "the reader is too slow: start over with a new snapshot" },
	[FEED_REVOKED] = { "unauthenticated", "the token was revoked" },
	[FEED_EXPIRED] = { "unauthenticated", "the token has expired" },
	[FEED_CHANGED] = { "start_over", "what this stream is about has changed: start over" },
	[FEED_RESET] = { "start_over", "the state was loaded anew: start over" },
	[FEED_STOPPED] = { "unavailable", "schedd is stopping" },
	[FEED_FAILED] = { "internal", "the stream could not be written: start over" },
	[FEED_UNREAD] = { "unavailable", "the database does not answer: go on later" },
};

/* ---- topics ---- */

static void topic_key(enum feed_kind kind, const char *id, char key[1 + RECORD_ID_MAX])
{
	key[0] = (char)('0' + (int)kind);
	(void)snprintf(key + 1, RECORD_ID_MAX, "%s", kind == FEED_ENVIRONMENTS ? "" : id);
}

struct stream *feed_watchers(const struct feed *feed, enum feed_kind kind, const char *id)
{
	char key[1 + RECORD_ID_MAX];
	struct topic *topic;

	topic_key(kind, id, key);
	HASH_FIND_STR(feed->topics, key, topic);
	return topic ? topic->streams : NULL;
}

static int topic_join(struct stream *stream)
{
	struct feed *feed = stream->feed;
	char key[1 + RECORD_ID_MAX];
	struct topic *topic;

	topic_key(stream->kind, stream->id, key);
	HASH_FIND_STR(feed->topics, key, topic);
	if (!topic) {
		topic = calloc(1, sizeof(*topic));
		if (!topic)
			return -ENOMEM;
		memcpy(topic->key, key, sizeof(key));
		HASH_ADD_STR(feed->topics, key, topic);
		if (!topic->hh.tbl) {
			free(topic);
			return -ENOMEM;
		}
	}
	stream->topic = topic;
	DL_APPEND2(topic->streams, stream, topic_prev, topic_next);
	return 0;
}

static void topic_leave(struct stream *stream)
{
	struct topic *topic = stream->topic;

	DL_DELETE2(topic->streams, stream, topic_prev, topic_next);
	if (topic->streams)
		return;
	HASH_DEL(stream->feed->topics, topic);
	free(topic);
}

/* ---- streams ---- */

static void stream_free(struct stream *stream)
{
	topic_leave(stream);
	DL_DELETE(stream->feed->streams, stream);
	stream->feed->n--;
	stream->feed->of_kind[stream->kind]--;
	feed_events_forget(stream);
	json_decref(stream->put);
	json_decref(stream->deleted);
	free(stream);
}

static void closed(struct http_stream *http, void *userdata)
{
	stream_free(userdata);
}

void feed_stream_end(struct stream *stream, enum feed_end why)
{
	struct evbuffer *last = evbuffer_new();

	stream->feed->ended[why]++;
	if (last && watch_write_end(last, ends[why].code, ends[why].message) < 0) {
		evbuffer_free(last);
		last = NULL;
	}
	http_stream_end_with(stream->http, last);
	if (last)
		evbuffer_free(last);
	stream_free(stream);
}

/* Sends what is in out, or ends the stream where that cannot be: its reader starts over. */
void feed_stream_send(struct stream *stream, struct evbuffer *out, int r)
{
	if (r == 0)
		r = http_stream_send_buffer(stream->http, out);
	if (r < 0)
		feed_stream_end(stream, r == -ENOBUFS ? FEED_TOO_SLOW : FEED_FAILED);
}

/* Up to which commit a stream was told; false: it has not begun. */
static bool told(const struct stream *stream, uint64_t *ret)
{
	if (stream->events)
		return feed_events_told(stream, ret);
	*ret = stream->feed->revision;
	return true;
}

static void bookmark_due(evutil_socket_t fd, short what, void *userdata)
{
	struct feed *feed = userdata;
	struct stream *stream, *next;

	(void)loop_timer_arm(&feed->bookmark, WATCH_BOOKMARK_MS);
	feed_events_retry(feed);
	DL_FOREACH_SAFE(feed->streams, stream, next)
	{
		struct evbuffer *out;
		uint64_t revision;

		if (stream->caller.expires_at > 0 &&
		    stream->caller.expires_at <= clock_unix_seconds()) {
			feed_stream_end(stream, FEED_EXPIRED);
			continue;
		}
		if (!told(stream, &revision))
			continue;
		out = evbuffer_new();
		if (!out)
			return;
		feed_stream_send(stream, out, watch_write_bookmark(out, feed->epoch, revision));
		evbuffer_free(out);
	}
}

/* ---- beginning ---- */

/* NULL, with the request answered, where there is no memory or no client any more. */
struct stream *feed_open_stream(struct feed *feed, const struct state *state,
				struct http_request *request, enum feed_kind kind, const char *id)
{
	struct stream *stream = calloc(1, sizeof(*stream));
	struct error err = ERROR_INIT;

	if (!stream) {
		error_set(&err, -ENOMEM, "internal", NULL, "out of memory");
		http_reply_error(request, &err);
		return NULL;
	}
	stream->feed = feed;
	stream->kind = kind;
	stream->caller = *access_caller(request);
	(void)snprintf(stream->id, sizeof(stream->id), "%s", id ? id : "");
	if (topic_join(stream) < 0) {
		free(stream);
		error_set(&err, -ENOMEM, "internal", NULL, "out of memory");
		http_reply_error(request, &err);
		return NULL;
	}
	if (http_stream_start(request, "application/jsonl", closed, stream, &stream->http) < 0) {
		topic_leave(stream);
		free(stream);
		return NULL;
	}
	DL_APPEND(feed->streams, stream);
	feed->n++;
	feed->of_kind[kind]++;
	feed->epoch = state->epoch;
	feed->revision = state->revision;
	return stream;
}

void feed_start(struct feed *feed, const struct state *state, struct http_request *request,
		enum feed_kind kind, const char *id)
{
	struct stream *stream = feed_open_stream(feed, state, request, kind, id);
	struct evbuffer *out;

	if (!stream)
		return;
	out = evbuffer_new();
	feed_stream_send(stream, out,
			 out ? feed_snapshot_write(feed, state, stream, out) : -ENOMEM);
	if (out)
		evbuffer_free(out);
}

/* ---- changes ---- */

static bool touch(struct stream *stream)
{
	if (stream->touched)
		return stream->put && stream->deleted;
	stream->touched = true;
	stream->touched_next = stream->feed->touched;
	stream->feed->touched = stream;
	stream->put = json_array();
	stream->deleted = json_array();
	return stream->put && stream->deleted;
}

/* Takes over item; NULL, for want of memory, ends the stream when it is sent. */
void feed_add(struct stream *stream, bool put, json_t *item)
{
	json_t **array = put ? &stream->put : &stream->deleted;

	if (touch(stream) && json_array_append_new(*array, item) == 0)
		return;
	json_decref(*array);
	*array = NULL;
}

/* To the streams of one host. */
static void tell(struct feed *feed, const char *host, bool put, json_t *item)
{
	struct stream *stream;

	DL_FOREACH2(feed_watchers(feed, FEED_ASSIGNMENTS, host), stream, topic_next)
	feed_add(stream, put, json_incref(item));
	json_decref(item);
}

void feed_send_touched(struct feed *feed)
{
	struct stream *stream, *next;

	for (stream = feed->touched; stream; stream = next) {
		struct evbuffer *out = evbuffer_new();
		uint64_t revision;
		int r = -ENOMEM;

		next = stream->touched_next;
		if (out && stream->put && stream->deleted && told(stream, &revision))
			r = watch_write_change(out, feed->epoch, revision, stream->put,
					       stream->deleted);
		json_decref(stream->put);
		json_decref(stream->deleted);
		stream->put = stream->deleted = NULL;
		stream->touched = false;
		feed_stream_send(stream, out, r);
		if (out)
			evbuffer_free(out);
	}
	feed->touched = NULL;
}

/* ---- commits ---- */

static void tell_hosts(struct feed *feed, const struct change *change)
{
	const struct environment *old = (const struct environment *)change->old;
	const struct environment *new = (const struct environment *)change->entry->committed;

	if (feed_is_assigned(old) && (!feed_is_assigned(new) || strcmp(old->host, new->host) != 0))
		tell(feed, old->host, false, json_pack("{s:s}", "environment", old->origin->id));
	if (feed_is_assigned(new) && (!feed_is_assigned(old) || strcmp(old->host, new->host) != 0 ||
				      old->assignment_revision != new->assignment_revision))
		tell(feed, new->host, true, answer_assignment(new));
}

static void tell_gateways(struct feed *feed, const struct state *state, const struct change *change)
{
	const struct port *old = (const struct port *)change->old;
	const struct port *new = (const struct port *)change->entry->committed;
	bool was = old && port_is_mapped(old);
	bool is = port_is_mapped(new) && !new->record.gone;
	struct gateway_entry *gateway;
	struct stream *stream;

	if (!was && !is)
		return;
	if (was && is && old->mapping_revision == new->mapping_revision)
		return;
	STATE_FOREACH(state, RECORD_GATEWAY, gateway)
	{
		if (!gateway_committed(gateway) ||
		    !gateway_serves(gateway_committed(gateway), &new->key.address))
			continue;
		DL_FOREACH2(feed_watchers(feed, FEED_MAPPINGS, gateway->entry.id), stream,
			    topic_next)
		feed_add(stream, is, is ? answer_mapping(new) : mapping_key_encode(&new->key));
	}
}

static void tell_environment(struct feed *feed, const struct batch *batch,
			     struct environment_entry *entry)
{
	struct stream *stream, *first = feed_watchers(feed, FEED_ENVIRONMENTS, "");
	json_t *item;
	bool gone;

	if (!first || !entry || entry->told_revision == batch->to_revision ||
	    !entry->entry.committed)
		return;
	entry->told_revision = batch->to_revision;
	gone = entry->entry.committed->gone;
	item = gone ? json_pack("{s:s}", "id", entry->entry.id)
		    : answer_environment(entry, feed->public_name, NULL);
	DL_FOREACH2(first, stream, topic_next)
	{
		if (feed_shows(stream, entry))
			feed_add(stream, !gone, json_incref(item));
	}
	json_decref(item);
}

/* Who calls with a token that was revoked is heard no more. */
static void end_callers(struct feed *feed, const struct change *change)
{
	struct stream *stream, *next;

	if (!change->entry->committed->gone)
		return;
	DL_FOREACH_SAFE(feed->streams, stream, next)
	{
		if (strcmp(stream->caller.token, change->entry->id) == 0)
			feed_stream_end(stream, FEED_REVOKED);
	}
}

/* A host that was removed is told nothing any more. */
static void end_assignments(struct feed *feed, const struct change *change)
{
	struct stream *stream, *next;

	if (!change->entry->committed->gone)
		return;
	DL_FOREACH_SAFE(feed->streams, stream, next)
	{
		if (stream->kind == FEED_ASSIGNMENTS && strcmp(stream->id, change->entry->id) == 0)
			feed_stream_end(stream, FEED_CHANGED);
	}
}

/* A gateway that serves other addresses now needs another snapshot; one that was removed is told
 * nothing any more. */
static void end_mappings(struct feed *feed, const struct change *change)
{
	const struct gateway *old = (const struct gateway *)change->old;
	const struct gateway *new = (const struct gateway *)change->entry->committed;
	struct stream *stream, *next;

	if (!new->record.gone && (!old || old->addresses_revision == new->addresses_revision))
		return;
	DL_FOREACH_SAFE(feed->streams, stream, next)
	{
		if (stream->kind == FEED_MAPPINGS && strcmp(stream->id, change->entry->id) == 0)
			feed_stream_end(stream, FEED_CHANGED);
	}
}

void feed_commit(struct feed *feed, const struct state *state, const struct batch *batch)
{
	feed->epoch = state->epoch;
	feed->revision = state->revision;
	feed_log_commit(&feed->log, batch);
	if (!feed->streams)
		return;
	feed->serial++;
	if (batch->n_audits > 0 || batch->copied)
		feed_events_news(feed);
	for (size_t i = 0; i < batch->n; i++) {
		if (batch->changes[i].entry->kind == RECORD_GATEWAY)
			end_mappings(feed, &batch->changes[i]);
		else if (batch->changes[i].entry->kind == RECORD_TOKEN)
			end_callers(feed, &batch->changes[i]);
		else if (batch->changes[i].entry->kind == RECORD_HOST)
			end_assignments(feed, &batch->changes[i]);
	}
	for (size_t i = 0; i < batch->n; i++) {
		const struct change *change = &batch->changes[i];

		if (change->entry->committed->quiet)
			continue;
		feed_rows_tell(feed, state, change);
		if (change->entry->kind == RECORD_ENVIRONMENT) {
			tell_hosts(feed, change);
			tell_environment(feed, batch, (struct environment_entry *)change->entry);
		} else if (change->entry->kind == RECORD_PORT) {
			tell_gateways(feed, state, change);
			tell_environment(feed, batch,
					 ((struct port_entry *)change->entry)->environment);
		}
	}
	feed_send_touched(feed);
}

void feed_tell_logs(struct feed *feed, uint64_t epoch, const char *host, json_t *session)
{
	struct stream *stream, *next;

	DL_FOREACH_SAFE(feed->streams, stream, next)
	{
		struct evbuffer *out;

		if (stream->kind != FEED_ASSIGNMENTS || strcmp(stream->id, host) != 0)
			continue;
		out = evbuffer_new();
		feed_stream_send(stream, out,
				 out ? watch_write_logs(out, epoch, session) : -ENOMEM);
		if (out)
			evbuffer_free(out);
	}
}

/* ---- the feed ---- */

int feed_new(struct feed **ret, struct event_base *base, struct archive *archive,
	     const char *public_name)
{
	struct feed *feed = calloc(1, sizeof(*feed));

	if (!feed)
		return -ENOMEM;
	feed->public_name = public_name;
	feed->archive = archive;
	(void)evtimer_assign(&feed->bookmark, base, bookmark_due, feed);
	(void)loop_timer_arm(&feed->bookmark, WATCH_BOOKMARK_MS);
	*ret = feed;
	return 0;
}

static void end_all(struct feed *feed, enum feed_end why)
{
	while (feed->streams)
		feed_stream_end(feed->streams, why);
}

void feed_reset(struct feed *feed)
{
	end_all(feed, FEED_RESET);
	feed_log_reset(&feed->log);
}

void feed_free(struct feed *feed)
{
	if (!feed)
		return;
	end_all(feed, FEED_STOPPED);
	(void)event_del(&feed->bookmark);
	feed_log_clear(&feed->log);
	feed_events_clear(feed);
	free(feed);
}

unsigned feed_count(const struct feed *feed)
{
	return feed->n;
}

const char *feed_end_name(enum feed_end why)
{
	static const char *const names[FEED_END_MAX] = {
		[FEED_TOO_SLOW] = "too_slow", [FEED_REVOKED] = "revoked",
		[FEED_EXPIRED] = "expired",   [FEED_CHANGED] = "changed",
		[FEED_RESET] = "reset",       [FEED_STOPPED] = "stopped",
		[FEED_FAILED] = "failed",     [FEED_UNREAD] = "unread",
	};

	return names[why];
}

uint64_t feed_ended(const struct feed *feed, enum feed_end why)
{
	return feed->ended[why];
}
