/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A request's way from evhttp to the handler of its route, or to the answer that there is none. */
#include <errno.h>
#include <event2/keyvalq_struct.h>
#include <stdio.h>
#include <string.h>

#include "lib/http_server_private.h"

struct lookup {
	const struct http_route *route; /* NULL: none */
	void *userdata;
	unsigned allowed; /* methods that the path has */
	int error;
};

static void look_up(const struct http_server *server, enum http_method method,
		    struct http_request *request, struct lookup *ret)
{
	*ret = (struct lookup){ 0 };
	if (method == HTTP_HEAD)
		method = HTTP_GET;
	for (const struct http_routes *set = server->routes; set; set = set->next) {
		for (size_t i = 0; i < set->n; i++) {
			struct http_fields params = { .n = 0 };
			int r = http_route_match(set->routes[i].pattern, request->path, &params);

			if (r < 0)
				ret->error = r;
			if (r <= 0)
				continue;
			ret->allowed |= set->routes[i].method;
			if (set->routes[i].method != method || ret->route) {
				http_fields_clear(&params);
				continue;
			}
			ret->route = &set->routes[i];
			ret->userdata = set->userdata;
			request->params = params;
		}
	}
}

static void reply_method(struct http_request *request, unsigned allowed)
{
	static const enum http_method methods[] = { HTTP_GET, HTTP_HEAD,  HTTP_POST,
						    HTTP_PUT, HTTP_PATCH, HTTP_DELETE };
	struct error err = ERROR_INIT;
	char text[64] = "";
	size_t used = 0;

	if (allowed & HTTP_GET)
		allowed |= HTTP_HEAD;
	for (size_t i = 0; i < ARRAY_SIZE(methods); i++)
		if (allowed & methods[i])
			used += (size_t)snprintf(text + used, sizeof(text) - used, "%s%s",
						 used ? ", " : "", http_method_name(methods[i]));
	http_reply_header(request, "Allow", text);
	error_set(&err, -EINVAL, "method_not_allowed", NULL, "%s allows %s only", request->path,
		  text);
	http_reply_error_details(request, 405, &err, NULL);
}

static void reply_unknown(struct http_request *request, const struct lookup *found)
{
	bool malformed = found->error == -EINVAL;
	struct error err = ERROR_INIT;

	error_set(&err, malformed ? -EINVAL : -ENOENT, malformed ? "invalid" : "not_found", NULL,
		  malformed ? "%s is not valid percent-encoding" : "there is nothing at %s",
		  request->path);
	http_reply_error(request, &err);
}

/* A path may have other methods for no better reason than that "ID:fly" could be an id. */
static bool is_unknown_action(const struct http_request *request, const struct lookup *found)
{
	const char *last = strrchr(request->path, '/');

	return http_request_method(request) == HTTP_POST && !(found->allowed & HTTP_POST) && last &&
	       strchr(last, ':');
}

static size_t count_headers(const struct evkeyvalq *headers, const char *name)
{
	const struct evkeyval *header;
	size_t n = 0;

	TAILQ_FOREACH(header, headers, next)
	n += strcasecmp(header->key, name) == 0;
	return n;
}

static int check_names(const struct evkeyvalq *headers, struct error *err)
{
	static const char *const once[] = { "Content-Length", "Transfer-Encoding", "Host" };
	const struct evkeyval *header;

	TAILQ_FOREACH(header, headers, next)
	if (header->key[strcspn(header->key, " \t")])
		return error_set(err, -EINVAL, "malformed", NULL,
				 "the header \"%s\" has a blank in its name", header->key);
	for (size_t i = 0; i < ARRAY_SIZE(once); i++)
		if (count_headers(headers, once[i]) > 1)
			return error_set(err, -EINVAL, "malformed", NULL,
					 "the request has more than one %s", once[i]);
	return 0;
}

/* Who stands between us and the client may take such a request for a longer or a shorter one than
 * we do: what follows is not read as a request of its own. */
static int check_framing(const struct http_request *request, struct error *err)
{
	const char *encoding = http_request_header(request, "Transfer-Encoding");
	const char *length = http_request_header(request, "Content-Length");
	int r = check_names(evhttp_request_get_input_headers(request->evreq), err);

	if (r < 0)
		return r;
	if (encoding && strcasecmp(encoding, "chunked") != 0)
		return error_set(err, -EINVAL, "malformed", NULL,
				 "Transfer-Encoding \"%s\" is not known, only chunked is",
				 encoding);
	if (encoding && length)
		return error_set(err, -EINVAL, "malformed", NULL,
				 "the request has both Transfer-Encoding and Content-Length");
	length = length ? length + strspn(length, " \t") : "";
	if (length[strspn(length, "0123456789")])
		return error_set(err, -EINVAL, "malformed", NULL,
				 "Content-Length \"%s\" is no number", length);
	return 0;
}

