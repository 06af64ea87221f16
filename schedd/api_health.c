/* SPDX-License-Identifier: GPL-2.0-or-later */
/* /healthz: the process answers. /readyz: it takes requests. /metrics. */
#include <errno.h>

#include "lib/clock.h"
#include "schedd/api_private.h"

static void health(struct http_request *request, void *userdata)
{
	api_reply_item(
		request, 200,
		json_pack("{s:s, s:o}", "status", "ok", "time", json_time(clock_unix_seconds())));
}

static void ready(struct http_request *request, void *userdata)
{
	struct api *api = userdata;
	struct error err = ERROR_INIT;

	if (scheduler_ready(api->config.scheduler, &err) < 0)
		http_reply_error(request, &err);
	else
		api_reply_item(request, 200, json_pack("{s:s}", "status", "ready"));
}

static void metrics(struct http_request *request, void *userdata)
{
	struct api *api = userdata;
	struct evbuffer *out = evbuffer_new();

	if (out && metrics_write(api->config.metrics, out) == 0)
		http_reply_buffer(request, 200, METRICS_CONTENT_TYPE, out);
	else
		http_reply_buffer(request, 500, NULL, NULL);
	if (out)
		evbuffer_free(out);
}

static const struct http_route routes[] = {
	{ HTTP_GET, "/healthz", health },
	{ HTTP_GET, "/readyz", ready },
	{ HTTP_GET, "/metrics", metrics },
};

int api_health_init(struct api *api)
{
	return http_server_routes(api->config.server, routes, ARRAY_SIZE(routes), api);
}
