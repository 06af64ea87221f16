/* SPDX-License-Identifier: GPL-2.0-or-later */
/* /v1/events: who did what, to what, and why; read from the database, page by page. */
#include <errno.h>
#include <string.h>

#include "lib/number.h"
#include "schedd/api_private.h"

#define PAGE_DEFAULT 100

static void reply(void *userdata, const struct error *err, json_t *items, bool more)
{
	struct operation *operation = userdata;
	json_t *last = items ? json_array_get(items, json_array_size(items) - 1) : NULL;

	if (err->errnum < 0) {
		operation_fail(operation, err);
		return;
	}
	api_reply_item(operation->request, 200,
		       json_pack("{s:O, s:b, s:O?}", "items", items, "more", more, "last",
				 json_object_get(last, "id")));
	operation_free(operation);
}

/* An id, or 0 where it is not given. */
static int read_id(struct http_request *request, const char *name, int64_t *ret, struct error *err)
{
	const char *text = http_request_query(request, name);
	uint64_t number = 0;

	if (text && (number_parse(text, &number, NULL) < 0 || number > INT64_MAX))
		return error_set(err, -EINVAL, "invalid", name, "%s: \"%s\" is not an event's id",
				 name, text);
	*ret = (int64_t)number;
	return 0;
}

static int read_query(struct http_request *request, struct event_query *ret, struct error *err)
{
	const char *limit = http_request_query(request, "limit");
	uint64_t number = PAGE_DEFAULT;
	int r;

	*ret = (struct event_query){
		.kind = http_request_query(request, "kind"),
		.subject = http_request_query(request, "subject"),
		.actor = http_request_query(request, "actor"),
		.action = http_request_query(request, "action"),
	};
	r = read_id(request, "after", &ret->after, err);
	if (r == 0)
		r = read_id(request, "before", &ret->before, err);
	if (r == 0 && limit &&
	    (number_parse(limit, &number, NULL) < 0 || number < 1 || number > EVENT_LOG_PAGE_MAX))
		r = error_set(err, -ERANGE, "out_of_range", "limit", "limit: \"%s\" is not in 1…%d",
			      limit, EVENT_LOG_PAGE_MAX);
	ret->limit = (unsigned)number;
	return r;
}

static void list(struct http_request *request, void *userdata)
{
	static const char *const known[] = { "after", "before",  "limit",  "kind",
					     "actor", "subject", "action", NULL };
	struct api *api = userdata;
	struct operation *operation;
	struct error err = ERROR_INIT;
	struct event_query query;
	int r;

	if (!api_takes_query(request, known))
		return;
	operation = operation_new(api, request);
	if (!operation)
		return;
	r = read_query(request, &query, &err);
	if (r == 0) {
		r = event_log_read(api->config.events, &query, reply, operation);
		if (r < 0)
			error_set(&err, r, "unavailable", NULL,
				  "too many requests for events wait");
	}
	if (r < 0)
		operation_fail(operation, &err);
}

static const struct http_route routes[] = {
	{ HTTP_GET, "/v1/events", list },
};

int api_events_init(struct api *api)
{
	return http_server_routes(api->config.server, routes, ARRAY_SIZE(routes), api);
}
