/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Watch streams over a real socket, read by the decoder that followers have: what a snapshot holds,
 * which change goes to whom, who is ended and when. */
#include "schedd/feed.h"

#include <sys/socket.h>
#include <sys/un.h>

#include "lib/http_client.h"
#include "lib/loop.h"
#include "proto/watch.h"
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

static const struct http_route routes[] = {
	{ HTTP_GET, "/environments", environments },
	{ HTTP_GET, "/environments/{id}", environment },
	{ HTTP_GET, "/hosts/{id}", assignments },
	{ HTTP_GET, "/gateways/{id}", mappings },
};

static void setup(void)
{
	const struct http_limits limits = { .stream_bytes = STREAM_BYTES };
	struct error err = ERROR_INIT;

	cr_assert(mkdtemp(folder));
	(void)snprintf(path, sizeof(path), "%s/socket", folder);
	base = event_base_new();
	cr_assert(base);
	cr_assert_eq(http_server_new(&server, base, &limits), 0);
	cr_assert_eq(http_server_routes(server, routes, ARRAY_SIZE(routes), NULL), 0);
	cr_assert_eq(http_server_listen_unix(server, path, 0600, &err), 0, "%s", err.message);
	cr_assert_eq(http_client_new(&client, base), 0);
	cr_assert_eq(feed_new(&feed, base, NULL, NULL), 0);
	row_state(&state);
	row_load(&state, row_host("host1"));
	row_load(&state, row_host("host2"));
	row_load(&state, row_gateway("gw4", "203.0.113.10"));
	row_load(&state, row_gateway("gw6", "2001:db8::10"));
}

static void teardown(void)
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

TestSuite(feed, .init = setup, .fini = teardown, .timeout = 60);

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

/* Opens a stream and reads its snapshot. */
static struct watcher *watch(const char *what)
{
	static const struct watch_events events = { on_snapshot, on_change, on_bookmark };
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
	cr_assert_eq(watch_decoder_new(&watcher->decoder, &events, watcher, 0), 0);
	cr_assert_eq(http_client_call(client, &call, NULL), 0);
	wait_until(watcher->snapshots == 1 || watcher->ended);
	return watcher;
}

/* ---- what the committer does ---- */

static void commit(void)
{
	cr_assert(state_close_batch(&state));
	state_commit_batch(&state);
	feed_commit(feed, &state, &state.flight);
	state_finish_batch(&state);
}

static struct environment_entry *load(const char *id, const char *name, const char *host)
{
	struct environment *row = row_environment(id, name);

	(void)snprintf(row->host, sizeof(row->host), "%s", host);
	row->assignment = *host ? ASSIGNMENT_RUNNING : ASSIGNMENT_NONE;
	row_load(&state, row);
	return state_environment(&state, id);
}

static struct port_entry *load_port(const char *id, const char *endpoint, bool mapped)
{
	struct port *port = row_port(id, "ssh", endpoint);
	const struct mapping_key key = port->key;

	port->has_target = mapped;
	port->target = row_endpoint(strchr(endpoint, '[') ? "[fd00::2]:41000" : "10.0.1.2:41000");
	row_load(&state, port);
	return state_port(&state, &key);
}

/* Text of a field of the item at an index. */
static const char *text(json_t *array, size_t index, const char *field)
{
	const char *value = json_string_value(json_object_get(json_array_get(array, index), field));

	cr_assert(value, "no %s", field);
	return value;
}

/* ---- snapshots ---- */

Test(feed, a_snapshot_has_epoch_revision_and_every_environment)
{
	struct watcher *watcher;

	load("env-a", "a", "host1");
	load("env-b", "b", "");
	watcher = watch("environments");
	cr_assert_eq(watcher->epoch, 3);
	cr_assert_eq(watcher->revision, 100);
	cr_assert_eq(json_array_size(watcher->items), 2);
	cr_assert_str_eq(text(watcher->items, 0, "id"), "env-a");
	cr_assert_str_eq(text(watcher->items, 1, "id"), "env-b");
	cr_assert_eq(feed_count(feed), 1);
}

Test(feed, one_environment_is_watched_alone)
{
	struct environment_entry *a = load("env-a", "a", ""), *b = load("env-b", "b", "");
	struct watcher *watcher = watch("environments/env-b");

	cr_assert_eq(json_array_size(watcher->items), 1);
	cr_assert_str_eq(text(watcher->items, 0, "id"), "env-b");
	state_edit_environment(&state, a)->phase = PHASE_FAILED;
	commit();
	state_edit_environment(&state, b)->phase = PHASE_CREATING;
	commit();
	wait_until(watcher->changes == 1);
	cr_assert_eq(watcher->revision, 102);
	cr_assert_str_eq(text(watcher->put, 0, "phase"), "creating");
}

Test(feed, a_host_gets_its_assignments_only)
{
	struct watcher *watcher;

	load("env-a", "a", "host1");
	load("env-b", "b", "host2");
	load("env-c", "c", "");
	watcher = watch("hosts/host1");
	cr_assert_eq(json_array_size(watcher->items), 1);
	cr_assert_str_eq(text(watcher->items, 0, "environment"), "env-a");
}

