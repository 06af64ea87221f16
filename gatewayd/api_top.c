/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The local API's view of what is busy now: mappings by the rate of their bytes or connections. */
#include "gatewayd/api_top.h"

#include <errno.h>
#include <string.h>

#include "gatewayd/api_query.h"
#include "gatewayd/entry_mapping.h"
#include "gatewayd/sessions.h"
#include "lib/json.h"
#include "lib/number.h"

#define LIMIT_DEFAULT 20
#define LIMIT_MAX 1000

struct busy {
	uint32_t account;
	double order; /* the larger the earlier */
	double activity;
	struct rates rates;
};

struct query {
	bool by_connections;
	size_t limit;
};

static int compare_busy(const void *a, const void *b)
{
	const struct busy *left = a, *right = b;

	if (left->order != right->order)
		return left->order < right->order ? 1 : -1;
	if (left->activity != right->activity)
		return left->activity < right->activity ? 1 : -1;
	return left->account < right->account ? -1 : left->account > right->account;
}

/* All open accounts, the busiest first. */
static size_t rank(const struct flow_table *flows, const struct query *query, struct busy *ret)
{
	size_t n = 0;

	for (uint32_t i = 0; i < flows->store.account_pool.used; i++) {
		struct rates rates;

		if (flows->store.accounts[i].state != ACCOUNT_OPEN)
			continue;
		rates = flow_table_rates(flows, i);
		ret[n++] = (struct busy){
			.account = i,
			.order = query->by_connections ? rates.connections
						       : rates.bytes[CT_IN] + rates.bytes[CT_OUT],
			.activity = flow_table_activity(flows, i),
			.rates = rates,
		};
	}
	qsort(ret, n, sizeof(*ret), compare_busy);
	return n;
}

static int encode_rates(json_t *object, const struct rates *rates)
{
	if (json_object_set_new(object, "bytes_in_per_second", json_real(rates->bytes[CT_IN])) <
		    0 ||
	    json_object_set_new(object, "bytes_out_per_second", json_real(rates->bytes[CT_OUT])) <
		    0 ||
	    json_object_set_new(object, "connections_per_second", json_real(rates->connections)) <
		    0)
		return -ENOMEM;
	return 0;
}

static json_t *encode_busy(const struct top_view *view, const struct busy *busy)
{
	const struct account *account =
		&accounting_table(view->accounting)->store.accounts[busy->account];
	const struct entry *entry = ledger_find(view->ledger, &account->key);
	_cleanup_json_ json_t *json = NULL;
	struct entry_view mapping;

	if (entry) {
		entry_view(entry, &mapping);
		json = mapping_encode(&mapping.mapping);
	} else {
		json = mapping_key_encode(&account->key);
	}
	if (!json || traffic_encode(json, &account->totals.traffic) < 0 ||
	    json_object_set_new(json, "connections",
				json_integer((json_int_t)account->totals.connections)) < 0 ||
	    encode_rates(json, &busy->rates) < 0)
		return NULL;
	return TAKE_PTR(json);
}

static json_t *encode_answer(const struct top_view *view, const struct busy *busy, size_t n,
			     size_t limit)
{
	_cleanup_json_ json_t *json = NULL, *items = json_array();
	struct accounting_status status;
	struct rates sums = { 0 };

	for (size_t i = 0; i < n; i++) {
		sums.bytes[CT_IN] += busy[i].rates.bytes[CT_IN];
		sums.bytes[CT_OUT] += busy[i].rates.bytes[CT_OUT];
		sums.connections += busy[i].rates.connections;
		if (i < limit && json_array_append_new(items, encode_busy(view, &busy[i])) < 0)
			return NULL;
	}
	accounting_status(view->accounting, &status);
	json = json_pack("{s:O, s:I, s:I, s:I, s:f}", "items", items, "sessions",
			 (json_int_t)status.sessions, "conntrack_entries",
			 (json_int_t)status.conntrack.entries, "conntrack_limit",
			 (json_int_t)status.conntrack.limit, "window_seconds",
			 status.window_seconds);
	if (!json || encode_rates(json, &sums) < 0)
		return NULL;
	return TAKE_PTR(json);
}

static int read_query(const struct http_request *request, struct query *ret, struct error *err)
{
	static const char *const known[] = { "by", "limit", NULL };
	const char *by = http_request_query(request, "by"),
		   *limit = http_request_query(request, "limit");
	uint64_t number = LIMIT_DEFAULT;
	int r = api_check_query(request, known, err);

	if (r < 0)
		return r;
	if (by && strcmp(by, "bytes") != 0 && strcmp(by, "connections") != 0)
		return error_set(err, -EINVAL, "invalid", "by",
				 "by: \"%s\" is neither bytes nor connections", by);
	if (limit && (number_parse(limit, &number, NULL) < 0 || number == 0 || number > LIMIT_MAX))
		return error_set(err, -EINVAL, "invalid", "limit",
				 "limit: \"%s\" is not in 1 to %d", limit, LIMIT_MAX);
	*ret = (struct query){ .by_connections = by && by[0] == 'c', .limit = number };
	return 0;
}

static void handle_top(struct http_request *request, void *userdata)
{
	const struct top_view *view = userdata;
	const struct flow_table *flows = accounting_table(view->accounting);
	_cleanup_free_ struct busy *busy = calloc(flows->account_index.n + 1, sizeof(*busy));
	struct error err = ERROR_INIT;
	json_t *answer = NULL;
	struct query query = { 0 };

	if (read_query(request, &query, &err) < 0) {
		http_reply_error(request, &err);
		return;
	}
	if (busy)
		answer = encode_answer(view, busy, rank(flows, &query, busy), query.limit);
	if (answer) {
		http_reply_json(request, 200, answer);
		return;
	}
	error_set(&err, -ENOMEM, "internal", NULL, "out of memory");
	http_reply_error(request, &err);
}

static const struct http_route routes[] = {
	{ HTTP_GET, "/v1/top", handle_top },
};

int api_top_serve(struct http_server *server, struct top_view *view)
{
	return http_server_routes(server, routes, ARRAY_SIZE(routes), view);
}
