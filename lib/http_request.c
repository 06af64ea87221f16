/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Requests, answers and streams of the HTTP server: JSON, and who owns what when the client, the
 * handler or the server goes first. http_dispatch.c has their arrival. */
#include <errno.h>
#include <event2/keyvalq_struct.h>
#include <stdio.h>
#include <string.h>

#include "lib/http_server_private.h"

/* What is away comes back within seconds, or not at all. */
#define RETRY_AFTER_SECONDS "2"

static struct timeval to_timeval(uint64_t ms)
{
	return (struct timeval){ .tv_sec = (time_t)(ms / 1000),
				 .tv_usec = (suseconds_t)(ms % 1000 * 1000) };
}

/* ---- the end of a request ---- */

static void attachment_release(struct http_attachment *attachment)
{
	struct http_attachment released = *attachment;

	*attachment = (struct http_attachment){ 0 };
	if (released.release)
		released.release(released.data);
}

/* Frees our part. evhttp's part is answered, or freed, by the caller. */
static void request_free(struct http_request *request)
{
	attachment_release(&request->attachment);
	if (request->server)
		LIST_REMOVE(request, entry);
	if (request->connection)
		request->connection->request = NULL;
	http_fields_clear(&request->params);
	http_fields_clear(&request->query);
	free(request->path);
	free(request);
}

/* All is written, and evhttp goes back to reading: so do our limits. */
static void answered(struct evhttp_request *evreq, void *userdata)
{
	struct http_connection *connection = userdata;
	struct timeval idle = to_timeval(connection->server->limits.idle_ms);

	bufferevent_setwatermark(connection->bev, EV_READ, 0, 0);
	bufferevent_set_timeouts(connection->bev, &idle, &idle);
	http_connection_settle(connection);
	http_connection_resume(connection);
}

/* evhttp writes once the loop has seen that it can: a turn later, and with two changes to what the
 * loop watches. Almost always it can at once. Its callback for what is written may free the
 * connection, so not while evhttp itself is in the middle of a request. */
static void write_now(struct http_connection *connection)
{
	struct bufferevent *bev = connection->bev;
	struct evbuffer *output = bufferevent_get_output(bev);

	if (connection->tls || connection->server->arriving)
		return;
	evbuffer_unfreeze(output, 1);
	(void)evbuffer_write(output, bufferevent_getfd(bev));
	evbuffer_freeze(output, 1);
	if (evbuffer_get_length(output) == 0)
		bufferevent_trigger(bev, EV_WRITE, 0);
}

/* evhttp would send the body of an answer to HEAD, which the client takes for the next answer. */
static void add_length(struct evhttp_request *evreq, const struct evbuffer *body)
{
	char text[32];

	(void)snprintf(text, sizeof(text), "%zu", evbuffer_get_length(body));
	evhttp_add_header(evhttp_request_get_output_headers(evreq), "Content-Length", text);
}

void http_reply_buffer(struct http_request *request, int status, const char *content_type,
		       struct evbuffer *body)
{
	struct evhttp_request *evreq = request->evreq;
	struct http_connection *connection = request->connection;

	if (evreq) {
		if (content_type)
			evhttp_add_header(evhttp_request_get_output_headers(evreq), "Content-Type",
					  content_type);
		if (connection)
			evhttp_request_set_on_complete_cb(evreq, answered, connection);
		if (body && http_request_method(request) == HTTP_HEAD) {
			add_length(evreq, body);
			body = NULL;
		}
	}
	request_free(request);
	if (evreq)
		evhttp_send_reply(evreq, status, NULL, body);
	if (evreq && connection)
		write_now(connection);
}

void http_reply_header(struct http_request *request, const char *name, const char *value)
{
	if (request->evreq)
		evhttp_add_header(evhttp_request_get_output_headers(request->evreq), name, value);
}

static void release_text(const void *data, size_t length, void *userdata)
{
	free(userdata);
}

/* Takes over text (NULL: out of memory). */
static void reply_text(struct http_request *request, int status, char *text)
{
	struct evbuffer *body = text ? evbuffer_new() : NULL;

	if (!body || evbuffer_add_reference(body, text, strlen(text), release_text, text) < 0) {
		free(text);
		http_reply_header(request, "Connection", "close");
		http_reply_buffer(request, 500, NULL, NULL);
	} else {
		http_reply_buffer(request, status, "application/json", body);
	}
	if (body)
		evbuffer_free(body);
}

void http_reply_json(struct http_request *request, int status, json_t *body)
{
	if (body)
		reply_text(request, status, json_encode(body));
	else
		http_reply_buffer(request, status, NULL, NULL);
	json_decref(body);
}

char *http_error_text(const struct error *err, json_t *details)
{
	_cleanup_json_ json_t *all = details ? details : json_object();
	_cleanup_json_ json_t *body = NULL;

	if (err->field[0] && json_object_set_new(all, "field", json_text(err->field)) < 0)
		return NULL;
	body = json_pack("{s:s, s:o, s:O}", "code", err->code ? err->code : "internal", "message",
			 json_text(error_text(err, err->errnum)), "details", all);
	return body ? json_encode(body) : NULL;
}

