/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Logs on their way from a host to whoever asked: see proto/log_session.h. A session is two
 * connections and a number; nothing of a log is kept here but the piece that its reader has not
 * taken yet, and the host gets no answer to that piece before.
 */
#pragma once

#include <event2/event.h>

#include "lib/http_server.h"
#include "lib/metrics.h"
#include "proto/log_session.h"
#include "schedd/access.h"

/* Why a session has ended. */
enum log_sessions_end {
	LOGS_COMPLETE,
	LOGS_HOST_FAILED, /* it said why */
	LOGS_HOST_SILENT,
	LOGS_READER_GONE,
	LOGS_REVOKED,
	LOGS_EXPIRED,
	LOGS_RESET,
	LOGS_STOPPED,
	LOGS_END_MAX,
};

struct log_sessions_config {
	unsigned all;        /* at a time */
	unsigned per_token;  /* of one caller */
	uint32_t timeout_ms; /* a host that is silent so long is given up */
	/* Tells a host of a session (borrowed), if it can be told now. */
	void (*tell)(void *userdata, const char *host, json_t *session);
	void *userdata;
};

struct log_sessions;

/* Registers its metrics. */
int log_sessions_new(struct log_sessions **ret, struct event_base *base, struct metrics *metrics,
		     const struct log_sessions_config *config) _must_check_;
/* Ends every session. NULL is fine. */
void log_sessions_free(struct log_sessions *sessions);

/* The option whose limit does not let this caller read one more, or NULL. Who needs no token is
 * held by that of all only. */
const char *log_sessions_limit(const struct log_sessions *sessions, const struct caller *caller);

/* Takes over a reader's request, which no limit holds: tells the host, and answers once that has
 * begun, or with the reason why not. wanted has everything but an id. */
void log_sessions_open(struct log_sessions *sessions, struct http_request *request,
		       const char *host, const struct log_session *wanted);

/* Takes over a host's request: a piece. last: it says how the log ended. */
void log_sessions_piece(struct log_sessions *sessions, struct http_request *request,
			const char *host, const char *id, uint64_t sequence, bool last);

/* What a host was asked for and has not begun: an array of sessions, a new reference; NULL where
 * there is nothing. */
json_t *log_sessions_wanted(const struct log_sessions *sessions, const char *host);

/* A token was revoked: its sessions end. */
void log_sessions_revoke(struct log_sessions *sessions, const char *token);
/* Every session ends: this process may lead no more. */
void log_sessions_reset(struct log_sessions *sessions);

DEFINE_CLEANUP(struct log_sessions *, log_sessions_free, cleanup_log_sessions)