static int check_body(struct http_request *request, struct error *err)
{
	size_t length;
	int r;

	r = check_framing(request, err);
	if (r < 0) {
		http_reply_header(request, "Connection", "close");
		return r;
	}
	http_request_body(request, &length);
	if (length > request->server->limits.body_bytes)
		return error_set(err, -EMSGSIZE, "too_large", NULL,
				 "the body of %zu bytes is larger than %zu bytes", length,
				 request->server->limits.body_bytes);
	return 0;
}

/* evhttp reads no body of a TRACE or a HEAD: what follows would be a request of its own. */
static bool may_have_unread_body(const struct http_request *request)
{
	enum http_method method = http_request_method(request);

	return method == HTTP_OTHER ||
	       (method == HTTP_HEAD && (http_request_header(request, "Content-Length") ||
					http_request_header(request, "Transfer-Encoding")));
}

static void dispatch(struct http_request *request)
{
	const struct http_server *server = request->server;
	struct error err = ERROR_INIT;
	struct lookup found;

	if (may_have_unread_body(request))
		http_reply_header(request, "Connection", "close");
	if (check_body(request, &err) < 0) {
		http_reply_error(request, &err);
		return;
	}
	look_up(server, http_request_method(request), request, &found);
	if (!found.route && found.allowed && !is_unknown_action(request, &found)) {
		reply_method(request, found.allowed);
	} else if (!found.route) {
		reply_unknown(request, &found);
	} else {
		if (server->guard && !server->guard(request, found.route, server->guard_userdata))
			return;
		if (server->filter && server->filter(request, server->filter_userdata))
			return;
		found.route->handler(request, found.userdata);
	}
}

/* NULL where memory ran out when the connection was accepted. */
static struct http_connection *find_connection(struct http_server *server,
					       struct evhttp_connection *evcon)
{
	struct http_connection *connection = NULL;

	HASH_FIND_PTR(server->by_evcon, &evcon, connection);
	return connection;
}

void http_connection_engage(struct http_connection *connection)
{
	if (connection->idle)
		TAILQ_REMOVE(&connection->server->idle, connection, idle_entry);
	connection->idle = false;
}

void http_connection_settle(struct http_connection *connection)
{
	if (!connection->idle)
		TAILQ_INSERT_TAIL(&connection->server->idle, connection, idle_entry);
	connection->idle = true;
}

/* The handler has not answered inside its call: from here on a client may go at any time. */
static void watch_pending(struct http_server *server, struct http_connection *connection,
			  struct http_request *request)
{
	if (connection && connection->request == request)
		http_connection_watch_close(connection);
}

static void arrived(struct evhttp_request *evreq, struct http_server *server)
{
	struct http_connection *connection =
		find_connection(server, evhttp_request_get_connection(evreq));
	const struct evhttp_uri *uri = evhttp_request_get_evhttp_uri(evreq);
	const char *path = uri ? evhttp_uri_get_path(uri) : NULL;
	struct http_request *request = calloc(1, sizeof(*request));
	struct error err = ERROR_INIT;
	int r;

	server->stats.requests++;
	if (connection) {
		connection->reading = false;
		event_del(&connection->deadline);
		event_del(&connection->excess); /* what came is judged whole */
	}
	if (!request || !(request->path = strdup(path && *path ? path : "/"))) {
		free(request);
		evhttp_send_error(evreq, 500, NULL);
		return;
	}
	request->server = server;
	request->connection = connection;
	request->evreq = evreq;
	LIST_INSERT_HEAD(&server->requests, request, entry);
	if (connection) {
		connection->request = request;
		http_connection_engage(connection);
	}
	r = http_query_parse(uri ? evhttp_uri_get_query(uri) : NULL, &request->query);
	if (r < 0) {
		error_set(&err, -EINVAL, "invalid", "query",
			  "the query is malformed, names a "
			  "parameter twice or has more than %d",
			  HTTP_FIELDS_MAX);
		http_reply_error(request, &err);
		return;
	}
	dispatch(request);
	watch_pending(server, connection, request);
}

void http_request_arrived(struct evhttp_request *evreq, void *userdata)
{
	struct http_server *server = userdata;

	server->arriving = true;
	arrived(evreq, server);
	server->arriving = false;
}
