/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Passing requests on: one call of the HTTP client for each, and its answer as it came. */
#include "schedd/forward.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/queue.h>

#include "lib/clock.h"
#include "lib/http_client.h"
#include "lib/http_route.h"
#include "proto/log_session.h"
#include "schedd/auth.h"

#define TIMEOUT_MS 60000
/* A log is a stream that is only the leader's, with a line at least every LOG_IDLE_MS. */
#define LOGS_PATTERN "/v1/environments/{id}/logs"
#define LOGS_SILENCE_MS (6 * LOG_IDLE_MS)
/* What the reader has not taken before the leader is not read any more. */
#define LOGS_UNSENT_MAX ((size_t)128 << 10)
#define UNIX_PREFIX "unix:"
#define API_PREFIX "/v1/"
/* Who has this is passed on already: two standbys must not send it round. */
#define FORWARDED "Portico-Forwarded"
#define ROLE "Portico-Role"
#define STALE_SINCE "Portico-Stale-Since"

/* What of a request's head has a meaning for the leader, and of its answer for the client. */
static const char *const request_headers[] = { "Authorization", "Idempotency-Key", "If-Match",
					       "If-None-Match", "User-Agent" };
static const char *const answer_headers[] = {
	"ETag",         "Location", "Retry-After", "WWW-Authenticate", "Idempotency-Replayed",
	"Cache-Control"
};
#define HEADERS_MAX (ARRAY_SIZE(request_headers) + 2)

struct passed {
	LIST_ENTRY(passed) entry;
	struct forward *forward;
	struct http_request *request; /* NULL once it has become a stream */
	struct http_stream *stream;   /* of a log */
	uint64_t call;
	char leader[STORE_ADDRESS_MAX];
};

struct forward {
	struct http_server *server;
	const struct scheduler *scheduler;
	const char *holder;
	struct http_client *client;
	LIST_HEAD(, passed) passed;
	unsigned n;
	uint64_t total, failed;
};

static void refuse(struct http_request *request, const char *format, ...) _printf_(2, 3);

static void refuse(struct http_request *request, const char *format, ...)
{
	char message[ERROR_MESSAGE_MAX];
	struct error err = ERROR_INIT;
	va_list arguments;

	va_start(arguments, format);
	(void)vsnprintf(message, sizeof(message), format, arguments);
	va_end(arguments);
	error_set(&err, -ENOTCONN, "unavailable", NULL, "%s", message);
	http_reply_error(request, &err);
}

/* ---- the answer ---- */

static void reply_unknown(struct http_request *request, const char *leader, const char *why)
{
	struct error err = ERROR_INIT;

	error_set(&err, -EINPROGRESS, "outcome_unknown", NULL,
		  "the leader at %s did not answer (%s): look whether it was done", leader, why);
	http_reply_error(request, &err);
}

/* Nothing has reached a leader to which there was no connection. After that nobody knows. */
static void reply_failure(struct http_request *request, const char *leader,
			  const struct http_response *response)
{
	if (response->error == -ECONNREFUSED || response->error == -EHOSTUNREACH ||
	    response->error == -ENOENT || response->error == -EKEYREJECTED ||
	    response->error == -ENOMEM) {
		refuse(request, "the leader at %s cannot be reached: %s", leader,
		       response->message);
		return;
	}
	reply_unknown(request, leader, response->message);
}

static void reply_answer(struct http_request *request, const struct http_response *response)
{
	const char *type = http_response_header(response, "Content-Type");
	struct evbuffer *body = evbuffer_new();

	for (size_t i = 0; i < ARRAY_SIZE(answer_headers); i++) {
		const char *value = http_response_header(response, answer_headers[i]);

		if (value)
			http_reply_header(request, answer_headers[i], value);
	}
	if (body && evbuffer_add(body, response->body, response->length) == 0) {
		http_reply_buffer(request, response->status, type, body);
	} else {
		http_reply_header(request, "Connection", "close");
		http_reply_buffer(request, 500, NULL, NULL);
	}
	if (body)
		evbuffer_free(body);
}

