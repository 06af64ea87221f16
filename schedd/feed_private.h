/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What feed.c (streams and commits) and feed_resume.c (going on from a revision) share. */
#pragma once

#include <event2/event_struct.h>

#include "schedd/access.h"
#include "schedd/feed.h"
#include "schedd/feed_log.h"

/* Who watches the same: one host's or gateway's desired state, or environments, whichever they are.
 * A change looks for its topic only, however many others watch. */
struct topic {
	char key[1 + RECORD_ID_MAX]; /* kind and id */
	struct stream *streams;
	UT_hash_handle hh;
};

struct stream {
	struct stream *prev, *next; /* of all */
	struct topic *topic;
	struct stream *topic_prev, *topic_next;
	struct stream *touched_next; /* of those that the batch concerns */
	struct feed *feed;
	struct http_stream *http;
	enum feed_kind kind;
	char id[RECORD_ID_MAX]; /* "": all */
	struct caller caller;
	bool touched;
	json_t *put, *deleted; /* of the batch */
};

struct feed {
	const char *public_name;
	struct event bookmark;
	struct stream *streams;
	struct topic *topics;
	struct stream *touched;
	unsigned n;
	struct feed_log log;
	uint64_t ended[FEED_END_MAX];
	uint64_t epoch, revision; /* of the last commit that was told */
};

/* NULL, with the request answered, where there is no memory or no client any more. */
struct stream *feed_open_stream(struct feed *feed, const struct state *state,
				struct http_request *request, enum feed_kind kind, const char *id);
/* Sends what is in out, or ends the stream where r says that it cannot be. */
void feed_stream_send(struct stream *stream, struct evbuffer *out, int r);
/* To the next change of this stream; takes over item, and NULL ends the stream when it is sent. */
void feed_add(struct stream *stream, bool put, json_t *item);
/* Sends the change of each stream that has one. */
void feed_send_touched(struct feed *feed, const struct state *state);

/* A stream of environments is of one or all, and of what its reader may see. */
bool feed_shows(const struct stream *stream, const struct environment_entry *entry);
/* Is it in its host's desired state? */
bool feed_is_assigned(const struct environment *environment);
