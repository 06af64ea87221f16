/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What feed.c (streams and commits) shares with feed_snapshot.c, feed_resume.c (going on from a
 * revision), feed_rows.c and feed_events.c. */
#pragma once

#include <event2/event_struct.h>
#include <sys/queue.h>

#include "schedd/access.h"
#include "schedd/feed.h"
#include "schedd/feed_log.h"

/* Who watches the same: one row or all of a list, one host's or gateway's desired state, events, or
 * environments, whichever they are. A change looks for its topics only, however many others watch.
 */
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
	json_t *put, *deleted;       /* of the batch */
	struct event_stream *events; /* of FEED_EVENTS; owned */
};

/* A question to the archive, which may outlive the stream that it is for. */
struct feed_question {
	LIST_ENTRY(feed_question) entry;
	struct feed *feed;
	struct stream *stream; /* NULL: it is gone, or the question is the feed's own */
	enum { QUESTION_STREAM, QUESTION_ANCHOR, QUESTION_NEWS } about;
	uint64_t revision; /* of the last commit when it was asked: all up to there is in the answer
			    */
};

/* What has happened, for all streams of events together. */
struct feed_tail {
	int64_t last; /* every stream that has caught up was told up to here */
	bool known;   /* last is; not while no stream needs it */
	bool asked, again;
	LIST_HEAD(, feed_question) questions;
};

struct feed {
	const char *public_name;
	struct archive *archive;
	struct event bookmark;
	struct stream *streams;
	struct topic *topics;
	struct stream *touched;
	unsigned n, of_kind[FEED_KIND_MAX];
	struct feed_tail tail;
	struct feed_log log;
	uint64_t ended[FEED_END_MAX];
	uint64_t epoch, revision; /* of the last commit that was told */
	uint64_t serial;          /* of commits that were told */
};

/* NULL, with the request answered, where there is no memory or no client any more. */
struct stream *feed_open_stream(struct feed *feed, const struct state *state,
				struct http_request *request, enum feed_kind kind, const char *id);
/* The first of those who watch this row, or with "" all of its kind; NULL for nobody. The others by
 * topic_next. Environments have one topic, whichever row is watched. */
struct stream *feed_watchers(const struct feed *feed, enum feed_kind kind, const char *id);
/* Sends what is in out, or ends the stream where r says that it cannot be. */
void feed_stream_send(struct stream *stream, struct evbuffer *out, int r);
/* To the next change of this stream; takes over item, and NULL ends the stream when it is sent. */
void feed_add(struct stream *stream, bool put, json_t *item);
/* Sends the change of each stream that has one. */
void feed_send_touched(struct feed *feed);

void feed_stream_end(struct stream *stream, enum feed_end why);

/* ---- feed_rows.c: streams of a list's rows ---- */

/* The kind of the rows; RECORD_KIND_MAX where the stream is of something else. */
enum record_kind feed_rows_of(enum feed_kind kind);
/* Is this row on this stream, for what it is and whose? */
bool feed_rows_shows(const struct stream *stream, const char *id, const char *owner);
int feed_rows_write(const struct feed *feed, const struct state *state, const struct stream *stream,
		    struct evbuffer *out) _must_check_;
/* A row as it is now, or that it is gone, to one stream. */
void feed_rows_say(struct stream *stream, const struct state *state,
		   const struct feed_log_change *change);
/* Tells of a change of a batch. */
void feed_rows_tell(struct feed *feed, const struct state *state, const struct change *change);

/* ---- feed_events.c ---- */

/* Something was committed that may have made events. */
void feed_events_news(struct feed *feed);
/* The last commit of which a stream of events was told all; false: it has not begun. */
bool feed_events_told(const struct stream *stream, uint64_t *ret);
/* Asks again what could not be asked, as too many waited. */
void feed_events_retry(struct feed *feed);
/* The stream ends. */
void feed_events_forget(struct stream *stream);
void feed_events_clear(struct feed *feed);

/* ---- feed_snapshot.c ---- */

/* Writes the snapshot of a stream of anything but events. -ENOENT: what it is about is gone. */
int feed_snapshot_write(const struct feed *feed, const struct state *state,
			const struct stream *stream, struct evbuffer *out) _must_check_;
/* A stream of environments is of one or all, and of what its reader may see. */
bool feed_shows(const struct stream *stream, const struct environment_entry *entry);
/* Is it in its host's desired state? */
bool feed_is_assigned(const struct environment *environment);