static void answered(const struct http_response *response, void *userdata)
{
	struct passed *passed = userdata;
	struct forward *forward = passed->forward;

	LIST_REMOVE(passed, entry);
	forward->n--;
	forward->failed += response->error < 0;
	if (passed->stream)
		http_stream_end(passed->stream);
	else if (passed->request && response->error < 0)
		reply_failure(passed->request, passed->leader, response);
	else if (passed->request)
		reply_answer(passed->request, response);
	free(passed);
}

/* ---- streams ---- */

static void reader_left(struct http_stream *stream, void *userdata)
{
	struct passed *passed = userdata;

	http_client_cancel(passed->forward->client, passed->call);
	LIST_REMOVE(passed, entry);
	passed->forward->n--;
	free(passed);
}

static void reader_ready(struct http_stream *stream, void *userdata)
{
	struct passed *passed = userdata;

	http_client_pause(passed->forward->client, passed->call, false);
}

/* Once the leader has begun. -ECONNABORTED ends the call where the reader is gone. */
static int on_data(const char *data, size_t length, void *userdata)
{
	struct passed *passed = userdata;
	struct http_request *request = TAKE_PTR(passed->request);

	if (request && http_stream_start(request, "application/jsonl", reader_left, passed,
					 &passed->stream) < 0)
		return -ECONNABORTED;
	if (request)
		http_stream_on_drained(passed->stream, reader_ready);
	if (!passed->stream || http_stream_send(passed->stream, data, length) < 0)
		return -ECONNABORTED;
	if (http_stream_unsent(passed->stream) > LOGS_UNSENT_MAX)
		http_client_pause(passed->forward->client, passed->call, true);
	return 0;
}

/* ---- the request ---- */

static void headers_free(char **headers)
{
	for (size_t i = 0; i < HEADERS_MAX; i++) {
		if (headers[i])
			explicit_bzero(headers[i], strlen(headers[i]));
		free(headers[i]);
	}
}

static int headers_make(const struct forward *forward, struct http_request *request, char **headers)
{
	size_t n = 0;

	if (asprintf(&headers[n], FORWARDED ": %s", forward->holder) < 0) {
		headers[n] = NULL;
		return -ENOMEM;
	}
	for (size_t i = 0; i < ARRAY_SIZE(request_headers); i++) {
		const char *value = http_request_header(request, request_headers[i]);

		if (!value)
			continue;
		if (asprintf(&headers[++n], "%s: %s", request_headers[i], value) < 0) {
			headers[n] = NULL;
			return -ENOMEM;
		}
	}
	return 0;
}

static bool is_log(const struct http_request *request)
{
	struct http_fields params = { .n = 0 };
	int r = http_route_match(LOGS_PATTERN, http_request_path(request), &params);

	http_fields_clear(&params);
	return r > 0;
}

static int start_call(struct passed *passed)
{
	struct http_request *request = passed->request;
	char *headers[HEADERS_MAX] = { NULL };
	_cleanup_free_ char *url = NULL;
	const char *pin = strchr(passed->leader, '#');
	int length = pin ? (int)(pin - passed->leader) : (int)strlen(passed->leader);
	struct http_call call = { .method = http_method_name(http_request_method(request)),
				  .headers = (const char *const *)headers,
				  .timeout_ms = TIMEOUT_MS,
				  .on_done = answered,
				  .userdata = passed };
	const char *server = passed->leader;
	int r;

	if (is_log(request)) {
		call.timeout_ms = 0;
		call.idle_timeout_ms = LOGS_SILENCE_MS;
		call.on_data = on_data;
	}
	if (strncmp(server, UNIX_PREFIX, strlen(UNIX_PREFIX)) == 0) {
		call.unix_socket = server + strlen(UNIX_PREFIX);
		server = "http://localhost";
		length = (int)strlen(server);
	}
	if (asprintf(&url, "%.*s%s", length, server, http_request_target(request)) < 0) {
		url = NULL;
		return -ENOMEM;
	}
	call.url = url;
	call.body = http_request_body(request, &call.body_length);
	if (call.body_length == 0)
		call.body = NULL;
	call.content_type = http_request_header(request, "Content-Type");
	r = headers_make(passed->forward, request, headers);
	if (r == 0)
		r = http_client_trust(passed->forward->client, NULL, pin ? pin + 1 : NULL);
	if (r == 0)
		r = http_client_call(passed->forward->client, &call, &passed->call);
	headers_free(headers);
	return r;
}