static bool has_header(const struct http_request *request, const char *name)
{
	return request->evreq &&
	       evhttp_find_header(evhttp_request_get_output_headers(request->evreq), name);
}

void http_reply_error_details(struct http_request *request, int status, const struct error *err,
			      json_t *details)
{
	if ((status == 503 || status == 429) && !has_header(request, "Retry-After"))
		http_reply_header(request, "Retry-After", RETRY_AFTER_SECONDS);
	reply_text(request, status, http_error_text(err, details));
}

void http_reply_error(struct http_request *request, const struct error *err)
{
	http_reply_error_details(request, http_status_of(err->errnum), err, NULL);
}

int http_status_of(int errnum)
{
	switch (errnum) {
	case -EINVAL:
	case -ERANGE:
		return 400;
	case -EACCES:
		return 401;
	case -EPERM:
		return 403;
	case -ENOENT:
		return 404;
	case -EEXIST:
	case -EBUSY:
	case -ENOSPC:
	case -ESTALE:
		return 409;
	case -EMSGSIZE:
	case -E2BIG:
		return 413;
	case -EAGAIN:
	case -ENOTCONN:
	case -ETIMEDOUT:
		return 503;
	case -EINPROGRESS:
		return 504;
	default:
		return 500;
	}
}

/* ---- the request ---- */

enum http_method http_request_method(const struct http_request *request)
{
	switch (request->evreq ? evhttp_request_get_command(request->evreq) : EVHTTP_REQ_GET) {
	case EVHTTP_REQ_POST:
		return HTTP_POST;
	case EVHTTP_REQ_PUT:
		return HTTP_PUT;
	case EVHTTP_REQ_DELETE:
		return HTTP_DELETE;
	case EVHTTP_REQ_PATCH:
		return HTTP_PATCH;
	case EVHTTP_REQ_HEAD:
		return HTTP_HEAD;
	case EVHTTP_REQ_GET:
		return HTTP_GET;
	default:
		return HTTP_OTHER;
	}
}

const char *http_method_name(enum http_method method)
{
	switch (method) {
	case HTTP_GET:
		return "GET";
	case HTTP_POST:
		return "POST";
	case HTTP_PUT:
		return "PUT";
	case HTTP_DELETE:
		return "DELETE";
	case HTTP_PATCH:
		return "PATCH";
	case HTTP_HEAD:
		return "HEAD";
	case HTTP_OTHER:
		return "";
	}
	return "";
}

const char *http_request_path(const struct http_request *request)
{
	return request->path;
}

const char *http_request_target(const struct http_request *request)
{
	return request->evreq ? evhttp_request_get_uri(request->evreq) : request->path;
}

const char *http_request_param(const struct http_request *request, const char *name)
{
	return http_fields_get(&request->params, name);
}

const char *http_request_query(const struct http_request *request, const char *name)
{
	return http_fields_get(&request->query, name);
}

const char *http_request_unknown_query(const struct http_request *request, const char *const *known)
{
	for (size_t i = 0; i < request->query.n; i++) {
		const char *const *name = known;

		while (*name && strcmp(*name, request->query.items[i].name) != 0)
			name++;
		if (!*name)
			return request->query.items[i].name;
	}
	return NULL;
}

const char *http_request_header(const struct http_request *request, const char *name)
{
	if (!request->evreq)
		return NULL;
	return evhttp_find_header(evhttp_request_get_input_headers(request->evreq), name);
}

const char *http_request_peer(const struct http_request *request)
{
	return request->connection ? request->connection->peer : "gone";
}

bool http_request_peer_uid(const struct http_request *request, uid_t *ret)
{
	if (!request->connection || !request->connection->has_uid)
		return false;
	*ret = request->connection->uid;
	return true;
}

void http_request_attach(struct http_request *request, void *data, void (*release)(void *data))
{
	attachment_release(&request->attachment);
	request->attachment = (struct http_attachment){ data, release };
}

void *http_request_attachment(const struct http_request *request)
{
	return request->attachment.data;
}

const char *http_request_body(const struct http_request *request, size_t *ret_length)
{
	struct evbuffer *body =
		request->evreq ? evhttp_request_get_input_buffer(request->evreq) : NULL;

	*ret_length = body ? evbuffer_get_length(body) : 0;
	return *ret_length > 0 ? (const char *)evbuffer_pullup(body, -1) : "";
}

int http_request_json(struct http_request *request, json_t **ret, struct error *err)
{
	size_t length;
	const char *body = http_request_body(request, &length);

	if (!body)
		return error_set(err, -ENOMEM, "internal", NULL, "out of memory");
	if (length == 0)
		return error_set(err, -EINVAL, "malformed", NULL,
				 "the request has no body; a JSON object is expected");
	return json_decode(body, length, ret, err);
}

