/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Connections of the HTTP server, and the server itself: limits on how many, how large and how
 * slow. What it listens on is in http_listen.c.
 *
 * libevent 2.1 has no hook for a new connection. It does call evhttp_set_bevcb's callback for each,
 * right before it attaches the bufferevent to its evhttp_connection as callback argument; an event
 * that runs right after reads that argument, sets the close callback, and so a connection is known
 * from its first byte to its end. A request over the limits is answered on the bufferevent
 * directly, since evhttp would answer with a page of HTML or not at all; then evhttp is told of an
 * error on the connection, and frees it. evhttp would also wait for all of a body before anybody
 * learns of it, and ask for it where the client waits to be asked (Expect: 100-continue); so we
 * read the header's Content-Length for ourselves, from the same bytes, and refuse at the end of
 * that line what will be too long.
 */
#include "lib/http_server.h"

#include <errno.h>
#include <inttypes.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <string.h>

#include "lib/http_server_private.h"

/* A refused client gets this long to read the answer and to stop sending. */
#define REFUSED_LINGER_MS 2000

static struct timeval to_timeval(uint64_t ms)
{
	return (struct timeval){ .tv_sec = (time_t)(ms / 1000),
				 .tv_usec = (suseconds_t)(ms % 1000 * 1000) };
}

/* Lets evhttp free a connection as if the client had gone. The close callback runs inside. */
static void drop(struct http_connection *connection)
{
	bufferevent_event_cb on_event = NULL;
	void *arg = NULL;

	bufferevent_getcb(connection->bev, NULL, NULL, &on_event, &arg);
	if (connection->refused) /* our own callbacks stand there */
		return;
	if (on_event)
		on_event(connection->bev, BEV_EVENT_ERROR | BEV_EVENT_READING, arg);
}

/* ---- answers over evhttp's head ---- */

struct refusal {
	struct http_connection *connection;
	bufferevent_event_cb on_event; /* evhttp's */
	void *arg;
};

static void refusal_end(struct refusal *refusal)
{
	struct http_connection *connection = refusal->connection;
	bufferevent_event_cb on_event = refusal->on_event;
	void *arg = refusal->arg;

	bufferevent_setcb(connection->bev, NULL, NULL, on_event, arg);
	free(refusal);
	on_event(connection->bev, BEV_EVENT_ERROR | BEV_EVENT_READING, arg);
}

static void refusal_drain(struct bufferevent *bev, void *userdata)
{
	struct evbuffer *input = bufferevent_get_input(bev);

	evbuffer_drain(input, evbuffer_get_length(input));
}

/* All is written: say so, and let the client stop by itself; a reset now could cost it the answer.
 */
static void refusal_written(struct bufferevent *bev, void *userdata)
{
	shutdown(bufferevent_getfd(bev), SHUT_WR);
}

static void refusal_event(struct bufferevent *bev, short what, void *userdata)
{
	refusal_end(userdata);
}

static const char *reason_of(int status)
{
	return status == 408 ? "Request Timeout" : "Payload Too Large";
}

/* evhttp may have asked for the body with 100 Continue just now. Nothing else can be unsent: it
 * reads no request before the answer to the one before is written. Of a bare socket libevent keeps
 * the output frozen; with TLS it must not be, or what is written stays in it, to be written again.
 */
static void withdraw_continue(struct http_connection *connection)
{
	struct evbuffer *output = bufferevent_get_output(connection->bev);

	evbuffer_unfreeze(output, 1);
	evbuffer_drain(output, evbuffer_get_length(output));
	if (!connection->tls)
		evbuffer_freeze(output, 1);
}

/* Answers status and ends the connection, whatever evhttp was waiting for on it. */
static void refuse(struct http_connection *connection, int status, const struct error *err)
{
	_cleanup_free_ char *text = http_error_text(err, NULL);
	struct evbuffer *output = bufferevent_get_output(connection->bev);
	struct timeval linger = to_timeval(REFUSED_LINGER_MS);
	struct refusal *refusal = malloc(sizeof(*refusal));

	if (!text || !refusal) {
		free(refusal);
		drop(connection);
		return;
	}
	*refusal = (struct refusal){ .connection = connection };
	bufferevent_getcb(connection->bev, NULL, NULL, &refusal->on_event, &refusal->arg);
	connection->refused = true;
	http_connection_engage(connection); /* it ends soon by itself */
	connection->reading = false;
	bufferevent_setcb(connection->bev, refusal_drain, refusal_written, refusal_event, refusal);
	refusal_drain(connection->bev, NULL);
	withdraw_continue(connection);
	evbuffer_add_printf(output,
			    "HTTP/1.1 %d %s\r\nContent-Type: application/json\r\n"
			    "Content-Length: %zu\r\nConnection: close\r\n\r\n%s",
			    status, reason_of(status), strlen(text), text);
	bufferevent_set_timeouts(connection->bev, &linger, &linger);
	bufferevent_enable(connection->bev, EV_READ | EV_WRITE);
	event_add(&connection->deadline, &linger);
}

