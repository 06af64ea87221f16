/* SPDX-License-Identifier: GPL-2.0-or-later */
/* /v1/gateways: for operators to read, for gatewayd to register, watch and report. */
#include <errno.h>

#include "schedd/api_private.h"

static json_t *answer(const struct api *api, const struct entry *entry)
{
	return answer_gateway(scheduler_state(api->config.scheduler),
			      (const struct gateway_entry *)entry);
}

static const struct entry *find(struct api *api, struct http_request *request, const char *id)
{
	const struct gateway_entry *entry =
		state_gateway(scheduler_state(api->config.scheduler), id);

	return entry && gateway_committed(entry) ? &entry->entry : NULL;
}

static void list(struct http_request *request, void *userdata)
{
	api_serve_list(userdata, request, FEED_GATEWAYS, RECORD_GATEWAY, NULL, answer);
}

static void show(struct http_request *request, void *userdata)
{
	api_serve_item(userdata, request, FEED_GATEWAYS, "gateway", find, answer);
}

static void enroll(struct http_request *request, void *userdata)
{
	struct api *api = userdata;
	struct operation *operation;
	struct gateway_registration registration = { 0 };
	_cleanup_json_ json_t *body = NULL;
	struct error err = ERROR_INIT;
	int r;

	if (!api_takes_no_query(request))
		return;
	operation = operation_new(api, request);
	if (!operation)
		return;
	r = http_request_json(request, &body, &err);
	if (r == 0)
		r = gateway_registration_decode(body, &registration, &err);
	if (r == 0)
		r = api_check_follower(request, registration.name, &err);
	if (r == 0)
		r = scheduler_register_gateway(api->config.scheduler, &registration,
					       access_caller(request)->actor, api_registered,
					       operation, &err);
	gateway_registration_clear(&registration);
	if (r < 0)
		operation_fail(operation, &err);
}

/* ?force=1 also where it may lead ports somewhere. */
static void delete (struct http_request *request, void *userdata)
{
	const char *id = http_request_param(request, "id");
	struct api *api = userdata;
	const struct entry *entry;
	struct operation *operation;
	struct error err = ERROR_INIT;
	bool force;

	if (!api_takes_force(request, &force) || !api_can_read(api, request))
		return;
	entry = find(api, request, id);
	if (!entry) {
		api_reply_not_found(request, "gateway", id);
		return;
	}
	if (!api_matches(request, entry, entry->committed->revision))
		return;
	operation = operation_new(api, request);
	if (operation && scheduler_delete_gateway(api->config.scheduler, entry->id, force,
						  access_caller(request)->actor,
						  operation_answer_id, operation, &err) < 0)
		operation_fail(operation, &err);
}

static void watch(struct http_request *request, void *userdata)
{
	api_serve_item(userdata, request, FEED_MAPPINGS, "gateway", find, NULL);
}

static void report(struct http_request *request, void *userdata)
{
	struct api *api = userdata;
	struct gateway_report report = { 0 };
	_cleanup_json_ json_t *body = NULL;
	struct error err = ERROR_INIT;
	int r;

	if (!api_takes_no_query(request) || !api_can_read(api, request))
		return;
	r = http_request_json(request, &body, &err);
	if (r == 0)
		r = gateway_report_decode(body, &report, &err);
	if (r == 0)
		r = scheduler_report_gateway(api->config.scheduler,
					     http_request_param(request, "id"), &report, &err);
	gateway_report_clear(&report);
	if (r < 0)
		http_reply_error(request, &err);
	else
		api_reply_report(api, request, NULL);
}

static const struct http_route routes[] = {
	{ HTTP_GET, "/v1/gateways", list },
	{ HTTP_POST, "/v1/gateways", enroll },
	{ HTTP_GET, "/v1/gateways/{id}", show },
	{ HTTP_DELETE, "/v1/gateways/{id}", delete },
	{ HTTP_GET, "/v1/gateways/{id}/desired", watch },
	{ HTTP_POST, "/v1/gateways/{id}/status", report },
};

int api_gateways_init(struct api *api)
{
	return http_server_routes(api->config.server, routes, ARRAY_SIZE(routes), api);
}
