/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The local API's routes for bans: listing, adding, replacing and removing banned sources. */
#include "gatewayd/api_bans.h"

#include <errno.h>
#include <string.h>

#include "gatewayd/api_query.h"
#include "lib/clock.h"

static void fail(struct http_request *request, struct error *err, int r)
{
	error_set(err, r, "internal", NULL, "%s", strerror(-r));
	http_reply_error(request, err);
}

/* ---- reading ---- */

static uint64_t refused_by(const struct ledger *ledger, const struct ban *ban)
{
	const struct member *member;
	struct member_key key;

	ban_key(&ban->source, &key);
	member = members_find(&ledger->members, &key);
	return member ? member->packets : 0;
}

static json_t *encode_list(const struct reconciler *reconciler)
{
	const struct bans *bans = reconciler_bans(reconciler);
	_cleanup_json_ json_t *items = json_array();
	int64_t now = clock_unix_seconds();

	for (size_t i = 0; items && i < bans->n; i++) {
		const struct ban *ban = bans->items[i];
		json_t *item;

		if (ban->expires_at != 0 && ban->expires_at <= now)
			continue;
		item = ban_encode(ban);
		if (!item ||
		    json_object_set_new(item, "refused",
					json_integer((json_int_t)refused_by(
						reconciler_ledger(reconciler), ban))) < 0 ||
		    json_array_append_new(items, item) < 0)
			return NULL;
	}
	return items ? json_pack("{s:O}", "items", items) : NULL;
}

static void handle_list(struct http_request *request, void *userdata)
{
	struct error err = ERROR_INIT;
	int r = api_check_query(request, NULL, &err);
	json_t *body = r == 0 ? encode_list(userdata) : NULL;

	if (body)
		http_reply_json(request, 200, body);
	else
		fail(request, &err, r < 0 ? r : -ENOMEM);
}

/* ---- changes ---- */

static void on_done(struct ban_request *done, void *userdata)
{
	struct http_request *request = userdata;

	if (done->error.errnum != 0)
		http_reply_error(request, &done->error);
	else
		http_reply_json(request, 200, json_pack("{s:I}", "bans", (json_int_t)done->n_bans));
}

static void submit(struct http_request *request, struct reconciler *reconciler,
		   struct ban_request *change)
{
	change->on_done = on_done;
	change->userdata = request;
	reconciler_submit_bans(reconciler, change);
}

/* {"bans":[…]} is all there shall be, one ban by itself comes to the others. */
static int decode_put(json_t *body, struct ban_request **ret, struct error *err)
{
	_cleanup_(cleanup_ban_request) struct ban_request *change = NULL;
	json_t *list = json_object_get(body, "bans");
	int64_t now = clock_unix_seconds();
	struct json_reader reader;
	struct ban ban;
	int r;

	r = ban_request_new(&change, list ? BAN_REPLACE : BAN_PUT);
	if (r < 0)
		return r;
	if (list) {
		json_reader_init(&reader, body, "", err);
		json_read_array(&reader, "bans", JSON_REQUIRED, 2 * BANS_MAX, &list);
		r = json_reader_finish(&reader);
		if (r == 0)
			r = bans_decode(list, "bans", now, &change->bans, err);
	} else {
		r = ban_decode(body, "", now, &ban, err);
		if (r == 0)
			r = bans_put(&change->bans, &ban, err);
	}
	if (r < 0)
		return r;
	*ret = TAKE_PTR(change);
	return 0;
}

static void handle_put(struct http_request *request, void *userdata)
{
	struct ban_request *change = NULL;
	_cleanup_json_ json_t *body = NULL;
	struct error err = ERROR_INIT;
	int r;

	r = api_check_query(request, NULL, &err);
	if (r == 0)
		r = http_request_json(request, &body, &err);
	if (r == 0)
		r = decode_put(body, &change, &err);
	if (r < 0)
		fail(request, &err, r);
	else
		submit(request, userdata, change);
}

static void remove_source(struct http_request *request, struct reconciler *reconciler,
			  const char *text)
{
	static const char *const known[] = { "source", NULL };
	struct ban_request *change = NULL;
	struct error err = ERROR_INIT;
	struct prefix source;
	int r = api_check_query(request, known, &err);

	if (r == 0 && !text)
		r = error_set(&err, -EINVAL, "missing", "source",
			      "source: say which, as in /v1/bans?source=198.51.100.0/24");
	else if (r == 0 && prefix_parse(text, &source) < 0)
		r = error_set(&err, -EINVAL, "invalid", "source",
			      "source: \"%s\" is neither an address nor a network such as "
			      "198.51.100.0/24",
			      text);
	if (r == 0)
		r = ban_request_new(&change, BAN_REMOVE);
	if (r < 0) {
		fail(request, &err, r);
		return;
	}
	change->source = source;
	submit(request, reconciler, change);
}

static void handle_remove(struct http_request *request, void *userdata)
{
	remove_source(request, userdata, http_request_param(request, "source"));
}

/* A network as it is written, its slash not encoded. */
static void handle_remove_network(struct http_request *request, void *userdata)
{
	char text[PREFIX_STRING_MAX + 1];

	(void)snprintf(text, sizeof(text), "%s/%s", http_request_param(request, "address"),
		       http_request_param(request, "length"));
	remove_source(request, userdata, text);
}

static void handle_remove_by_query(struct http_request *request, void *userdata)
{
	remove_source(request, userdata, http_request_query(request, "source"));
}

int api_bans_routes(struct http_server *server, struct reconciler *reconciler)
{
	static const struct http_route routes[] = {
		{ HTTP_GET, "/v1/bans", handle_list },
		{ HTTP_PUT, "/v1/bans", handle_put },
		{ HTTP_DELETE, "/v1/bans", handle_remove_by_query },
		{ HTTP_DELETE, "/v1/bans/{source}", handle_remove },
		{ HTTP_DELETE, "/v1/bans/{address}/{length}", handle_remove_network },
	};

	return http_server_routes(server, routes, ARRAY_SIZE(routes), reconciler);
}
