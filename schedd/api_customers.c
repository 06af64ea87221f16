/* SPDX-License-Identifier: GPL-2.0-or-later */
/* /v1/customers: who owns environments. */
#include <errno.h>
#include <stdio.h>

#include "proto/read.h"
#include "schedd/api_private.h"
#include "schedd/idempotency.h"

static struct customer_entry *find(struct api *api, const char *id)
{
	struct customer_entry *entry = state_customer(scheduler_state(api->config.scheduler), id);

	return entry && customer_committed(entry) ? entry : NULL;
}

static bool sees(const struct caller *caller, const struct entry *entry)
{
	return access_sees(caller, entry->id);
}

static json_t *answer(const struct api *api, const struct entry *entry)
{
	return answer_customer((const struct customer_entry *)entry);
}

static void list(struct http_request *request, void *userdata)
{
	api_serve_list(userdata, request, FEED_CUSTOMERS, RECORD_CUSTOMER, sees, answer);
}

static void show(struct http_request *request, void *userdata)
{
	const char *id = http_request_param(request, "id");
	struct customer_entry *entry;

	if (!api_takes_no_query(request) || !api_can_read(userdata, request))
		return;
	entry = find(userdata, id);
	if (entry && sees(access_caller(request), &entry->entry))
		api_reply_item(request, 200, answer_customer(entry));
	else
		api_reply_not_found(request, "customer", id);
}

/* ---- create ---- */

static void created(void *userdata, const struct error *err, const char *id)
{
	struct operation *operation = userdata;
	struct customer_entry *entry;

	if (err->errnum < 0) {
		operation_fail(operation, err);
		return;
	}
	entry = find(operation->api, id);
	if (entry)
		api_reply_item(operation->request, 201, answer_customer(entry));
	else
		api_reply_not_found(operation->request, "customer", id);
	operation_free(operation);
}

static int decode(struct http_request *request, struct customer *ret, struct error *err)
{
	_cleanup_json_ json_t *body = NULL;
	_cleanup_free_ char *name = NULL;
	struct json_reader reader;
	int r = http_request_json(request, &body, err);

	if (r < 0)
		return r;
	json_reader_init(&reader, body, "", err);
	read_dns_label(&reader, "name", JSON_REQUIRED, CUSTOMER_NAME_MAX, false, &name);
	r = json_reader_finish(&reader);
	if (r == 0)
		(void)snprintf(ret->id, sizeof(ret->id), "%s", name);
	return r;
}

static void create(struct http_request *request, void *userdata)
{
	_cleanup_(cleanup_customer) struct customer *customer = customer_new();
	char id[CUSTOMER_NAME_MAX + 1] = "";
	struct api *api = userdata;
	struct operation *operation;
	struct error err = ERROR_INIT;
	int r;

	if (!api_takes_no_query(request))
		return;
	operation = operation_new(api, request);
	if (!operation)
		return;
	r = customer ? decode(request, customer, &err)
		     : error_set(&err, -ENOMEM, "internal", NULL, "out of memory");
	if (r == 0 && idempotency_repeats(operation, created))
		return;
	if (r == 0) {
		(void)snprintf(id, sizeof(id), "%s", customer->id);
		r = scheduler_create_customer(api->config.scheduler, TAKE_PTR(customer),
					      access_caller(request)->actor, created, operation,
					      &err);
	}
	if (r < 0)
		operation_fail(operation, &err);
	else
		idempotency_keep(operation, id);
}

/* ---- delete ---- */

static void delete (struct http_request *request, void *userdata)
{
	const char *id = http_request_param(request, "id");
	struct api *api = userdata;
	const struct customer_entry *entry;
	struct operation *operation;
	struct error err = ERROR_INIT;

	if (!api_takes_no_query(request) || !api_can_read(api, request))
		return;
	entry = find(api, id);
	if (!entry) {
		api_reply_not_found(request, "customer", id);
		return;
	}
	if (!api_matches(request, &entry->entry, customer_committed(entry)->record.revision))
		return;
	operation = operation_new(api, request);
	if (operation &&
	    scheduler_delete_customer(api->config.scheduler, id, access_caller(request)->actor,
				      operation_answer_id, operation, &err) < 0)
		operation_fail(operation, &err);
}

static const struct http_route routes[] = {
	{ HTTP_GET, "/v1/customers", list },
	{ HTTP_POST, "/v1/customers", create },
	{ HTTP_GET, "/v1/customers/{id}", show },
	{ HTTP_DELETE, "/v1/customers/{id}", delete },
};

int api_customers_init(struct api *api)
{
	return http_server_routes(api->config.server, routes, ARRAY_SIZE(routes), api);
}
