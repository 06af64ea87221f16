/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Docker calls over lib/http_client: one struct pending for each call under way. */
#include "agentd/docker_api.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#define HASH_NONFATAL_OOM 1
#include <uthash.h>

#define CALL_TIMEOUT_MS 60000
#define CONNECT_TIMEOUT_MS 10000
#define LINE_MAX_BYTES ((size_t)1 << 20)

struct docker_api {
	struct http_client *client;
	char *socket; /* NULL: TCP */
	char *base;   /* "http://localhost" */
	char version[DOCKER_VERSION_MAX];
	struct metric *errors;
	struct pending *pending; /* by id */
	void (*connect_done)(const struct docker_reply *reply, void *userdata);
	void *connect_userdata;
};

struct pending {
	struct docker_api *api;
	uint64_t id; /* http_client's */
	const char *operation;
	bool raw, quiet;
	int (*on_line)(json_t *line, void *userdata);
	int (*on_data)(const char *data, size_t length, void *userdata);
	void (*on_done)(const struct docker_reply *reply, void *userdata);
	void *userdata;
	char *line; /* a stream's line so far */
	size_t line_length;
	int stream_error;
	UT_hash_handle hh;
};

static void pending_free(struct pending *pending)
{
	free(pending->line);
	free(pending);
}

DEFINE_CLEANUP(struct pending *, pending_free, cleanup_pending)

static const char *socket_of(const char *address)
{
	static const char prefix[] = "unix://";
	const size_t length = strlen(prefix);

	return strncmp(address, prefix, length) == 0 && address[length] == '/' ? address + length
									       : NULL;
}

bool docker_api_takes(const char *address)
{
	return socket_of(address) ||
	       (strncmp(address, "http://", 7) == 0 && http_client_takes_url(address));
}

int docker_api_new(struct docker_api **ret, struct http_client *client, const char *address,
		   struct metric *errors)
{
	_cleanup_(cleanup_docker_api) struct docker_api *api = calloc(1, sizeof(*api));
	const char *socket = socket_of(address);

	if (!api)
		return -ENOMEM;
	api->client = client;
	api->errors = errors;
	api->socket = socket ? strdup(socket) : NULL;
	api->base = strdup(socket ? "http://localhost" : address);
	if (!api->base || (socket && !api->socket))
		return -ENOMEM;
	*ret = TAKE_PTR(api);
	return 0;
}

void docker_api_free(struct docker_api *api)
{
	struct pending *pending, *next;

	if (!api)
		return;
	HASH_ITER (hh, api->pending, pending, next) {
		HASH_DEL(api->pending, pending);
		http_client_cancel(api->client, pending->id);
		pending_free(pending);
	}
	free(api->socket);
	free(api->base);
	free(api);
}

const char *docker_api_version(const struct docker_api *api)
{
	return api->version;
}

char *docker_escape(const char *text)
{
	static const char keep[] =
		"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.~";
	char *buffer = malloc(3 * strlen(text) + 1), *at = buffer;

	if (!buffer)
		return NULL;
	for (; *text != '\0'; text++) {
		if (strchr(keep, *text)) {
			*at++ = *text;
		} else {
			snprintf(at, 4, "%%%02X", (unsigned char)*text);
			at += 3;
		}
	}
	*at = '\0';
	return buffer;
}

static int error_of_status(int status)
{
	switch (status) {
	case 304: /* already started, already stopped */
		return 0;
	case 400:
		return -EINVAL;
	case 404:
		return -ENOENT;
	case 409:
		return -EEXIST;
	default:
		return status >= 200 && status < 300 ? 0 : -EIO;
	}
}

/* One line, since it ends up in a reason. */
static void flatten(char *text)
{
	for (; *text != '\0'; text++)
		if ((unsigned char)*text < ' ')
			*text = ' ';
}

/* No answer must not look like one of Docker's: a missing socket is not a missing container. */
static int error_of_silence(int error)
{
	switch (error) {
	case -ENOENT:
	case -EEXIST:
	case -EINVAL:
		return -ENOTCONN;
	default:
		return error;
	}
}

