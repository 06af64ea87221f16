/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What http_server.c (connections, limits), http_listen.c, http_socket.c, http_dispatch.c (arrival
 * and routing) and http_request.c (requests, answers, streams) share. */
#pragma once

#include <event2/bufferevent.h>
#include <event2/event_struct.h>
#include <event2/http.h>
#include <sys/queue.h>
#include <sys/un.h>

#define HASH_NONFATAL_OOM 1
#define uthash_nonfatal_oom(element) \
	do {                         \
	} while (0)
#include <uthash.h>

#include "lib/http_length.h"
#include "lib/http_route.h"
#include "lib/http_server.h"

/* What a guard has given to a request. */
struct http_attachment {
	void *data;
	void (*release)(void *data);
};

/* evhttp's connection as we see it: from accept to its close callback. */
struct http_connection {
	LIST_ENTRY(http_connection) entry;
	struct http_server *server;
	struct bufferevent *bev;
	struct evhttp_connection *evcon; /* NULL until adopted */
	struct event adopt;              /* right after accept */
	struct event excess;             /* the request is over the limits */
	struct event deadline; /* of the handshake, of the request being read, or of the rest of a
				* refused one */
	char peer[64];
	bool tls;
	bool has_uid; /* a Unix socket */
	uid_t uid;
	size_t received;           /* bytes since the request's first */
	struct http_length length; /* what it says of its body */
	bool handshake;            /* of TLS, not seen to be done */
	bool reading;              /* a request has begun and is not complete */
	bool refused; /* we have answered over evhttp's head and only wait for the end */
	bool idle;    /* in the server's list of these */
	TAILQ_ENTRY(http_connection) idle_entry;
	struct http_request *request; /* the one that is being handled, or NULL */
	struct http_stream *stream;   /* its answer, or NULL */
	UT_hash_handle hh;            /* by evcon, once adopted */
};

struct http_request {
	LIST_ENTRY(http_request) entry;
	struct http_server *server;
	struct http_connection *connection; /* NULL once the client has gone */
	struct evhttp_request *evreq;       /* NULL once the server has gone */
	char *path;
	struct http_fields params, query;
	struct http_attachment attachment;
	void (*on_close)(void *userdata);
	void *userdata;
};

struct http_stream {
	LIST_ENTRY(http_stream) entry;
	struct http_server *server;
	struct http_connection *connection;
	struct evhttp_request *evreq;
	struct http_attachment attachment;
	bool begun; /* something was sent */
	void (*on_close)(struct http_stream *stream, void *userdata);
	void (*on_drained)(struct http_stream *stream, void *userdata); /* NULL: nobody asks */
	void *userdata;
};

struct http_routes {
	struct http_routes *next;
	const struct http_route *routes;
	size_t n;
	void *userdata;
};

struct http_socket {
	struct http_socket *next;
	char *path; /* to be removed at the end; NULL for TCP and for systemd's sockets */
};

struct http_server {
	struct event_base *base;
	struct evhttp *evhttp;
	struct evhttp *evhttps; /* the same with TLS; NULL: none */
	struct http_tls *tls;
	struct http_limits limits;
	struct http_routes *routes;
	http_guard guard; /* NULL: none */
	void *guard_userdata;
	http_filter filter; /* NULL: none */
	void *filter_userdata;
	struct http_socket *sockets;
	LIST_HEAD(, http_connection) connections;
	/* Those without a request that is being handled or answered, the longest first. */
	TAILQ_HEAD(, http_connection) idle;
	struct http_connection *by_evcon;
	LIST_HEAD(, http_request) requests;
	LIST_HEAD(, http_stream) streams;
	bool arriving; /* evhttp hands a request over */
	struct http_server_stats stats;
};

/* ---- http_socket.c: bound sockets, owned by the caller ---- */

/* ret_port (may be NULL) gets the port, also where 0 was asked for. */
int http_socket_tcp(const char *address, uint16_t port, int *ret_fd, uint16_t *ret_port,
		    struct error *err) _must_check_;
/* Replaces a stale one. -EADDRINUSE where somebody listens there. */
int http_socket_unix(const struct sockaddr_un *address, mode_t mode, int *ret_fd) _must_check_;
/* The socket that systemd passed for this path, or -1. */
int http_socket_from_systemd(const char *path);

/* ---- http_listen.c ---- */

/* Those that have a path are unlinked. */
void http_listen_remove_sockets(struct http_server *server);

/* ---- the server ---- */

/* Before the first listener with TLS; tls must outlive the server. */
int http_server_prepare_tls(struct http_server *server, struct http_tls *tls) _must_check_;

/* evhttp's callback for every complete request. */
void http_request_arrived(struct evhttp_request *evreq, void *server);

/* The connection is being closed: its pending request is told, its stream ends. */
void http_request_connection_closed(struct http_connection *connection);

/* The server is being freed: pending requests lose evhttp, streams end. */
void http_request_server_closed(struct http_server *server);

/* It has a request that is being handled or answered, or has no more: over the limit of
 * connections, those that have none make room for others. */
void http_connection_engage(struct http_connection *connection);
void http_connection_settle(struct http_connection *connection);
/* The answer is written: what the client has sent ahead is the beginning of its next request. */
void http_connection_resume(struct http_connection *connection);

/* Watches for the client's going away while nothing is read from it. */
void http_connection_watch_close(struct http_connection *connection);

/* The {"code","message","details"} text of an error; NULL when out of memory. details is taken over
 * and may be NULL. */
char *http_error_text(const struct error *err, json_t *details);
