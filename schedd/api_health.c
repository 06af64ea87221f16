/* SPDX-License-Identifier: GPL-2.0-or-later */
/* /healthz: the process answers. /readyz: it is the leader and takes requests, or, with ?standby=1,
 * passes them on to one. /metrics. */
#include <errno.h>
#include <string.h>

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
	const char *standby = http_request_query(request, "standby");
	struct scheduler_standing standing;
	struct api *api = userdata;
	struct error err = ERROR_INIT;

	scheduler_standing(api->config.scheduler, &standing);
	if (standby && strcmp(standby, "1") == 0 && standing.standby && standing.stale_since == 0)
		api_reply_item(request, 200, json_pack("{s:s}", "status", "standby"));
	else if (scheduler_ready(api->config.scheduler, &err) < 0)
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