static void deadline_passed(evutil_socket_t fd, short what, void *userdata)
{
	struct http_connection *connection = userdata;
	struct error err = ERROR_INIT;

	if (connection->refused) {
		bufferevent_event_cb on_event;
		void *refusal;

		bufferevent_getcb(connection->bev, NULL, NULL, &on_event, &refusal);
		refusal_end(refusal);
		return;
	}
	if (connection->handshake && !http_tls_established(connection->bev)) {
		connection->server->stats.handshakes_failed++;
		drop(connection);
		return;
	}
	connection->handshake = false;
	if (!connection->reading)
		return;
	connection->server->stats.timeouts++;
	error_set(&err, -ETIMEDOUT, "timeout", NULL, "the request took longer than %u ms",
		  connection->server->limits.request_ms);
	refuse(connection, 408, &err);
}

/* ---- connections ---- */

/* Of the body that has not come yet. */
static bool says_too_long(const struct http_connection *connection)
{
	return connection->length.known &&
	       connection->length.length > connection->server->limits.body_bytes;
}

static bool is_too_large(const struct http_connection *connection)
{
	const struct http_limits *limits = &connection->server->limits;

	return connection->received > limits->header_bytes + limits->body_bytes ||
	       says_too_long(connection);
}

static void over_limit(evutil_socket_t fd, short what, void *userdata)
{
	struct http_connection *connection = userdata;
	const struct http_limits *limits = &connection->server->limits;
	struct error err = ERROR_INIT;

	if (says_too_long(connection))
		error_set(&err, -EMSGSIZE, "too_large", NULL,
			  "the body of %" PRIu64 " bytes is larger than %zu bytes",
			  connection->length.length, limits->body_bytes);
	else
		error_set(&err, -EMSGSIZE, "too_large", NULL,
			  "the request is larger than %zu bytes of header and %zu bytes of body",
			  limits->header_bytes, limits->body_bytes);
	if (connection->reading)
		refuse(connection, 413, &err);
}

/* Looks for the length in the last n bytes of the input. */
static void scan_length(struct http_connection *connection, struct evbuffer *input, size_t n)
{
	struct evbuffer_iovec piece;
	struct evbuffer_ptr at;

	if (evbuffer_ptr_set(input, &at, evbuffer_get_length(input) - n, EVBUFFER_PTR_SET) < 0)
		return;
	while (n > 0 && !connection->length.done && evbuffer_peek(input, 1, &at, &piece, 1) > 0) {
		size_t length = MIN(piece.iov_len, n);

		http_length_feed(&connection->length, piece.iov_base, length);
		n -= length;
		if (evbuffer_ptr_set(input, &at, length, EVBUFFER_PTR_ADD) < 0)
			return;
	}
}

/* The last n bytes of the input are of the request that is being read, or begin one. */
static void take_input(struct http_connection *connection, struct evbuffer *input, size_t n)
{
	const struct http_limits *limits = &connection->server->limits;
	bool was_too_large;

	if (!connection->reading) {
		struct timeval deadline = to_timeval(limits->request_ms);

		connection->handshake = false;
		connection->reading = true;
		connection->received = 0;
		connection->length = (struct http_length){ .n = 0 };
		event_add(&connection->deadline, &deadline);
	}
	was_too_large = is_too_large(connection);
	connection->received += n;
	scan_length(connection, input, n);
	if (is_too_large(connection) && !was_too_large)
		event_active(&connection->excess, EV_TIMEOUT,
			     0); /* not inside the buffer's callback */
}

/* Runs for each change of what has been received and not been taken by evhttp. */
static void input_changed(struct evbuffer *input, const struct evbuffer_cb_info *info,
			  void *userdata)
{
	struct http_connection *connection = userdata;

	/* What comes while a request is handled or answered waits for http_connection_resume. */
	if (info->n_added > 0 && connection->idle)
		take_input(connection, input, info->n_added);
}

void http_connection_resume(struct http_connection *connection)
{
	struct evbuffer *input = bufferevent_get_input(connection->bev);
	size_t length = evbuffer_get_length(input);

	if (length > 0)
		take_input(connection, input, length);
}