void http_request_on_close(struct http_request *request, void (*on_close)(void *userdata),
			   void *userdata)
{
	request->on_close = on_close;
	request->userdata = userdata;
}

/* ---- streams ---- */

/* Frees our part and evhttp's, where that is not on its connection any more. */
static void stream_free(struct http_stream *stream)
{
	LIST_REMOVE(stream, entry);
	attachment_release(&stream->attachment);
	stream->connection->stream = NULL;
	stream->server->stats.streams_open--;
	if (!evhttp_request_get_connection(stream->evreq))
		evhttp_request_free(stream->evreq);
	free(stream);
}

int http_stream_start(struct http_request *request, const char *content_type,
		      void (*on_close)(struct http_stream *stream, void *userdata), void *userdata,
		      struct http_stream **ret)
{
	struct http_stream *stream;

	if (!request->connection || http_request_method(request) == HTTP_HEAD) {
		http_reply_buffer(request, 200, content_type, NULL);
		return -ENOTCONN;
	}
	stream = calloc(1, sizeof(*stream));
	if (!stream) {
		http_reply_buffer(request, 500, NULL, NULL);
		return -ENOMEM;
	}
	*stream = (struct http_stream){ .server = request->server,
					.connection = request->connection,
					.evreq = request->evreq,
					.attachment = request->attachment,
					.on_close = on_close,
					.userdata = userdata };
	request->attachment = (struct http_attachment){ 0 };
	LIST_INSERT_HEAD(&stream->server->streams, stream, entry);
	stream->connection->stream = stream;
	stream->server->stats.streams_open++;
	request_free(request);
	evhttp_add_header(evhttp_request_get_output_headers(stream->evreq), "Content-Type",
			  content_type);
	evhttp_request_set_on_complete_cb(stream->evreq, answered, stream->connection);
	evhttp_send_reply_start(stream->evreq, 200, "OK");
	http_connection_watch_close(stream->connection);
	*ret = stream;
	return 0;
}

size_t http_stream_unsent(const struct http_stream *stream)
{
	return evbuffer_get_length(bufferevent_get_output(stream->connection->bev));
}

void http_stream_on_drained(struct http_stream *stream,
			    void (*on_drained)(struct http_stream *stream, void *userdata))
{
	stream->on_drained = on_drained;
}

/* evhttp calls it once its whole output was written, and not after the stream has ended. */
static void chunk_sent(struct evhttp_connection *evcon, void *userdata)
{
	struct http_stream *stream = userdata;

	stream->on_drained(stream, stream->userdata);
}

int http_stream_send_buffer(struct http_stream *stream, struct evbuffer *data)
{
	size_t unsent = http_stream_unsent(stream);

	if (stream->begun && unsent > 0 &&
	    unsent + evbuffer_get_length(data) > stream->server->limits.stream_bytes)
		return -ENOBUFS;
	stream->begun = true;
	evhttp_send_reply_chunk_with_cb(stream->evreq, data, stream->on_drained ? chunk_sent : NULL,
					stream);
	return 0;
}

int http_stream_send(struct http_stream *stream, const void *data, size_t length)
{
	struct evbuffer *buffer = evbuffer_new();
	int r;

	if (!buffer)
		return -ENOMEM;
	r = evbuffer_add(buffer, data, length) < 0 ? -ENOMEM
						   : http_stream_send_buffer(stream, buffer);
	evbuffer_free(buffer);
	return r;
}

void http_stream_end_with(struct http_stream *stream, struct evbuffer *last)
{
	if (last)
		evhttp_send_reply_chunk(stream->evreq, last);
	http_stream_end(stream);
}

void http_stream_end(struct http_stream *stream)
{
	struct evhttp_request *evreq = stream->evreq;

	LIST_REMOVE(stream, entry);
	attachment_release(&stream->attachment);
	stream->connection->stream = NULL;
	stream->server->stats.streams_open--;
	free(stream);
	evhttp_send_reply_end(evreq);
}

/* ---- connections and the server going away ---- */

static void request_lost(struct http_request *request)
{
	void (*on_close)(void *userdata) = request->on_close;

	if (request->connection)
		request->connection->request = NULL;
	request->connection = NULL;
	request->on_close = NULL;
	if (on_close)
		on_close(request->userdata);
}

static void stream_lost(struct http_stream *stream)
{
	if (stream->on_close)
		stream->on_close(stream, stream->userdata);
	stream_free(stream);
}

void http_request_connection_closed(struct http_connection *connection)
{
	if (connection->request)
		request_lost(connection->request);
	if (connection->stream)
		stream_lost(connection->stream);
}

void http_request_server_closed(struct http_server *server)
{
	struct http_request *request;
	struct http_stream *stream;

	while ((request = LIST_FIRST(&server->requests))) {
		LIST_REMOVE(request, entry);
		request->server = NULL;
		request->evreq = NULL; /* evhttp frees it with its connection */
	}
	while ((stream = LIST_FIRST(&server->streams)))
		stream_lost(stream);
}