/* libcurl speaks of a port of localhost also where it is a socket. */
static void describe_silence(const struct docker_api *api, const struct http_response *response,
			     struct docker_reply *reply)
{
	const char *why = response->message[0] ? response->message : strerror(-response->error);

	if (api->socket && (response->error == -ENOENT || response->error == -ECONNREFUSED))
		snprintf(reply->message, sizeof(reply->message),
			 "Docker does not answer: nobody listens on %s", api->socket);
	else if (api->socket && response->error == -EACCES)
		snprintf(reply->message, sizeof(reply->message),
			 "Docker does not answer: no permission to open %s", api->socket);
	else
		snprintf(reply->message, sizeof(reply->message), "Docker does not answer: %s", why);
}

static void describe(const struct docker_api *api, const struct http_response *response,
		     struct docker_reply *reply)
{
	const char *text = NULL;
	_cleanup_json_ json_t *json = NULL;

	if (reply->error == 0)
		return;
	if (response->error != 0) {
		describe_silence(api, response, reply);
		return;
	}
	if (json_decode(response->body, response->length, &json, NULL) == 0)
		text = json_string_value(json_object_get(json, "message"));
	if (text)
		snprintf(reply->message, sizeof(reply->message), "%s", text);
	else
		snprintf(reply->message, sizeof(reply->message), "Docker answered with status %d",
			 response->status);
	flatten(reply->message);
}

static void on_response(const struct http_response *response, void *userdata)
{
	_cleanup_(cleanup_pending) struct pending *pending = userdata;
	_cleanup_json_ json_t *json = NULL;
	struct docker_reply reply = {
		.error = error_of_silence(response->error),
		.status = response->status,
		.body = response->body,
		.length = response->length,
	};

	HASH_DEL(pending->api->pending, pending);
	if (pending->stream_error != 0)
		reply.error = pending->stream_error;
	else if (reply.error == 0)
		reply.error = error_of_status(response->status);
	describe(pending->api, response, &reply);
	if (reply.error == 0 && !pending->raw && !pending->on_line && response->length > 0) {
		struct error err = ERROR_INIT;

		reply.error = json_decode(response->body, response->length, &json, &err);
		if (reply.error < 0)
			snprintf(reply.message, sizeof(reply.message),
				 "Docker's answer is no JSON: %s", error_text(&err, reply.error));
	}
	reply.json = json;
	if (reply.error < 0 && !(pending->quiet && reply.error == -ENOENT))
		metric_add(pending->api->errors, (const char *[]){ pending->operation }, 1);
	pending->on_done(&reply, pending->userdata);
}

static int take_line(struct pending *pending)
{
	_cleanup_json_ json_t *json = NULL;
	size_t length = pending->line_length;

	pending->line_length = 0;
	if (length == 0 || (length == 1 && pending->line[0] == '\r'))
		return 0;
	if (json_decode(pending->line, length, &json, NULL) < 0)
		return -EPROTO;
	return pending->on_line(json, pending->userdata);
}

static int append(struct pending *pending, const char *data, size_t length)
{
	char *line;

	if (length > LINE_MAX_BYTES - pending->line_length)
		return -EMSGSIZE;
	line = realloc(pending->line, pending->line_length + length + 1);
	if (!line)
		return -ENOMEM;
	memcpy(line + pending->line_length, data, length);
	pending->line = line;
	pending->line_length += length;
	return 0;
}

static int on_data(const char *data, size_t length, void *userdata)
{
	struct pending *pending = userdata;
	int r = 0;

	while (length > 0 && r == 0) {
		const char *newline = memchr(data, '\n', length);
		size_t n = newline ? (size_t)(newline - data) : length;

		r = append(pending, data, n);
		if (r == 0 && newline)
			r = take_line(pending);
		n += newline != NULL;
		data += n;
		length -= n;
	}
	pending->stream_error = r;
	return r;
}

