/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The sessions, from the reader's request over its stream to the end, whichever side is first. */
#include "schedd/log_sessions.h"

#include <errno.h>
#include <event2/event_struct.h>
#include <stdio.h>
#include <string.h>
#include <utlist.h>

#include "lib/clock.h"
#include "lib/loop.h"
#include "lib/random.h"

#define TICK_MS 500
/* A piece is answered after so long at the latest, so that the host can see that we are there. */
#define HOLD_MS 5000

struct session {
	struct session *prev, *next;
	struct log_sessions *all;
	struct log_session wanted;
	char host[FOLLOWER_NAME_MAX + 1];
	struct caller caller;
	struct http_request *request; /* the reader's, until the host has begun */
	bool gone;                    /* the reader is, before that */
	struct http_stream *http;     /* the reader's, from then on */
	struct http_request *held;    /* the host's piece, until the reader has taken it */
	uint64_t held_ms, heard_ms;
	uint64_t sequence; /* of the next piece */
};

struct log_sessions {
	struct log_sessions_config config;
	struct event tick;
	struct session *sessions;
	unsigned n;
	uint64_t bytes, ended[LOGS_END_MAX];
	struct metric *open_metric, *bytes_metric, *ended_metric;
};

static const struct {
	const char *reason, *code;
} ends[LOGS_END_MAX] = {
	[LOGS_COMPLETE] = { "complete", NULL },
	[LOGS_HOST_FAILED] = { "host_failed", NULL },
	[LOGS_HOST_SILENT] = { "host_silent", "host_silent" },
	[LOGS_READER_GONE] = { "reader_gone", "gone" },
	[LOGS_REVOKED] = { "revoked", "unauthenticated" },
	[LOGS_EXPIRED] = { "expired", "unauthenticated" },
	[LOGS_RESET] = { "reset", "unavailable" },
	[LOGS_STOPPED] = { "stopped", "unavailable" },
};

/* ---- answers ---- */

/* To a piece of the host's. */
static void reply_full(struct http_request *request, bool full)
{
	http_reply_json(request, 200, json_pack("{s:b}", "full", full));
}

static void reply_gone(struct http_request *request)
{
	struct error err = ERROR_INIT;

	error_set(&err, -ENOENT, "gone", NULL, "nobody reads this log any more");
	http_reply_error_details(request, 410, &err, NULL);
}

/* The host may go on, or knows that it has to wait. */
static void release(struct session *session, bool full)
{
	if (!session->held)
		return;
	session->heard_ms = clock_monotonic_ms(); /* it could say nothing meanwhile */
	reply_full(TAKE_PTR(session->held), full);
}

/* ---- the end ---- */

/* Before the host has begun the reader gets an answer, and not the end of a stream. */
static void refuse(struct http_request *request, enum log_sessions_end why, const char *code,
		   const char *message)
{
	struct error err = ERROR_INIT;
	int status = why == LOGS_REVOKED || why == LOGS_EXPIRED ? 401
		     : strcmp(code, "no_container") == 0        ? 409
								: 503;

	error_set(&err, -ENOTCONN, "log", NULL, "%s", message);
	err.code = code;
	http_reply_error_details(request, status, &err, NULL);
}

static void end_stream(struct session *session, const char *code, const char *message)
{
	struct evbuffer *last = evbuffer_new();

	if (last && log_write_end(last, code, message) < 0) {
		evbuffer_free(last);
		last = NULL;
	}
	http_stream_end_with(session->http, last);
	if (last)
		evbuffer_free(last);
}

/* Tells the reader, if it is there, with a code of the host's where code is not NULL, and the host,
 * where it does not know. */
static void session_end(struct session *session, enum log_sessions_end why, const char *code,
			const char *message)
{
	struct log_sessions *all = session->all;
	struct log_session nothing = { .tail = LOG_TAIL_ALL };
	json_t *json;

	DL_DELETE(all->sessions, session);
	all->n--;
	all->ended[why]++;
	if (session->held)
		reply_gone(session->held);
	if (session->request)
		refuse(session->request, why, code ? code : ends[why].code, message);
	if (session->http)
		end_stream(session, code ? code : ends[why].code, message);
	if (why != LOGS_COMPLETE && why != LOGS_HOST_FAILED) {
		memcpy(nothing.id, session->wanted.id, sizeof(nothing.id));
		json = log_session_encode(&nothing);
		if (json)
			all->config.tell(all->config.userdata, session->host, json);
		json_decref(json);
	}
	free(session);
}

/* ---- the reader ---- */

static void reader_left(void *userdata)
{
	struct session *session = userdata;

	session->gone = true; /* its request is answered at the next tick */
}

static void stream_closed(struct http_stream *stream, void *userdata)
{
	struct session *session = userdata;

	session->http = NULL;
	session_end(session, LOGS_READER_GONE, NULL, "");
}

