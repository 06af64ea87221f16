/* SPDX-License-Identifier: GPL-2.0-or-later */
/* /v1/ports: every external port that is not free, with its state. */
#include <errno.h>

#include "schedd/api_private.h"

static json_t *answer(const struct api *api, const struct entry *entry)
{
	return answer_port((const struct port_entry *)entry);
}

static void list(struct http_request *request, void *userdata)
{
	static const char *const known[] = { NULL };
	const char *unknown = http_request_unknown_query(request, known);
	struct error err = ERROR_INIT;

	if (unknown) {
		error_set(&err, -EINVAL, "unknown_field", unknown, "there is no parameter %s",
			  unknown);
		http_reply_error(request, &err);
	} else if (api_can_read(userdata, request)) {
		api_reply_list(userdata, request, RECORD_PORT, answer);
	}
}

static const struct http_route routes[] = {
	{ HTTP_GET, "/v1/ports", list },
};

int api_ports_init(struct api *api)
{
	return http_server_routes(api->config.server, routes, ARRAY_SIZE(routes), api);
}