static void pass_on(struct forward *forward, struct http_request *request, const char *leader)
{
	struct passed *passed = NULL;

	if (forward->n < FORWARD_MAX)
		passed = calloc(1, sizeof(*passed));
	if (!passed) {
		refuse(request, "too many requests are on their way to the leader");
		return;
	}
	passed->forward = forward;
	passed->request = request;
	(void)snprintf(passed->leader, sizeof(passed->leader), "%s", leader);
	if (start_call(passed) < 0) {
		free(passed);
		refuse(request, "the leader at %s cannot be asked: out of memory", leader);
		return;
	}
	LIST_INSERT_HEAD(&forward->passed, passed, entry);
	forward->n++;
	forward->total++;
}

static bool is_read(const struct http_request *request)
{
	enum http_method method = http_request_method(request);

	return method == HTTP_GET || method == HTTP_HEAD ||
	       strncmp(http_request_path(request), API_PREFIX, strlen(API_PREFIX)) != 0;
}

/* What this process can answer itself. */
static bool is_ours(const struct http_request *request, const struct scheduler_standing *standing)
{
	return is_read(request) && !(standing->standby && is_log(request));
}

static bool filter(struct http_request *request, void *userdata)
{
	struct forward *forward = userdata;
	struct scheduler_standing standing;
	char since[TIME_STRING_MAX];

	scheduler_standing(forward->scheduler, &standing);
	if (standing.standby)
		http_reply_header(request, ROLE, "standby");
	if (is_ours(request, &standing)) {
		if (standing.stale_since > 0)
			http_reply_header(request, STALE_SINCE,
					  time_format(standing.stale_since, since));
		return false;
	}
	/* Without a leader to ask, the handler says why not. */
	if (!standing.leader_address[0] || http_request_header(request, FORWARDED))
		return false;
	if (is_log(request) && !auth_takes_watch(request))
		return true;
	pass_on(forward, request, standing.leader_address);
	return true;
}

/* ---- the module ---- */

int forward_new(struct forward **ret, struct event_base *base, struct http_server *server,
		const struct scheduler *scheduler, const char *holder)
{
	_cleanup_(cleanup_forward) struct forward *forward = calloc(1, sizeof(*forward));
	int r;

	if (!forward)
		return -ENOMEM;
	forward->server = server;
	forward->scheduler = scheduler;
	forward->holder = holder;
	LIST_INIT(&forward->passed);
	r = http_client_new(&forward->client, base);
	if (r < 0)
		return r;
	http_server_set_filter(server, filter, forward);
	*ret = TAKE_PTR(forward);
	return 0;
}

void forward_free(struct forward *forward)
{
	struct passed *passed;

	if (!forward)
		return;
	http_server_set_filter(forward->server, NULL, NULL);
	http_client_free(forward->client);
	while ((passed = LIST_FIRST(&forward->passed))) {
		LIST_REMOVE(passed, entry);
		if (passed->stream)
			http_stream_end(passed->stream);
		else if (passed->request)
			reply_unknown(passed->request, passed->leader, "this schedd is stopping");
		free(passed);
	}
	free(forward);
}

void forward_stats(const struct forward *forward, uint64_t *ret_passed, uint64_t *ret_failed)
{
	*ret_passed = forward->total;
	*ret_failed = forward->failed;
}
