/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Connections and requests on libevent's HTTP client. */
#include "bench/api.h"

#include <event2/buffer.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/error.h"
#include "lib/file.h"

#define TIMEOUT_S 60

void api_init(struct api *api, const char *server, const char *token_file)
{
	const char *colon = strrchr(server, ':');
	struct error error = ERROR_INIT;
	char *token;
	int r = file_read_secret(token_file, &token, &error);

	if (r < 0)
		errx(1, "%s", error_text(&error, r));
	if (!colon || asprintf(&api->authorization, "Bearer %s", token) < 0)
		errx(2, "\"%s\" is not ADDRESS:PORT", server);
	free(token);
	api->port = (uint16_t)argument(colon + 1, "PORT", 1, 65535);
	api->address = strndup(server, (size_t)(colon - server));
	api->base = event_base_new();
	if (!api->address || !api->base)
		errx(1, "out of memory");
}

void api_clear(struct api *api)
{
	event_base_free(api->base);
	free(api->authorization);
	free((char *)api->address);
}

struct evhttp_connection *api_connect(const struct api *api)
{
	struct evhttp_connection *connection =
		evhttp_connection_base_new(api->base, NULL, api->address, api->port);

	if (!connection)
		errx(1, "out of memory");
	evhttp_connection_set_timeout(connection, TIMEOUT_S);
	return connection;
}

void api_send(const struct api *api, struct evhttp_connection *connection,
	      enum evhttp_cmd_type method, const char *path, const char *body, api_done done,
	      api_done chunk, void *userdata)
{
	struct evhttp_request *request = evhttp_request_new(done, userdata);
	struct evkeyvalq *headers = request ? evhttp_request_get_output_headers(request) : NULL;

	if (!headers || evhttp_add_header(headers, "Host", api->address) < 0 ||
	    evhttp_add_header(headers, "Authorization", api->authorization) < 0)
		errx(1, "out of memory");
	if (chunk)
		evhttp_request_set_chunked_cb(request, chunk);
	if (body &&
	    (evhttp_add_header(headers, "Content-Type", "application/json") < 0 ||
	     evbuffer_add(evhttp_request_get_output_buffer(request), body, strlen(body)) < 0))
		errx(1, "out of memory");
	if (evhttp_make_request(connection, request, method, path) < 0)
		errx(1, "cannot send a request");
}

int api_code(struct evhttp_request *request)
{
	return request ? evhttp_request_get_response_code(request) : 0;
}
