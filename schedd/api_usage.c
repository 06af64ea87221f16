/* SPDX-License-Identifier: GPL-2.0-or-later */
/* /v1/usage: what environments held, summed up over a time; a customer reads its own. */
#include <errno.h>
#include <string.h>

#include "lib/clock.h"
#include "lib/number.h"
#include "schedd/api_private.h"
#include "schedd/usage_log.h"

static void reply(void *userdata, const struct error *err, json_t *answer)
{
	struct operation *operation = userdata;

	if (err->errnum < 0) {
		operation_fail(operation, err);
		return;
	}
	api_reply_item(operation->request, 200, json_incref(answer));
	operation_free(operation);
}

static int read_time(struct http_request *request, const char *name, int64_t *ret,
		     struct error *err)
{
	const char *text = http_request_query(request, name);

	*ret = 0;
	if (!text || (time_parse(text, ret) == 0 && *ret > 0))
		return 0;
	return error_set(err, -EINVAL, "invalid", name,
			 "%s: \"%s\" is not a time like 2027-01-01T00:00:00Z", name, text);
}

static int read_span(struct http_request *request, struct usage_query *query, struct error *err)
{
	int r = read_time(request, "since", &query->since, err);

	if (r == 0)
		r = read_time(request, "until", &query->until, err);
	if (r == 0 && query->since > 0 && query->until > 0 && query->since >= query->until)
		r = error_set(err, -ERANGE, "out_of_range", "until",
			      "until: it has to be later than since");
	return r;
}

static int read_query(struct http_request *request, struct usage_query *query, struct error *err)
{
	const struct caller *caller = access_caller(request);
	const char *limit = http_request_query(request, "limit");
	const char *by = http_request_query(request, "by");
	uint64_t number = USAGE_PAGE_MAX;

	query->customer = http_request_query(request, "customer");
	query->after = http_request_query(request, "after");
	query->by_customer = by && strcmp(by, "customer") == 0;
	if (by && !query->by_customer && strcmp(by, "environment") != 0)
		return error_set(err, -EINVAL, "invalid", "by",
				 "by: \"%s\" is neither environment nor customer", by);
	if (limit &&
	    (number_parse(limit, &number, NULL) < 0 || number < 1 || number > USAGE_PAGE_MAX))
		return error_set(err, -ERANGE, "out_of_range", "limit",
				 "limit: \"%s\" is not in 1…%d", limit, USAGE_PAGE_MAX);
	query->limit = (unsigned)number;
	if (query->customer && !access_sees(caller, query->customer))
		return error_set(err, -EPERM, "forbidden", "customer",
				 "customer: this token is for %s", caller->subject);
	if (caller->access != ACCESS_ALL)
		query->customer = caller->subject;
	return read_span(request, query, err);
}

static void show(struct http_request *request, void *userdata)
{
	static const char *const known[] = { "customer", "since", "until", "by",
					     "limit",    "after", NULL };
	struct usage_query query = { 0 };
	struct api *api = userdata;
	struct operation *operation;
	struct error err = ERROR_INIT;
	int r;

	if (!api_takes_query(request, known))
		return;
	if (read_query(request, &query, &err) < 0) {
		http_reply_error(request, &err);
		return;
	}
	operation = operation_new(api, request);
	if (!operation)
		return;
	r = usage_log_read(api->config.archive, &query, reply, operation);
	if (r == 0)
		return;
	error_set(&err, r, "unavailable", NULL, "too many requests for usage wait");
	operation_fail(operation, &err);
}

static const struct http_route routes[] = {
	{ HTTP_GET, "/v1/usage", show },
};

int api_usage_init(struct api *api)
{
	return http_server_routes(api->config.server, routes, ARRAY_SIZE(routes), api);
}