/* A host that connects while its environment is on the way elsewhere still has it. */
Test(feed, a_snapshot_follows_what_is_committed_and_not_what_is_on_its_way)
{
	struct environment_entry *a = load("env-a", "a", "host1");
	struct watcher *first, *second;

	cr_assert_eq(state_release(&state, a), 0);
	cr_assert_eq(state_place(&state, a, state_host(&state, "host2"), NULL), 0);
	first = watch("hosts/host1");
	second = watch("hosts/host2");
	cr_assert_eq(json_array_size(first->items), 1);
	cr_assert_eq(json_array_size(second->items), 0);
	commit();
	wait_until(first->changes == 1 && second->changes == 1);
	cr_assert_eq(json_array_size(first->put), 0);
	cr_assert_str_eq(text(first->deleted, 0, "environment"), "env-a");
	cr_assert_str_eq(text(second->put, 0, "environment"), "env-a");
	cr_assert_eq(json_array_size(second->deleted), 0);
}

Test(feed, a_gateway_gets_the_mappings_of_its_addresses)
{
	struct watcher *four, *six;

	load("env-a", "a", "host1");
	load("env-b", "b", "host1");
	load_port("env-a", "203.0.113.10:30001", true);
	load_port("env-b", "[2001:db8::10]:30001", true);
	load_port("env-b", "203.0.113.10:30002", false);
	four = watch("gateways/gw4");
	six = watch("gateways/gw6");
	cr_assert_eq(json_array_size(four->items), 1);
	cr_assert_str_eq(text(four->items, 0, "environment"), "env-a");
	cr_assert_eq(json_array_size(six->items), 1);
	cr_assert_str_eq(text(six->items, 0, "environment"), "env-b");
}

/* Larger than the limit of a stream: it has to arrive all the same. */
Test(feed, a_large_snapshot_arrives_whole)
{
	struct watcher *watcher;
	char id[32], name[32];

	for (unsigned i = 0; i < 1000; i++) {
		(void)snprintf(id, sizeof(id), "env-%u", i);
		(void)snprintf(name, sizeof(name), "n%u", i);
		load(id, name, "");
	}
	watcher = watch("environments");
	cr_assert_eq(json_array_size(watcher->items), 1000);
	cr_assert_str_eq(text(watcher->items, 999, "id"), "env-999");
}

/* ---- changes ---- */

Test(feed, one_commit_is_one_line_with_everything)
{
	struct environment_entry *a = load("env-a", "a", "");
	struct port_entry *port = load_port("env-a", "203.0.113.10:30001", false);
	struct watcher *watcher = watch("environments");

	row_add(&state, row_environment("env-b", "b"));
	state_edit_environment(&state, a)->phase = PHASE_RUNNING;
	state_edit_port(&state, port)->state = PORT_PUBLISHED;
	commit();
	wait_until(watcher->changes == 1);
	cr_assert_eq(watcher->revision, 101);
	cr_assert_eq(json_array_size(watcher->put), 2, "each environment once");
	cr_assert_str_eq(text(watcher->put, 0, "id"), "env-b");
	cr_assert_str_eq(text(watcher->put, 1, "phase"), "running");
	cr_assert_str_eq(
		text(json_object_get(json_array_get(watcher->put, 1), "ports"), 0, "state"),
		"published");
}

Test(feed, a_port_that_changes_alone_is_a_change_of_its_environment)
{
	struct port_entry *port;
	struct watcher *watcher;

	load("env-a", "a", "");
	port = load_port("env-a", "203.0.113.10:30001", false);
	watcher = watch("environments");
	state_edit_port(&state, port)->state = PORT_PUBLISHED;
	commit();
	wait_until(watcher->changes == 1);
	cr_assert_str_eq(text(watcher->put, 0, "id"), "env-a");
}

Test(feed, an_environment_that_is_gone_is_told_by_its_id)
{
	struct environment_entry *a = load("env-a", "a", "");
	struct watcher *watcher = watch("environments");

	state_edit_environment(&state, a)->record.gone = true;
	commit();
	wait_until(watcher->changes == 1);
	cr_assert_eq(json_array_size(watcher->put), 0);
	cr_assert_eq(json_array_size(watcher->deleted), 1);
	cr_assert_str_eq(text(watcher->deleted, 0, "id"), "env-a");
}

