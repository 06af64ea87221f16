/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Watch streams: what is committed, to whoever watches it, in the lines of proto/watch.h. One
 * commit is at most one line of a stream. A reader that is too slow loses its stream and takes a
 * new snapshot.
 */
#pragma once

#include <event2/event.h>

#include "lib/http_server.h"
#include "schedd/event_log.h"
#include "schedd/state.h"

struct feed;

enum feed_kind {
	FEED_ENVIRONMENTS, /* answers, of all or of one */
	FEED_HOSTS,        /* so these */
	FEED_GATEWAYS,
	FEED_PORTS,
	FEED_CUSTOMERS,
	FEED_QUOTAS,
	FEED_TOKENS,
	FEED_ASSIGNMENTS, /* desired state of one host */
	FEED_MAPPINGS,    /* desired state of one gateway */
	FEED_EVENTS,      /* see feed_start_events */
	FEED_KIND_MAX,
};

/* Why a stream is ended from this side; its last line says it. */
enum feed_end {
	FEED_TOO_SLOW,
	FEED_REVOKED,
	FEED_EXPIRED,
	FEED_CHANGED,
	FEED_RESET,
	FEED_STOPPED,
	FEED_FAILED,
	FEED_UNREAD,
	FEED_END_MAX,
};

/* archive, for streams of events, is borrowed, and so is public_name: see answer_environment. */
int feed_new(struct feed **ret, struct event_base *base, struct archive *archive,
	     const char *public_name) _must_check_;
/* Ends every stream. The archive may be gone, and must not call any more. NULL is fine. */
void feed_free(struct feed *feed);

/* Answers the request with a stream that begins with a snapshot of the committed rows. id is the
 * row's, NULL for all; copied. */
void feed_start(struct feed *feed, const struct state *state, struct http_request *request,
		enum feed_kind kind, const char *id);

/* The same without a snapshot, from a revision on that the reader has seen: first a change with
 * each row that has changed since, as it is now, or a bookmark. -ERANGE where the revision is not
 * known any more; the request is still to be answered then. */
int feed_resume(struct feed *feed, const struct state *state, struct http_request *request,
		enum feed_kind kind, const char *id, uint64_t revision) _must_check_;

/* Answers with a stream of the events that wanted asks for: a snapshot of the newest, then each as
 * it happens; where wanted says after what, these alone. They come from the database, so a reader
 * can go on from any event that is kept. */
void feed_start_events(struct feed *feed, const struct state *state, struct http_request *request,
		       const struct event_query *wanted);

/* Tells watchers of a batch that has just been committed; its changes still know the versions
 * before. */
void feed_commit(struct feed *feed, const struct state *state, const struct batch *batch);

/* Asks a host for a log (a borrowed log_session), on its streams; without one nothing is done. */
void feed_tell_logs(struct feed *feed, uint64_t epoch, const char *host, json_t *session);

/* Ends every stream: the state is about to be another. */
void feed_reset(struct feed *feed);

unsigned feed_count(const struct feed *feed);
/* Streams that were ended from this side, by why. */
uint64_t feed_ended(const struct feed *feed, enum feed_end why);
const char *feed_end_name(enum feed_end why);

DEFINE_CLEANUP(struct feed *, feed_free, cleanup_feed)