static void connection_closed(struct evhttp_connection *evcon, void *userdata)
{
	struct http_connection *connection = userdata;

	http_request_connection_closed(connection);
	event_del(&connection->adopt);
	event_del(&connection->excess);
	event_del(&connection->deadline);
	LIST_REMOVE(connection, entry);
	http_connection_engage(connection);
	if (connection->hh.tbl)
		HASH_DEL(connection->server->by_evcon, connection);
	connection->server->stats.connections_open--;
	free(connection);
}

static void describe_peer(struct http_connection *connection)
{
	struct sockaddr_storage local;
	socklen_t length = sizeof(local);
	struct ucred peer;
	socklen_t peer_length = sizeof(peer);
	evutil_socket_t fd = bufferevent_getfd(connection->bev);
	char *address = NULL;
	ev_uint16_t port;
	int on = 1;

	if (getsockname(fd, (struct sockaddr *)&local, &length) == 0 &&
	    local.ss_family == AF_UNIX) {
		snprintf(connection->peer, sizeof(connection->peer), "unix");
		connection->has_uid =
			getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &peer_length) == 0;
		connection->uid = connection->has_uid ? peer.uid : 0;
		return;
	}
	evhttp_connection_get_peer(connection->evcon, &address, &port);
	snprintf(connection->peer, sizeof(connection->peer), "%s", address ? address : "unknown");
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	/* A peer that has vanished from the network is given up as soon as a silent one. */
	setsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &connection->server->limits.idle_ms,
		   sizeof(connection->server->limits.idle_ms));
}

static void attach(struct http_connection *connection)
{
	void *arg = NULL;

	bufferevent_getcb(connection->bev, NULL, NULL, NULL, &arg);
	connection->evcon = arg;
	evhttp_connection_set_closecb(connection->evcon, connection_closed, connection);
	HASH_ADD_PTR(connection->server->by_evcon, evcon, connection);
}

/* Who makes room for the newcomer: the one that has had nothing for the longest time, so that those
 * who only hold connections, or send requests that never end, shut each other out and nobody else.
 */
static struct http_connection *longest_idle(struct http_connection *newcomer)
{
	struct http_connection *first = TAILQ_FIRST(&newcomer->server->idle);

	return first && first->hh.tbl ? first : newcomer;
}

static void adopt(evutil_socket_t fd, short what, void *userdata)
{
	struct http_connection *connection = userdata;
	struct http_server *server = connection->server;

	attach(connection);
	describe_peer(connection);
	if (server->stats.connections_open <= server->limits.connections)
		return;
	server->stats.connections_refused++;
	drop(longest_idle(connection));
}

/* Takes over bev, which may be NULL. */
static struct http_connection *follow(struct http_server *server, struct event_base *base,
				      struct bufferevent *bev)
{
	struct http_connection *connection = calloc(1, sizeof(*connection));

	if (!connection || !bev ||
	    !evbuffer_add_cb(bufferevent_get_input(bev), input_changed, connection)) {
		if (bev)
			bufferevent_free(bev);
		free(connection);
		return NULL; /* evhttp makes one of its own, without our limits, or fails as well */
	}
	connection->server = server;
	connection->bev = bev;
	event_assign(&connection->adopt, base, -1, 0, adopt, connection);
	event_assign(&connection->excess, base, -1, 0, over_limit, connection);
	evtimer_assign(&connection->deadline, base, deadline_passed, connection);
	event_priority_set(&connection->adopt, 0);
	event_active(&connection->adopt, EV_TIMEOUT, 0);
	LIST_INSERT_HEAD(&server->connections, connection, entry);
	http_connection_settle(connection);
	server->stats.connections_open++;
	return connection;
}

/* With CLOSE_ON_FREE, as evhttp may close the socket while libevent still watches it. */
static struct bufferevent *connection_accepted(struct event_base *base, void *userdata)
{
	struct http_connection *connection =
		follow(userdata, base, bufferevent_socket_new(base, -1, BEV_OPT_CLOSE_ON_FREE));

	return connection ? connection->bev : NULL;
}

static struct bufferevent *tls_accepted(struct event_base *base, void *userdata)
{
	struct http_server *server = userdata;
	struct http_connection *connection =
		follow(server, base, http_tls_accept(server->tls, base));
	struct timeval deadline = to_timeval(server->limits.handshake_ms);

	if (!connection)
		return NULL;
	connection->tls = connection->handshake = true;
	event_add(&connection->deadline, &deadline);
	return connection->bev;
}