static void stream_drained(struct http_stream *stream, void *userdata)
{
	release(userdata, false);
}

static int begin_stream(struct session *session)
{
	struct http_request *request = TAKE_PTR(session->request);
	int r;

	r = http_stream_start(request, "application/jsonl", stream_closed, session, &session->http);
	if (r == 0)
		http_stream_on_drained(session->http, stream_drained);
	return r;
}

static unsigned count_of(const struct log_sessions *sessions, const struct caller *caller)
{
	const struct session *session;
	unsigned n = 0;

	DL_FOREACH (sessions->sessions, session)
		n += strcmp(session->caller.token, caller->token) == 0;
	return n;
}

const char *log_sessions_limit(const struct log_sessions *sessions, const struct caller *caller)
{
	if (sessions->n >= sessions->config.all)
		return "max-logs";
	if (caller->token[0] && count_of(sessions, caller) >= sessions->config.per_token)
		return "token-logs";
	return NULL;
}

static struct session *session_new(struct log_sessions *sessions, struct http_request *request,
				   const char *host, const struct log_session *wanted)
{
	struct session *session = calloc(1, sizeof(*session));

	if (!session)
		return NULL;
	session->all = sessions;
	session->wanted = *wanted;
	session->caller = *access_caller(request);
	(void)snprintf(session->host, sizeof(session->host), "%s", host);
	if (random_text(session->wanted.id, LOG_SESSION_ID_MAX) < 0) {
		free(session);
		return NULL;
	}
	session->heard_ms = clock_monotonic_ms();
	session->request = request;
	return session;
}

void log_sessions_open(struct log_sessions *sessions, struct http_request *request,
		       const char *host, const struct log_session *wanted)
{
	_cleanup_json_ json_t *json = NULL;
	struct session *session = NULL;
	struct error err = ERROR_INIT;

	session = session_new(sessions, request, host, wanted);
	json = session ? log_session_encode(&session->wanted) : NULL;
	if (!json) {
		free(session);
		error_set(&err, -ENOMEM, "internal", NULL, "out of memory");
		http_reply_error(request, &err);
		return;
	}
	DL_APPEND(sessions->sessions, session);
	sessions->n++;
	http_request_on_close(request, reader_left, session);
	sessions->config.tell(sessions->config.userdata, host, json);
}

/* ---- the host ---- */

static struct session *find(struct log_sessions *sessions, const char *host, const char *id)
{
	struct session *session;

	DL_FOREACH (sessions->sessions, session)
		if (strcmp(session->wanted.id, id) == 0 && strcmp(session->host, host) == 0)
			return session;
	return NULL;
}

static void take_end(struct session *session, struct http_request *request)
{
	_cleanup_json_ json_t *json = NULL;
	struct error err = ERROR_INIT;
	struct log_end end;
	int r = http_request_json(request, &json, &err);

	if (r == 0)
		r = log_end_decode(json, &end, &err);
	if (r < 0) {
		http_reply_error(request, &err);
		return;
	}
	reply_full(request, false);
	session_end(session, strcmp(end.code, "complete") == 0 ? LOGS_COMPLETE : LOGS_HOST_FAILED,
		    end.code, end.message);
}

/* To the reader, whole lines only: what comes after them is ours. The answer waits until it is on
 * its way. */
static void take_text(struct session *session, struct http_request *request)
{
	struct error err = ERROR_INIT;
	size_t length;
	const char *body = http_request_body(request, &length);

	if (length > 0 && (!body || body[length - 1] != '\n')) {
		error_set(&err, -EINVAL, "malformed", NULL, "a piece of a log is whole lines");
		http_reply_error(request, &err);
		return;
	}
	if ((session->request && begin_stream(session) < 0) ||
	    (length > 0 && http_stream_send(session->http, body, length) < 0)) {
		reply_gone(request);
		session_end(session, LOGS_READER_GONE, NULL, "out of memory");
		return;
	}
	session->sequence++;
	session->all->bytes += length;
	session->held = request;
	session->held_ms = clock_monotonic_ms();
	if (http_stream_unsent(session->http) == 0)
		release(session, false);
}

void log_sessions_piece(struct log_sessions *sessions, struct http_request *request,
			const char *host, const char *id, uint64_t sequence, bool last)
{
	struct session *session = find(sessions, host, id);
	struct error err = ERROR_INIT;

	if (!session || session->gone) {
		reply_gone(request);
		return;
	}
	release(session, true); /* a second one means that the host waits for the first no more */
	session->heard_ms = clock_monotonic_ms();
	if (sequence + 1 == session->sequence && !last) { /* it had no answer to what we took */
		reply_full(request, http_stream_unsent(session->http) > 0);
	} else if (sequence != session->sequence) {
		error_set(&err, -ESTALE, "out_of_order", "sequence",
			  "sequence: %llu is not the next one", (unsigned long long)sequence);
		http_reply_error(request, &err);
		session_end(session, LOGS_HOST_FAILED, "host_failed",
			    "the host has lost a piece of the log");
	} else if (last) {
		take_end(session, request);
	} else {
		take_text(session, request);
	}
}

