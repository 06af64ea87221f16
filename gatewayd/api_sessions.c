/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The local API's sessions: listed and ended over HTTP. */
#include "gatewayd/api_sessions.h"

#include <errno.h>
#include <string.h>

#include "gatewayd/api_query.h"
#include "gatewayd/sessions.h"
#include "lib/clock.h"
#include "lib/number.h"

/* A listing that waits for the kernel's. */
struct listing {
	struct http_request *request;
	struct accounting *accounting;
	struct session_filter filter;
};

static void fail(struct http_request *request, int errnum, const char *code, const char *field,
		 const char *sentence)
{
	struct error err = ERROR_INIT;

	error_set(&err, errnum, code, field, "%s", sentence);
	http_reply_error(request, &err);
}

/* ---- listing ---- */

static json_t *encode_page(const struct flow_table *table, const struct session_filter *filter)
{
	uint32_t flows[SESSIONS_LIMIT_MAX];
	char cursor[SESSION_ID_LENGTH + 1];
	int64_t wall = clock_unix_seconds();
	bool more;
	size_t n = sessions_choose(table, filter, flows, &more);
	_cleanup_json_ json_t *items = json_array();

	for (size_t i = 0; i < n; i++)
		if (json_array_append_new(items, session_encode(table, flows[i], wall)) < 0)
			return NULL;
	return json_pack("{s:O, s:s?, s:I}", "items", items, "next_cursor",
			 more ? session_id_format(flow_table_id(table, flows[n - 1]), cursor)
			      : NULL,
			 "sessions", (json_int_t)table->n_live);
}

static void reply_page(struct http_request *request, const struct accounting *accounting,
		       const struct session_filter *filter)
{
	json_t *page = encode_page(accounting_table(accounting), filter);

	if (page)
		http_reply_json(request, 200, page);
	else
		fail(request, -ENOMEM, "internal", NULL, "out of memory");
}

static void on_listed(int error, void *userdata)
{
	_cleanup_free_ struct listing *listing = userdata;

	if (error < 0) {
		fail(listing->request, -EAGAIN, "kernel", NULL,
		     "the kernel's connections cannot be listed now; try again");
		return;
	}
	/* Query texts live as long as the request does. */
	reply_page(listing->request, listing->accounting, &listing->filter);
}

static int read_source(const char *text, struct session_filter *filter, struct error *err)
{
	if (prefix_parse(text, &filter->source) < 0)
		return error_set(err, -EINVAL, "invalid", "source",
				 "source: \"%s\" is neither an address nor a prefix", text);
	filter->from = true;
	return 0;
}

static int read_limit(const char *text, struct session_filter *filter, struct error *err)
{
	uint64_t limit;

	if (number_parse(text, &limit, NULL) < 0 || limit == 0 || limit > SESSIONS_LIMIT_MAX)
		return error_set(err, -EINVAL, "invalid", "limit",
				 "limit: \"%s\" is not in 1 to %d", text, SESSIONS_LIMIT_MAX);
	filter->limit = limit;
	return 0;
}

static int read_filter(const struct http_request *request, struct session_filter *filter,
		       struct error *err)
{
	static const char *const known[] = { "port",  "environment", "source",
					     "limit", "cursor",      NULL };
	const char *source = http_request_query(request, "source"),
		   *limit = http_request_query(request, "limit"),
		   *cursor = http_request_query(request, "cursor");
	int r = api_check_query(request, known, err);

	*filter = (struct session_filter){ .limit = SESSIONS_LIMIT_DEFAULT };
	if (r == 0)
		r = api_read_port(request, &filter->port, err);
	if (r == 0)
		r = api_read_environment(request, &filter->environment, err);
	if (r == 0 && cursor && session_id_parse(cursor, &filter->after) < 0)
		return error_set(err, -EINVAL, "invalid", "cursor",
				 "cursor: \"%s\" is not one that was answered", cursor);
	if (r == 0 && source)
		r = read_source(source, filter, err);
	if (r == 0 && limit)
		r = read_limit(limit, filter, err);
	return r;
}

/* The first page is of what the kernel has now; further ones go on from memory. */
static void handle_list(struct http_request *request, void *userdata)
{
	struct accounting *accounting = userdata;
	struct session_filter filter;
	struct error err = ERROR_INIT;
	struct listing *listing;

	if (read_filter(request, &filter, &err) < 0) {
		http_reply_error(request, &err);
		return;
	}
	if (http_request_query(request, "cursor")) {
		reply_page(request, accounting, &filter);
		return;
	}
	listing = malloc(sizeof(*listing));
	if (listing) {
		*listing = (struct listing){ request, accounting, filter };
		if (accounting_refresh(accounting, on_listed, listing) == 0)
			return;
		free(listing);
	}
	fail(request, -ENOMEM, "internal", NULL, "out of memory");
}

/* ---- ending ---- */

static void handle_end(struct http_request *request, void *userdata)
{
	struct accounting *accounting = userdata;
	const char *text = http_request_param(request, "id");
	struct error err = ERROR_INIT;
	uint64_t id;
	int r;

	r = session_id_parse(text, &id);
	if (r == 0)
		r = accounting_end_session(accounting, id);
	if (r == 0) {
		http_reply_json(request, 200, json_pack("{s:s}", "id", text));
		return;
	}
	if (r == -ENOENT || r == -EINVAL)
		error_set(&err, -ENOENT, "not_found", "id", "there is no session \"%s\"", text);
	else
		error_set(&err, r, "kernel", NULL, "the kernel does not end the session: %s",
			  strerror(-r));
	http_reply_error(request, &err);
}

static const struct http_route routes[] = {
	{ HTTP_GET, "/v1/sessions", handle_list },
	{ HTTP_DELETE, "/v1/sessions/{id}", handle_end },
};

int api_sessions_serve(struct http_server *server, struct accounting *accounting)
{
	return http_server_routes(server, routes, ARRAY_SIZE(routes), accounting);
}
