/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The watch stream: how schedd tells a follower its desired state, as JSON lines.
 *
 *	{"type":"snapshot","epoch":3,"revision":120}     what follows replaces everything
 *	{"type":"item","item":{…}}                       any number of them
 *	{"type":"synced","epoch":3,"revision":120}       the snapshot is complete
 *	{"type":"change","epoch":3,"revision":121,"put":[{…}],"delete":[{…}]}
 *	{"type":"bookmark","epoch":3,"revision":125}     nothing changed up to here; sent every
 *	                                                 WATCH_BOOKMARK_MS at least
 *	{"type":"logs","epoch":3,"session":{…}}          a host is asked for a log
 *	                                                 (see log_session.h)
 *	{"type":"end","code":"too_slow","message":"…"}   the last line: why the sender ends it
 *
 * A stream that goes on from a revision begins with a change or a bookmark instead of a snapshot.
 * Items and keys are opaque here: mappings and mapping keys for a gateway, assignments and
 * {"environment":ID} for a host. One change is one revision and is applied as a whole.
 */
#pragma once

#include <event2/buffer.h>

#include "lib/error.h"
#include "lib/json.h"

#define WATCH_LINE_MAX ((size_t)32 << 20) /* bytes of one line */
#define WATCH_ITEMS_MAX 1000000           /* items of one snapshot */
#define WATCH_BOOKMARK_MS 5000            /* sender: silence is never longer */
#define WATCH_SILENCE_MS 15000            /* receiver: longer silence ends the stream */

/* Append one line to out. 0, -ENOMEM, or -E2BIG for a change over WATCH_LINE_MAX (send a
 * snapshot instead; nothing is appended). put and deleted are borrowed arrays, NULL for none. */
int watch_write_snapshot(struct evbuffer *out, uint64_t epoch, uint64_t revision) _must_check_;
int watch_write_item(struct evbuffer *out, json_t *item) _must_check_;
int watch_write_synced(struct evbuffer *out, uint64_t epoch, uint64_t revision) _must_check_;
int watch_write_change(struct evbuffer *out, uint64_t epoch, uint64_t revision, json_t *put,
		       json_t *deleted) _must_check_;
int watch_write_logs(struct evbuffer *out, uint64_t epoch, json_t *session) _must_check_;
int watch_write_end(struct evbuffer *out, const char *code, const char *message) _must_check_;
int watch_write_bookmark(struct evbuffer *out, uint64_t epoch, uint64_t revision) _must_check_;

struct watch_events {
	/* items is a borrowed array of all items. */
	void (*on_snapshot)(void *userdata, uint64_t epoch, uint64_t revision, json_t *items);
	/* put and deleted are borrowed arrays, never NULL. */
	void (*on_change)(void *userdata, uint64_t epoch, uint64_t revision, json_t *put,
			  json_t *deleted);
	void (*on_bookmark)(void *userdata, uint64_t epoch, uint64_t revision);
	/* session is a borrowed object. It is no state: what was missed is asked for again. */
	void (*on_logs)(void *userdata, uint64_t epoch, json_t *session);
	bool may_resume; /* without a snapshot: the reader asked to go on from somewhere */
};

struct watch_decoder;

/* A decoder for one stream. min_epoch: a line with a lower epoch is -ESTALE. */
int watch_decoder_new(struct watch_decoder **ret, const struct watch_events *events, void *userdata,
		      uint64_t min_epoch) _must_check_;
void watch_decoder_free(struct watch_decoder *decoder); /* NULL is fine */

/* Takes the next bytes, in pieces of any size, and calls the events for each complete message. Not
 * 0 ends the stream: -ECONNRESET where the sender ended it, with its sentence; -EINVAL (malformed,
 * out of order, a revision that goes back), -ESTALE, -EMSGSIZE over the limits, -ENOMEM. The state
 * before the bad line stays delivered. */
int watch_decoder_feed(struct watch_decoder *decoder, const char *data, size_t length,
		       struct error *err) _must_check_;

DEFINE_CLEANUP(struct watch_decoder *, watch_decoder_free, cleanup_watch_decoder)