json_t *log_sessions_wanted(const struct log_sessions *sessions, const char *host)
{
	json_t *array = NULL;
	const struct session *session;

	DL_FOREACH (sessions->sessions, session) {
		if (!session->request || session->gone || strcmp(session->host, host) != 0)
			continue;
		array = array ? array : json_array();
		/* Without memory it is said another time. */
		(void)json_array_append_new(array, log_session_encode(&session->wanted));
	}
	return array;
}

/* ---- time ---- */

/* False: it has ended. */
static void look_at(struct session *session, uint64_t now_ms)
{
	char message[ERROR_MESSAGE_MAX];
	int64_t expires_at = session->caller.expires_at;

	if (session->held && now_ms - session->held_ms >= HOLD_MS)
		release(session, true);
	if (session->gone) {
		session_end(session, LOGS_READER_GONE, NULL, "you are gone");
	} else if (expires_at > 0 && expires_at <= clock_unix_seconds()) {
		session_end(session, LOGS_EXPIRED, NULL, "the token has expired");
	} else if (!session->held &&
		   now_ms - session->heard_ms >= session->all->config.timeout_ms) {
		(void)snprintf(message, sizeof(message),
			       "host %s has said nothing of this log for %u s", session->host,
			       session->all->config.timeout_ms / 1000);
		session_end(session, LOGS_HOST_SILENT, NULL, message);
	}
}

static void tick(evutil_socket_t fd, short what, void *userdata)
{
	struct log_sessions *sessions = userdata;
	uint64_t now_ms = clock_monotonic_ms();
	struct session *session, *next;

	(void)loop_timer_arm(&sessions->tick, TICK_MS);
	DL_FOREACH_SAFE(sessions->sessions, session, next)
	{
		look_at(session, now_ms);
	}
}

void log_sessions_revoke(struct log_sessions *sessions, const char *token)
{
	struct session *session, *next;

	DL_FOREACH_SAFE(sessions->sessions, session, next)
	{
		if (strcmp(session->caller.token, token) == 0)
			session_end(session, LOGS_REVOKED, NULL, "the token was revoked");
	}
}

static void end_all(struct log_sessions *sessions, enum log_sessions_end why, const char *message)
{
	while (sessions->sessions)
		session_end(sessions->sessions, why, NULL, message);
}

void log_sessions_reset(struct log_sessions *sessions)
{
	end_all(sessions, LOGS_RESET, "this schedd does not lead any more: ask again");
}

/* ---- the module ---- */

static void collect(void *userdata)
{
	struct log_sessions *sessions = userdata;

	metric_set(sessions->open_metric, NULL, sessions->n);
	metric_set(sessions->bytes_metric, NULL, (double)sessions->bytes);
	for (int why = 0; why < LOGS_END_MAX; why++)
		metric_set(sessions->ended_metric, (const char *const[]){ ends[why].reason },
			   (double)sessions->ended[why]);
}

int log_sessions_new(struct log_sessions **ret, struct event_base *base, struct metrics *metrics,
		     const struct log_sessions_config *config)
{
	static const char *const reason[] = { "reason", NULL };
	_cleanup_(cleanup_log_sessions) struct log_sessions *sessions =
		calloc(1, sizeof(*sessions));

	if (!sessions)
		return -ENOMEM;
	sessions->config = *config;
	(void)evtimer_assign(&sessions->tick, base, tick, sessions);
	(void)loop_timer_arm(&sessions->tick, TICK_MS);
	sessions->open_metric =
		metrics_register(metrics, METRIC_GAUGE, "portico_sched_log_sessions",
				 "Logs that are being read.", NULL);
	sessions->bytes_metric =
		metrics_register(metrics, METRIC_COUNTER, "portico_sched_log_bytes_total",
				 "Bytes of logs that were passed on.", NULL);
	sessions->ended_metric =
		metrics_register(metrics, METRIC_COUNTER, "portico_sched_log_sessions_ended_total",
				 "Logs that were read, by why that ended.", reason);
	if (metrics_on_write(metrics, collect, sessions) < 0)
		return -ENOMEM;
	*ret = TAKE_PTR(sessions);
	return 0;
}

void log_sessions_free(struct log_sessions *sessions)
{
	if (!sessions)
		return;
	end_all(sessions, LOGS_STOPPED, "schedd is stopping");
	(void)event_del(&sessions->tick);
	free(sessions);
}
