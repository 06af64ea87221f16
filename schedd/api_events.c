/* SPDX-License-Identifier: GPL-2.0-or-later */
/* /v1/events: who did what, to what, and why; read from the database, page by page, or as a stream.
 * A customer reads of what is its own. */
#include <errno.h>
#include <string.h>

#include "lib/number.h"
#include "schedd/api_private.h"
#include "schedd/auth.h"

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

/* A stream goes on after an event or after a revision. */
static int read_place(struct http_request *request, bool watch, struct event_query *query,
		      struct error *err)
{
	const char *revision = http_request_query(request, "revision");
	int r = read_id(request, "after", &query->after, err);

	if (r == 0)
		r = read_id(request, "before", &query->before, err);
	if (r < 0)
		return r;
	query->forward = http_request_query(request, "after") || revision;
	if (watch && query->before > 0)
		return error_set(err, -EINVAL, "invalid", "before",
				 "before: a watch has no end: leave it out");
	if (revision && !watch)
		return error_set(err, -EINVAL, "invalid", "revision",
				 "revision: is for watches: add watch=1");
	if (revision && number_parse(revision, &query->revision, NULL) < 0)
		return error_set(err, -EINVAL, "invalid", "revision",
				 "revision: \"%s\" is not a number", revision);
	return 0;
}

static int read_query(struct http_request *request, bool watch, struct event_query *ret,
		      struct error *err)
{
	const struct caller *caller = access_caller(request);
	const char *limit = http_request_query(request, "limit");
	uint64_t number = PAGE_DEFAULT;

	*ret = (struct event_query){
		.kind = http_request_query(request, "kind"),
		.subject = http_request_query(request, "subject"),
		.actor = http_request_query(request, "actor"),
		.action = http_request_query(request, "action"),
		.customer = http_request_query(request, "customer"),
	};
	if (limit &&
	    (number_parse(limit, &number, NULL) < 0 || number < 1 || number > EVENT_LOG_PAGE_MAX))
		return error_set(err, -ERANGE, "out_of_range", "limit",
				 "limit: \"%s\" is not in 1…%d", limit, EVENT_LOG_PAGE_MAX);
	ret->limit = (unsigned)number;
	if (ret->customer && !access_sees(caller, ret->customer))
		return error_set(err, -EPERM, "forbidden", "customer",
				 "customer: this token is for %s", caller->subject);
	if (caller->access != ACCESS_ALL)
		ret->customer = caller->subject;
	return read_place(request, watch, ret, err);
}

/* done gets an operation for the request. */
static void ask(struct api *api, struct http_request *request, const struct event_query *query,
		event_log_done done)
{
	struct operation *operation = operation_new(api, request);
	struct error err = ERROR_INIT;
	int r;

	if (!operation)
		return;
	r = event_log_read(api->config.archive, query, done, operation);
	if (r == 0)
		return;
	error_set(&err, r, "unavailable", NULL, "too many requests for events wait");
	operation_fail(operation, &err);
}

static void start(struct api *api, struct http_request *request, const struct event_query *query)
{
	if (auth_takes_watch(request))
		feed_start_events(api->config.feed, scheduler_state(api->config.scheduler), request,
				  query);
}

/* The newest event of all is known: is the one of `after` there, or older? */
static void on_newest(void *userdata, const struct error *asked, json_t *items, bool more)
{
	struct operation *operation = userdata;
	struct http_request *request = operation->request;
	struct api *api = operation->api;
	struct error err = ERROR_INIT;
	struct event_query query;

	if (asked->errnum < 0) {
		operation_fail(operation, asked);
		return;
	}
	operation_free(operation);
	if (read_query(request, true, &query, &err) < 0)
		http_reply_error(request, &err);
	else if (query.after > json_integer_value(json_object_get(json_array_get(items, 0), "id")))
		api_reply_ahead(request, "after");
	else
		start(api, request, &query);
}

static void serve_watch(struct api *api, struct http_request *request,
			const struct event_query *query)
{
	const struct event_query newest = { .limit = 1 };

	if (!api_can_read(api, request))
		return;
	if (query->revision > scheduler_state(api->config.scheduler)->revision)
		api_reply_ahead(request, "revision");
	else if (query->after > 0)
		ask(api, request, &newest, on_newest);
	else
		start(api, request, query);
}

static void list(struct http_request *request, void *userdata)
{
	static const char *const known[] = { "after", "before",   "limit",  "kind",
					     "actor", "subject",  "action", "customer",
					     "watch", "revision", NULL };
	struct api *api = userdata;
	struct error err = ERROR_INIT;
	struct event_query query;
	bool watch = false;
	int r;

	if (!api_takes_query(request, known))
		return;
	r = api_read_watch(request, &watch, &err);
	if (r == 0)
		r = read_query(request, watch, &query, &err);
	if (r < 0)
		http_reply_error(request, &err);
	else if (watch)
		serve_watch(api, request, &query);
	else
		ask(api, request, &query, reply);
}

static const struct http_route routes[] = {
	{ HTTP_GET, "/v1/events", list },
};

int api_events_init(struct api *api)
{
	return http_server_routes(api->config.server, routes, ARRAY_SIZE(routes), api);
}
