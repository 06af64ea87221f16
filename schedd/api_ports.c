/* SPDX-License-Identifier: GPL-2.0-or-later */
/* /v1/ports: every external port that is not free, with its state. */
#include "schedd/api_private.h"

static json_t *answer(const struct api *api, const struct entry *entry)
{
	return answer_port((const struct port_entry *)entry);
}

/* A port in quarantine may have outlived its environment. */
static bool sees(const struct caller *caller, const struct entry *entry)
{
	const struct environment_entry *owner = ((const struct port_entry *)entry)->environment;

	return access_sees(caller, owner ? environment_newest(owner)->origin->spec.customer : NULL);
}

static void list(struct http_request *request, void *userdata)
{
	if (api_takes_page_query(request) && api_can_read(userdata, request))
		api_reply_list(userdata, request, RECORD_PORT, sees, answer);
}

static const struct http_route routes[] = {
	{ HTTP_GET, "/v1/ports", list },
};

int api_ports_init(struct api *api)
{
	return http_server_routes(api->config.server, routes, ARRAY_SIZE(routes), api);
}