void http_connection_watch_close(struct http_connection *connection)
{
	struct timeval write = to_timeval(connection->server->limits.idle_ms);
	bufferevent_data_cb on_write;
	bufferevent_event_cb on_event;
	void *arg;

	/* evhttp's read callback ends the process when it is called in this state; what a client
	 * sends ahead waits in the buffer, up to the watermark. */
	bufferevent_getcb(connection->bev, NULL, &on_write, &on_event, &arg);
	bufferevent_setcb(connection->bev, NULL, on_write, on_event, arg);
	bufferevent_setwatermark(connection->bev, EV_READ, 0, 64 << 10);
	bufferevent_set_timeouts(connection->bev, NULL, &write);
	bufferevent_enable(connection->bev, EV_READ);
}

/* ---- the server ---- */

static struct evhttp *new_evhttp(struct http_server *server,
				 struct bufferevent *(*accepted)(struct event_base *base,
								 void *userdata))
{
	struct evhttp *evhttp = evhttp_new(server->base);
	struct timeval idle = to_timeval(server->limits.idle_ms);

	if (!evhttp)
		return NULL;
	evhttp_set_bevcb(evhttp, accepted, server);
	evhttp_set_gencb(evhttp, http_request_arrived, server);
	evhttp_set_timeout_tv(evhttp, &idle);
	evhttp_set_max_headers_size(evhttp, (ev_ssize_t)server->limits.header_bytes);
	evhttp_set_allowed_methods(evhttp, EVHTTP_REQ_GET | EVHTTP_REQ_POST | EVHTTP_REQ_PUT |
						   EVHTTP_REQ_DELETE | EVHTTP_REQ_PATCH |
						   EVHTTP_REQ_HEAD | EVHTTP_REQ_OPTIONS |
						   EVHTTP_REQ_TRACE);
	return evhttp;
}

int http_server_prepare_tls(struct http_server *server, struct http_tls *tls)
{
	if (!server->evhttps)
		server->evhttps = new_evhttp(server, tls_accepted);
	if (!server->evhttps)
		return -ENOMEM;
	server->tls = tls;
	return 0;
}

static void set_limits(struct http_server *server, const struct http_limits *limits)
{
	struct http_limits *own = &server->limits;

	if (limits)
		*own = *limits;
	own->header_bytes = own->header_bytes ?: 16 << 10;
	own->body_bytes = own->body_bytes ?: 1 << 20;
	own->handshake_ms = own->handshake_ms ?: 10000;
	own->request_ms = own->request_ms ?: 30000;
	own->idle_ms = own->idle_ms ?: 75000;
	own->connections = own->connections ?: 1024;
	own->stream_bytes = own->stream_bytes ?: 16 << 20;
}

int http_server_new(struct http_server **ret, struct event_base *base,
		    const struct http_limits *limits)
{
	struct http_server *server = calloc(1, sizeof(*server));

	if (!server)
		return -ENOMEM;
	server->base = base;
	TAILQ_INIT(&server->idle);
	set_limits(server, limits);
	server->evhttp = new_evhttp(server, connection_accepted);
	if (!server->evhttp) {
		free(server);
		return -ENOMEM;
	}
	*ret = server;
	return 0;
}

/* Prepares for evhttp_free: every connection has its close callback, and evhttp its own callbacks.
 */
static void hand_back(struct http_server *server)
{
	struct http_connection *connection, *next;

	for (connection = LIST_FIRST(&server->connections); connection; connection = next) {
		bufferevent_event_cb on_event;
		void *refusal;

		next = LIST_NEXT(connection, entry);
		if (!connection->evcon)
			attach(connection);
		if (!connection->refused)
			continue;
		bufferevent_getcb(connection->bev, NULL, NULL, &on_event, &refusal);
		refusal_end(refusal);
	}
}

void http_server_free(struct http_server *server)
{
	if (!server)
		return;
	http_request_server_closed(server);
	hand_back(server);
	evhttp_free(server->evhttp);
	if (server->evhttps)
		evhttp_free(server->evhttps);
	http_listen_remove_sockets(server);
	for (struct http_routes *routes; (routes = server->routes);) {
		server->routes = routes->next;
		free(routes);
	}
	free(server);
}

int http_server_routes(struct http_server *server, const struct http_route *routes, size_t n,
		       void *userdata)
{
	struct http_routes *added = calloc(1, sizeof(*added));

	if (!added)
		return -ENOMEM;
	*added = (struct http_routes){ server->routes, routes, n, userdata };
	server->routes = added;
	return 0;
}

void http_server_set_guard(struct http_server *server, http_guard guard, void *userdata)
{
	server->guard = guard;
	server->guard_userdata = userdata;
}

void http_server_set_filter(struct http_server *server, http_filter filter, void *userdata)
{
	server->filter = filter;
	server->filter_userdata = userdata;
}

void http_server_stats(const struct http_server *server, struct http_server_stats *ret)
{
	*ret = server->stats;
}
