/* SPDX-License-Identifier: GPL-2.0-or-later */
/* /v1/ports: every external port that is not free, with its state. */
#include "schedd/api_private.h"

static json_t *answer(const struct api *api, const struct entry *entry)
{
	return answer_port((const struct port_entry *)entry);
}

static bool sees(const struct caller *caller, const struct entry *entry)
{
	return access_sees(caller, entry_owner(entry));
}

static void list(struct http_request *request, void *userdata)
{
	api_serve_list(userdata, request, FEED_PORTS, RECORD_PORT, sees, answer);
}

static const struct http_route routes[] = {
	{ HTTP_GET, "/v1/ports", list },
};

int api_ports_init(struct api *api)
{
	return http_server_routes(api->config.server, routes, ARRAY_SIZE(routes), api);
}
