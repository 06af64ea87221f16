/* SPDX-License-Identifier: GPL-2.0-or-later */
/* /v1/quotas: how much a customer may have at once, and how much it has. They are part of the
 * customer's row. */
#include <errno.h>

#include "schedd/api_private.h"

static json_t *answer(const struct api *api, const struct entry *entry)
{
	return answer_quota(scheduler_state(api->config.scheduler),
			    (const struct customer_entry *)entry);
}

static bool sees(const struct caller *caller, const struct entry *entry)
{
	return access_sees(caller, entry->id);
}

static const struct entry *find(struct api *api, struct http_request *request, const char *id)
{
	const struct customer_entry *entry =
		state_customer(scheduler_state(api->config.scheduler), id);

	if (!entry || !customer_committed(entry))
		return NULL;
	return sees(access_caller(request), &entry->entry) ? &entry->entry : NULL;
}

static void list(struct http_request *request, void *userdata)
{
	api_serve_list(userdata, request, FEED_QUOTAS, RECORD_CUSTOMER, sees, answer);
}

static void show(struct http_request *request, void *userdata)
{
	api_serve_item(userdata, request, FEED_QUOTAS, "customer", find, answer);
}

static void changed(void *userdata, const struct error *err, const char *id)
{
	struct operation *operation = userdata;
	const struct entry *entry;

	if (err->errnum < 0) {
		operation_fail(operation, err);
		return;
	}
	entry = find(operation->api, operation->request, id);
	if (entry)
		api_reply_item(operation->request, 200, answer(operation->api, entry));
	else
		api_reply_not_found(operation->request, "customer", id);
	operation_free(operation);
}

static void set(struct http_request *request, void *userdata)
{
	const char *id = http_request_param(request, "id");
	_cleanup_json_ json_t *body = NULL;
	struct api *api = userdata;
	struct operation *operation;
	const struct entry *entry;
	struct error err = ERROR_INIT;
	struct quota quota;

	if (!api_takes_no_query(request) || !api_can_read(api, request))
		return;
	entry = find(api, request, id);
	if (!entry) {
		api_reply_not_found(request, "customer", id);
		return;
	}
	if (http_request_json(request, &body, &err) < 0 || quota_decode(body, &quota, &err) < 0) {
		http_reply_error(request, &err);
		return;
	}
	if (!api_matches(request, entry, entry->committed->revision))
		return;
	operation = operation_new(api, request);
	if (operation &&
	    scheduler_set_quota(api->config.scheduler, id, &quota, access_caller(request)->actor,
				changed, operation, &err) < 0)
		operation_fail(operation, &err);
}

static const struct http_route routes[] = {
	{ HTTP_GET, "/v1/quotas", list },
	{ HTTP_GET, "/v1/quotas/{id}", show },
	{ HTTP_PUT, "/v1/quotas/{id}", set },
};

int api_quotas_init(struct api *api)
{
	return http_server_routes(api->config.server, routes, ARRAY_SIZE(routes), api);
}
