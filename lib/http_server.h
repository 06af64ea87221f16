/* SPDX-License-Identifier: GPL-2.0-or-later */
/* An HTTP/1.1 server on libevent's evhttp: Unix and TCP listeners, routes with parameters, JSON
 * bodies and errors, long streams, and limits on all of it.
 *
 * Ownership: a handler owns its struct http_request until it gives exactly one answer by one of
 * the http_reply_* or http_stream_start calls; it may do so later, from the event loop. Where
 * the client goes away first, the request stays valid and the answer is dropped, so a handler
 * need not know; http_request_on_close tells those who want to.
 *
 * evhttp has no deadline for a slow client (libevent#593) and frees a connection under a pending
 * answer (libevent#997): both are handled here and nowhere else.
 */
#pragma once

#include <event2/buffer.h>
#include <event2/event.h>
#include <sys/types.h>

#include "lib/error.h"
#include "lib/http_tls.h"
#include "lib/json.h"
#include "lib/util.h"

struct http_server;
struct http_request;
struct http_stream;

enum http_method {
	HTTP_GET = 1 << 0,
	HTTP_POST = 1 << 1,
	HTTP_PUT = 1 << 2,
	HTTP_DELETE = 1 << 3,
	HTTP_PATCH = 1 << 4,
	HTTP_HEAD = 1 << 5,
	HTTP_OTHER = 1 << 6, /* OPTIONS and what else HTTP has: no route has it */
};

struct http_limits {
	size_t header_bytes; /* default 16 KiB; more is answered with 431 or a closed connection */
	/* Default 1 MiB; more is answered with 413, also before it comes where the header says so.
	 */
	size_t body_bytes;
	uint32_t handshake_ms; /* of TLS, from accept; default 10 s */
	uint32_t request_ms;   /* from the first byte to the end of the body; default 30 s */
	uint32_t idle_ms;      /* kept-alive connection without a request; default 75 s */
	/* Default 1024. One more, and the one that has had nothing to be handled or sent for the
	 * longest time is closed, and counted; where all have, it is the newcomer. */
	unsigned connections;
	size_t stream_bytes; /* unsent bytes of one stream; default 16 MiB; see http_stream_send */
};

typedef void (*http_handler)(struct http_request *request, void *userdata);

/* A route's pattern is literal but for {name}, which takes one or more characters up to the next
 * literal character of the pattern, never '/': "/v1/mappings/{address}/{protocol}/{port}:why". */
struct http_route {
	enum http_method method; /* one method a route; HEAD is answered where GET is */
	const char *pattern;
	http_handler handler;
};

/* limits may be NULL; a zero in it means the default. */
int http_server_new(struct http_server **ret, struct event_base *base,
		    const struct http_limits *limits) _must_check_;
/* Closes listeners, connections and streams (their on_close callbacks run). NULL is fine. */
void http_server_free(struct http_server *server);

/* Adds routes; the array must outlive the server. An unknown path is answered with 404
 * "not_found", a known path with another method with 405 and Allow. A request whose end others
 * might see elsewhere (two lengths, a blank in a header's name, an unknown Transfer-Encoding) is
 * answered with 400 and the end of the connection. */
int http_server_routes(struct http_server *server, const struct http_route *routes, size_t n,
		       void *userdata) _must_check_;

/* Asked for each request that has a route, before its handler. False: it has answered. */
typedef bool (*http_guard)(struct http_request *request, const struct http_route *route,
			   void *userdata);
void http_server_set_guard(struct http_server *server, http_guard guard, void *userdata);

/* Asked for each request that the guard has let through, before its handler. True: the filter
 * answers it, now or later. One filter; NULL for none. */
typedef bool (*http_filter)(struct http_request *request, void *userdata);
void http_server_set_filter(struct http_server *server, http_filter filter, void *userdata);

/* port 0 lets the kernel choose; ret_port (may be NULL) gets the port. The error names address,
 * port and reason. */
int http_server_listen_tcp(struct http_server *server, const char *address, uint16_t port,
			   uint16_t *ret_port, struct error *err) _must_check_;
/* The same with TLS; tls must outlive the server. A client that does not complete its handshake
 * within handshake_ms is dropped. */
int http_server_listen_tls(struct http_server *server, struct http_tls *tls, const char *address,
			   uint16_t port, uint16_t *ret_port, struct error *err) _must_check_;
/* Binds a Unix socket in a folder that is made where it is missing, replacing a stale one (a live
 * one, where connect succeeds, is -EADDRINUSE), and removes it when the server is freed. A socket
 * passed by systemd with that path (sd_listen_fds) is used instead. */
int http_server_listen_unix(struct http_server *server, const char *path, mode_t mode,
			    struct error *err) _must_check_;

