/* SPDX-License-Identifier: GPL-2.0-or-later */
/* schedd's API as the benchmark's tools call it: many connections of one process, each kept alive,
 * with the token of an administrator. */
#pragma once

#include <event2/event.h>
#include <event2/http.h>

#include "bench/bench.h"

struct api {
	struct event_base *base;
	const char *address;
	uint16_t port;
	char *authorization;
};

typedef void (*api_done)(struct evhttp_request *request, void *userdata);

/* ADDRESS:PORT and the file that holds the token. */
void api_init(struct api *api, const char *server, const char *token_file);
void api_clear(struct api *api);
struct evhttp_connection *api_connect(const struct api *api);
/* Sends a request; body NULL: none. done gets NULL, or a request with the code 0, where the
 * connection was lost. chunk NULL: the answer is collected. */
void api_send(const struct api *api, struct evhttp_connection *connection,
	      enum evhttp_cmd_type method, const char *path, const char *body, api_done done,
	      api_done chunk, void *userdata);
/* What came of it; 0: the connection was lost. */
int api_code(struct evhttp_request *request);
