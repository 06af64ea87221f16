/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Watch streams over a real socket, read by the decoder that followers have, and commits as the
 * committer makes them.
 */
#pragma once

#include <stdlib.h>

#include "lib/http_client.h"
#include "lib/loop.h"
#include "proto/watch.h"
#include "schedd/access.h"
#include "schedd/feed.h"
#include "tests/unit/schedd/rows.h"

#define STREAM_BYTES 65536
#define DEADLINE_S 20
#define WATCHERS_MAX 4

struct watcher {
	struct watch_decoder *decoder;
	bool ended;
	unsigned snapshots, changes, bookmarks;
	uint64_t epoch, revision;
	json_t *items;                      /* of the last snapshot */
	json_t *put, *deleted;              /* of the last change */
	char last_words[ERROR_MESSAGE_MAX]; /* why the stream was ended */
};

static struct event_base *base;
static struct http_server *server;
static struct http_client *client;
static struct feed *feed;
static struct state state;
static struct watcher watchers[WATCHERS_MAX];
static char folder[] = "/tmp/portico-feed-XXXXXX", path[sizeof(folder) + 8];
static bool late;

/* ---- the server's side ---- */

static void environments(struct http_request *request, void *userdata)
{
	feed_start(feed, &state, request, FEED_ENVIRONMENTS, NULL);
}

static void environment(struct http_request *request, void *userdata)
{
	feed_start(feed, &state, request, FEED_ENVIRONMENTS, http_request_param(request, "id"));
}

static void assignments(struct http_request *request, void *userdata)
{
	feed_start(feed, &state, request, FEED_ASSIGNMENTS, http_request_param(request, "id"));
}

static void mappings(struct http_request *request, void *userdata)
{
	feed_start(feed, &state, request, FEED_MAPPINGS, http_request_param(request, "id"));
}

static void rows(struct http_request *request, enum feed_kind kind)
{
	feed_start(feed, &state, request, kind, http_request_query(request, "id"));
}

static void hosts(struct http_request *request, void *userdata)
{
	rows(request, FEED_HOSTS);
}

static void ports(struct http_request *request, void *userdata)
{
	rows(request, FEED_PORTS);
}

/* After a revision, as text. */
static void events(struct http_request *request, void *userdata)
{
	const struct event_query query = {
		.forward = true,
		.revision = strtoull(http_request_param(request, "revision"), NULL, 10),
	};

	feed_start_events(feed, &state, request, &query);
}

/* Who says so is a customer. */
static bool guard(struct http_request *request, const struct http_route *route, void *userdata)
{
	static struct caller customer = { .role = ROLE_CUSTOMER,
					  .access = ACCESS_OWN,
					  .subject = "alice" };

	if (http_request_query(request, "alice"))
		http_request_attach(request, &customer, NULL);
	return true;
}

static const struct http_route routes[] = {
	{ HTTP_GET, "/environments", environments },
	{ HTTP_GET, "/environments/{id}", environment },
	{ HTTP_GET, "/hosts/{id}", assignments },
	{ HTTP_GET, "/gateways/{id}", mappings },
	{ HTTP_GET, "/rows/hosts", hosts },
	{ HTTP_GET, "/rows/ports", ports },
	{ HTTP_GET, "/events/{revision}", events },
};

static inline void streams_setup(void)
{
	const struct http_limits limits = { .stream_bytes = STREAM_BYTES };
	struct error err = ERROR_INIT;

	cr_assert(mkdtemp(folder));
	(void)snprintf(path, sizeof(path), "%s/socket", folder);
	base = event_base_new();
	cr_assert(base);
	cr_assert_eq(http_server_new(&server, base, &limits), 0);
	cr_assert_eq(http_server_routes(server, routes, ARRAY_SIZE(routes), NULL), 0);
	http_server_set_guard(server, guard, NULL);
	cr_assert_eq(http_server_listen_unix(server, path, 0600, &err), 0, "%s", err.message);
	cr_assert_eq(http_client_new(&client, base), 0);
	cr_assert_eq(feed_new(&feed, base, NULL, NULL), 0);
	row_state(&state);
	row_load(&state, row_host("host1"));
	row_load(&state, row_host("host2"));
	row_load(&state, row_gateway("gw4", "203.0.113.10"));
	row_load(&state, row_gateway("gw6", "2001:db8::10"));
}

static inline void streams_teardown(void)
{
	feed_free(feed);
	http_client_free(client);
	http_server_free(server);
	state_clear(&state);
	event_base_free(base);
	for (size_t i = 0; i < WATCHERS_MAX; i++) {
		watch_decoder_free(watchers[i].decoder);
		json_decref(watchers[i].items);
		json_decref(watchers[i].put);
		json_decref(watchers[i].deleted);
	}
	unlink(path);
	rmdir(folder);
}