static int on_raw_data(const char *data, size_t length, void *userdata)
{
	struct pending *pending = userdata;

	pending->stream_error = pending->on_data(data, length, pending->userdata);
	return pending->stream_error;
}

static int start(struct docker_api *api, const struct docker_call *call, const char *url,
		 uint64_t *ret_id)
{
	_cleanup_(cleanup_pending) struct pending *pending = calloc(1, sizeof(*pending));
	_cleanup_free_ char *text = call->json ? json_encode(call->json) : NULL;
	struct http_call http = {
		.method = call->method,
		.url = url,
		.unix_socket = api->socket,
		.body = text ? text : call->body,
		.body_length = text ? strlen(text) : call->body_length,
		.content_type = text ? "application/json" : "application/x-tar",
		.timeout_ms = call->timeout_ms ? call->timeout_ms : CALL_TIMEOUT_MS,
		.idle_timeout_ms = call->idle_timeout_ms,
		.max_body = call->max_body,
		.on_data = call->on_line   ? on_data
			   : call->on_data ? on_raw_data
					   : NULL,
		.on_done = on_response,
		.userdata = pending,
	};
	int r;

	if (!pending || (call->json && !text))
		return -ENOMEM;
	if (call->on_line || call->on_data)
		http.timeout_ms = call->timeout_ms;
	pending->api = api;
	pending->operation = call->operation;
	pending->raw = call->raw;
	pending->quiet = call->quiet;
	pending->on_line = call->on_line;
	pending->on_data = call->on_data;
	pending->on_done = call->on_done;
	pending->userdata = call->userdata;
	r = http_client_call(api->client, &http, &pending->id);
	if (text)
		explicit_bzero(text, strlen(text));
	if (r < 0)
		return r;
	HASH_ADD(hh, api->pending, id, sizeof(pending->id), pending);
	if (!pending->hh.tbl) {
		http_client_cancel(api->client, pending->id);
		return -ENOMEM;
	}
	if (ret_id)
		*ret_id = pending->id;
	(void)TAKE_PTR(pending);
	return 0;
}

int docker_api_call(struct docker_api *api, const struct docker_call *call, uint64_t *ret_id)
{
	_cleanup_free_ char *url = NULL;

	if (api->version[0] == '\0')
		return -ENOTCONN;
	if (asprintf(&url, "%s/v%s%s", api->base, api->version, call->path) < 0)
		return -ENOMEM;
	return start(api, call, url, ret_id);
}

void docker_api_cancel(struct docker_api *api, uint64_t id)
{
	struct pending *pending;

	HASH_FIND(hh, api->pending, &id, sizeof(id), pending);
	if (!pending)
		return;
	HASH_DEL(api->pending, pending);
	http_client_cancel(api->client, id);
	pending_free(pending);
}

void docker_api_pause(struct docker_api *api, uint64_t id, bool paused)
{
	http_client_pause(api->client, id, paused);
}

static void on_version(const struct docker_reply *reply, void *userdata)
{
	struct docker_api *api = userdata;
	struct docker_reply result = *reply;
	struct error err = ERROR_INIT;

	if (result.error == 0) {
		result.error = docker_version_choose(
			json_string_value(json_object_get(reply->json, "MinAPIVersion")),
			json_string_value(json_object_get(reply->json, "ApiVersion")), api->version,
			&err);
		if (result.error < 0)
			snprintf(result.message, sizeof(result.message), "%s",
				 error_text(&err, result.error));
	}
	api->connect_done(&result, api->connect_userdata);
}

int docker_api_connect(struct docker_api *api,
		       void (*on_done)(const struct docker_reply *reply, void *userdata),
		       void *userdata, uint64_t *ret_id)
{
	_cleanup_free_ char *url = NULL;
	struct docker_call call = {
		.operation = "version",
		.timeout_ms = CONNECT_TIMEOUT_MS,
		.on_done = on_version,
		.userdata = api,
	};

	if (asprintf(&url, "%s/version", api->base) < 0)
		return -ENOMEM;
	api->connect_done = on_done;
	api->connect_userdata = userdata;
	return start(api, &call, url, ret_id);
}