Test(feed, a_host_hears_of_its_item_only_when_that_has_changed)
{
	struct environment_entry *a = load("env-a", "a", "host1");
	struct watcher *watcher = watch("hosts/host1");
	struct environment *edit;

	state_edit_environment(&state, a)->phase = PHASE_RUNNING;
	commit();
	edit = state_edit_environment(&state, a);
	edit->assignment = ASSIGNMENT_STOPPED;
	edit->assignment_revision = state_open_revision(&state);
	commit();
	wait_until(watcher->changes == 1);
	cr_assert_eq(watcher->revision, 102, "the phase alone is not told");
	cr_assert_str_eq(text(watcher->put, 0, "state"), "stopped");
	edit = state_edit_environment(&state, a);
	edit->assignment = ASSIGNMENT_NONE;
	edit->assignment_revision = state_open_revision(&state);
	commit();
	wait_until(watcher->changes == 2);
	cr_assert_str_eq(text(watcher->deleted, 0, "environment"), "env-a");
}

Test(feed, a_mapping_comes_with_its_target_and_goes_with_its_withdrawal)
{
	struct port_entry *port;
	struct watcher *four, *six;
	struct port *edit;

	load("env-a", "a", "host1");
	port = load_port("env-a", "203.0.113.10:30001", false);
	four = watch("gateways/gw4");
	six = watch("gateways/gw6");
	cr_assert_eq(json_array_size(four->items), 0);
	edit = state_edit_port(&state, port);
	edit->has_target = true;
	edit->mapping_revision = state_open_revision(&state);
	commit();
	wait_until(four->changes == 1);
	cr_assert_eq(json_integer_value(json_object_get(json_array_get(four->put, 0), "port")),
		     30001);
	state_edit_port(&state, port)->state = PORT_PUBLISHED;
	commit();
	edit = state_edit_port(&state, port);
	edit->state = PORT_WITHDRAWING;
	edit->mapping_revision = state_open_revision(&state);
	commit();
	wait_until(four->changes == 2);
	cr_assert_eq(four->revision, 103, "published is no change for the gateway");
	cr_assert_eq(json_array_size(four->deleted), 1);
	cr_assert_eq(json_array_size(four->put), 0);
	cr_assert_eq(six->changes, 0);
}

Test(feed, who_is_not_concerned_learns_the_revision_by_a_bookmark)
{
	struct environment_entry *a = load("env-a", "a", "host1");
	struct watcher *watcher = watch("hosts/host2");

	state_edit_environment(&state, a)->phase = PHASE_RUNNING;
	commit();
	wait_until(watcher->bookmarks == 1);
	cr_assert_eq(watcher->changes, 0);
	cr_assert_eq(watcher->revision, 101);
}

/* ---- ends ---- */

Test(feed, a_gateway_with_other_addresses_starts_over)
{
	struct watcher *four = watch("gateways/gw4"), *six = watch("gateways/gw6");

	state_edit_gateway(&state, state_gateway(&state, "gw4"))->addresses_revision =
		state_open_revision(&state);
	commit();
	wait_until(four->ended);
	cr_assert(strstr(four->last_words, "has changed"), "%s", four->last_words);
	cr_assert_eq(feed_ended(feed, FEED_CHANGED), 1);
	cr_assert_not(six->ended);
	cr_assert_eq(feed_count(feed), 1);
}

Test(feed, a_reset_ends_every_stream)
{
	struct watcher *first = watch("environments"), *second = watch("hosts/host1");

	feed_reset(feed);
	cr_assert_eq(feed_count(feed), 0);
	wait_until(first->ended && second->ended);
	cr_assert(strstr(first->last_words, "loaded anew"), "%s", first->last_words);
	cr_assert_str_eq(first->last_words, second->last_words);
	cr_assert_eq(feed_ended(feed, FEED_RESET), 2);
}

Test(feed, a_reader_that_leaves_is_forgotten)
{
	struct environment_entry *a = load("env-a", "a", "");
	struct watcher *watcher = watch("environments");

	http_client_free(TAKE_PTR(client));
	wait_until(feed_count(feed) == 0);
	state_edit_environment(&state, a)->phase = PHASE_RUNNING;
	commit();
	cr_assert_eq(watcher->changes, 0);
}

static int connect_and_ask(void)
{
	static const char request[] = "GET /environments HTTP/1.1\r\nHost: localhost\r\n\r\n";
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	(void)snprintf(address.sun_path, sizeof(address.sun_path), "%s", path);
	cr_assert_geq(fd, 0);
	cr_assert_eq(connect(fd, (struct sockaddr *)&address, sizeof(address)), 0);
	cr_assert_eq(write(fd, request, strlen(request)), (ssize_t)strlen(request));
	return fd;
}

Test(feed, a_reader_that_does_not_read_loses_its_stream_and_nobody_else_does)
{
	struct environment_entry *a = load("env-a", "a", "");
	struct watcher *watcher = watch("environments");
	unsigned changes = 0;
	int fd = connect_and_ask();

	wait_until(feed_count(feed) == 2);
	while (feed_count(feed) == 2 && changes < 100000) {
		struct environment *edit = state_edit_environment(&state, a);

		memset(edit->reason, 'x', sizeof(edit->reason) - 1);
		commit();
		changes++;
		wait_until(watcher->changes == changes);
	}
	cr_assert_eq(feed_count(feed), 1, "after %u changes", changes);
	cr_assert_not(watcher->ended);
	close(fd);
}