/* ---- the reader's side ---- */

static void on_snapshot(void *userdata, uint64_t epoch, uint64_t revision, json_t *items)
{
	struct watcher *watcher = userdata;

	watcher->snapshots++;
	watcher->epoch = epoch;
	watcher->revision = revision;
	watcher->items = json_incref(items);
}

static void on_change(void *userdata, uint64_t epoch, uint64_t revision, json_t *put,
		      json_t *deleted)
{
	struct watcher *watcher = userdata;

	watcher->changes++;
	watcher->revision = revision;
	json_decref(watcher->put);
	json_decref(watcher->deleted);
	watcher->put = json_incref(put);
	watcher->deleted = json_incref(deleted);
}

static void on_bookmark(void *userdata, uint64_t epoch, uint64_t revision)
{
	struct watcher *watcher = userdata;

	watcher->bookmarks++;
	watcher->revision = revision;
}

static int on_data(const char *data, size_t length, void *userdata)
{
	struct watcher *watcher = userdata;
	struct error err = ERROR_INIT;
	int r = watch_decoder_feed(watcher->decoder, data, length, &err);

	if (r == -ECONNRESET) {
		(void)snprintf(watcher->last_words, sizeof(watcher->last_words), "%s", err.message);
		return 0;
	}
	cr_assert_eq(r, 0, "%s", err.message);
	return 0;
}

static void on_done(const struct http_response *response, void *userdata)
{
	struct watcher *watcher = userdata;

	watcher->ended = true;
}

static void too_late(evutil_socket_t fd, short what, void *userdata)
{
	late = true;
}

/* Runs the loop until the condition, by events alone. */
#define wait_until(condition)                                          \
	do {                                                           \
		const struct timeval limit = { .tv_sec = DEADLINE_S }; \
		struct event deadline;                                 \
                                                                       \
		evtimer_assign(&deadline, base, too_late, NULL);       \
		event_add(&deadline, &limit);                          \
		while (!(condition) && !late)                          \
			event_base_loop(base, EVLOOP_ONCE);            \
		event_del(&deadline);                                  \
		cr_assert_not(late, "in vain: " #condition);           \
	} while (0)

/* Opens a stream, which may go on from somewhere. */
static inline struct watcher *watch_later(const char *what, bool may_resume)
{
	static const struct watch_events events[] = {
		{ on_snapshot, on_change, on_bookmark },
		{ on_snapshot, on_change, on_bookmark, .may_resume = true },
	};
	static size_t n;
	struct watcher *watcher = &watchers[n++];
	char url[128];
	const struct http_call call = {
		.url = url,
		.unix_socket = path,
		.on_data = on_data,
		.on_done = on_done,
		.userdata = watcher,
	};

	(void)snprintf(url, sizeof(url), "http://localhost/%s", what);
	cr_assert_eq(watch_decoder_new(&watcher->decoder, &events[may_resume], watcher, 0), 0);
	cr_assert_eq(http_client_call(client, &call, NULL), 0);
	return watcher;
}

/* Opens a stream and reads its snapshot. */
static inline struct watcher *watch(const char *what)
{
	struct watcher *watcher = watch_later(what, false);

	wait_until(watcher->snapshots == 1 || watcher->ended);
	return watcher;
}

/* ---- what the committer does ---- */

static inline void commit(void)
{
	cr_assert(state_close_batch(&state));
	state_commit_batch(&state);
	feed_commit(feed, &state, &state.flight);
	state_finish_batch(&state);
}

static inline struct environment_entry *load(const char *id, const char *name, const char *host)
{
	struct environment *row = row_environment(id, name);

	(void)snprintf(row->host, sizeof(row->host), "%s", host);
	row->assignment = *host ? ASSIGNMENT_RUNNING : ASSIGNMENT_NONE;
	row_load(&state, row);
	return state_environment(&state, id);
}

static inline struct port_entry *load_port(const char *id, const char *endpoint, bool mapped)
{
	struct port *port = row_port(id, "ssh", endpoint);
	const struct mapping_key key = port->key;

	port->has_target = mapped;
	port->target = row_endpoint(strchr(endpoint, '[') ? "[fd00::2]:41000" : "10.0.1.2:41000");
	row_load(&state, port);
	return state_port(&state, &key);
}

/* Text of a field of the item at an index. */
static inline const char *text(json_t *array, size_t index, const char *field)
{
	const char *value = json_string_value(json_object_get(json_array_get(array, index), field));

	cr_assert(value, "no %s", field);
	return value;
}