struct http_server_stats {
	uint64_t requests, connections_refused, connections_open, streams_open, timeouts;
	uint64_t handshakes_failed; /* not completed in time */
};
void http_server_stats(const struct http_server *server, struct http_server_stats *ret);

/* ---- the request: everything returned is borrowed and valid until the answer ---- */

enum http_method http_request_method(const struct http_request *request);
/* "GET" and so on; static. */
const char *http_method_name(enum http_method method);
const char *http_request_path(const struct http_request *request);
/* Path and query as they came, still encoded. */
const char *http_request_target(const struct http_request *request);
/* Decoded value of {name} in the route's pattern; NULL where the pattern has none. */
const char *http_request_param(const struct http_request *request, const char *name);
/* Decoded query value; NULL where absent, "" where it has no value. */
const char *http_request_query(const struct http_request *request, const char *name);
/* The first query parameter whose name is not in known (NULL-terminated); NULL if there is none. */
const char *http_request_unknown_query(const struct http_request *request,
				       const char *const *known);
const char *http_request_header(const struct http_request *request, const char *name);
/* The peer's IP address text, or "unix". */
const char *http_request_peer(const struct http_request *request);
/* The user at the other end of a Unix socket, as the kernel says; false where it is none. */
bool http_request_peer_uid(const struct http_request *request, uid_t *ret);
/* Something of the guard's that lives as long as the request, and then as long as its stream;
 * release is called once. One for each request. */
void http_request_attach(struct http_request *request, void *data, void (*release)(void *data));
void *http_request_attachment(const struct http_request *request);
const char *http_request_body(const struct http_request *request, size_t *ret_length);
/* The body as JSON: see json_decode. An empty body is -EINVAL "malformed". */
int http_request_json(struct http_request *request, json_t **ret, struct error *err) _must_check_;

/* on_close runs once if the client goes away before the answer, and never after the answer. The
 * request must still be answered. */
void http_request_on_close(struct http_request *request, void (*on_close)(void *userdata),
			   void *userdata);

/* ---- the answer: each ends the request; out of memory ends in a closed connection ---- */

/* Adds a header to the answer; call before the answer. */
void http_reply_header(struct http_request *request, const char *name, const char *value);
/* Takes over body (may be NULL: no body). */
void http_reply_json(struct http_request *request, int status, json_t *body);
/* Moves body's content (may be NULL), but to HEAD, which gets its length alone; content_type is
 * copied. */
void http_reply_buffer(struct http_request *request, int status, const char *content_type,
		       struct evbuffer *body);
/* {"code","message","details":{"field"}} with the status of http_status_of(err->errnum); with 503
 * and 429 goes Retry-After, the caller's own where it has set one. */
void http_reply_error(struct http_request *request, const struct error *err);
/* The same with a status of the caller's choice and more details (taken over; may be NULL). */
void http_reply_error_details(struct http_request *request, int status, const struct error *err,
			      json_t *details);

/* -EINVAL, -ERANGE 400 · -EACCES 401 · -EPERM 403 · -ENOENT 404 · -EEXIST, -EBUSY, -ENOSPC 409
 * · -EMSGSIZE, -E2BIG 413 · -EAGAIN, -ENOTCONN, -ETIMEDOUT 503 · -EINPROGRESS 504 ·
 * anything else 500. */
int http_status_of(int errnum);

/* ---- a stream: an answer without end, in chunks ---- */

/* Answers 200 and keeps the connection for chunks. On failure (-ENOMEM; -ENOTCONN: the client has
 * gone, or asked with HEAD) the request has been answered otherwise. on_close runs exactly once:
 * when the client goes, or the server is freed; after it the stream is gone. It does not run after
 * http_stream_end. The stream belongs to the server. */
int http_stream_start(struct http_request *request, const char *content_type,
		      void (*on_close)(struct http_stream *stream, void *userdata), void *userdata,
		      struct http_stream **ret) _must_check_;
/* Queues data. -ENOBUFS where the limit on unsent bytes would be passed: nothing is queued, and
 * the caller should end the stream. A chunk larger than the limit is accepted on an empty
 * queue, so that a snapshot has no size limit but its sender's. */
int http_stream_send(struct http_stream *stream, const void *data, size_t length) _must_check_;
int http_stream_send_buffer(struct http_stream *stream, struct evbuffer *data) _must_check_;
size_t http_stream_unsent(const struct http_stream *stream);
/* on_drained runs, with the stream's userdata, each time that all which was queued from here on has
 * been sent. It may end the stream. */
void http_stream_on_drained(struct http_stream *stream,
			    void (*on_drained)(struct http_stream *stream, void *userdata));
void http_stream_end(struct http_stream *stream);
/* The same after some last words, which no limit holds back; last may be NULL. */
void http_stream_end_with(struct http_stream *stream, struct evbuffer *last);

DEFINE_CLEANUP(struct http_server *, http_server_free, cleanup_http_server)
