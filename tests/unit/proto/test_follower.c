/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The servers that a follower is given: which it refuses, and that it goes from one to the next.
 * What it does where its owner has lost something, and how often it reports. */
#include "proto/follower.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "lib/http_server.h"

#define ROUNDS 5

static struct event_base *base;
static struct http_client *client;
static struct follower *follower;

static void setup(void)
{
	base = event_base_new();
	cr_assert(base);
	cr_assert_eq(http_client_new(&client, base), 0);
}

static void teardown(void)
{
	follower_free(follower);
	follower = NULL;
	http_client_free(client);
	event_base_free(base);
}

TestSuite(follower, .init = setup, .fini = teardown);

static json_t *registration(void *userdata)
{
	return json_object();
}

static json_t *report(void *userdata)
{
	return NULL;
}

struct seen {
	unsigned n;
	char servers[ROUNDS][64];
};

/* Notes whom it could not reach. */
static void on_state(void *userdata, enum follower_state state, const char *reason)
{
	struct seen *seen = userdata;

	if (state == FOLLOWER_CONNECTING && seen->n < ROUNDS)
		(void)snprintf(seen->servers[seen->n++], sizeof(seen->servers[0]), "%s",
			       follower_server(follower));
	if (seen->n == ROUNDS)
		event_base_loopbreak(base);
}

static int make(const char *server, struct seen *seen)
{
	const struct follower_events events = { .registration = registration,
						.report = report,
						.on_state = on_state };
	const struct follower_config config = {
		.server = server, .collection = "hosts", .name = "h1", .heartbeat_ms = 1000
	};

	return follower_new(&follower, base, client, &config, &events, seen);
}

Test(follower, an_empty_server_or_too_many_are_refused)
{
	static const char *const wrong[] = {
		"",
		",",
		"http://a,",
		",http://a",
		"http://a,,http://b",
		"1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17",
	};

	for (size_t i = 0; i < ARRAY_SIZE(wrong); i++)
		cr_expect_eq(make(wrong[i], NULL), -EINVAL, "\"%s\"", wrong[i]);
	cr_expect_eq(make("1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16", NULL), 0);
}

Test(follower, where_one_does_not_answer_the_next_is_tried_and_then_the_first_again)
{
	struct seen seen = { 0 };

	cr_assert_eq(make("unix:/nonexistent/a,unix:/nonexistent/b", &seen), 0);
	cr_assert_geq(event_base_dispatch(base), 0);
	cr_assert_eq(seen.n, ROUNDS);
	/* Of the first try nothing is told: it is the state at the start. */
	for (unsigned i = 0; i < ROUNDS; i++)
		cr_expect_str_eq(seen.servers[i],
				 i % 2 ? "unix:/nonexistent/a" : "unix:/nonexistent/b");
}

/* ---- what was lost ---- */

#define SNAPSHOT(revision)                                                 \
	"{\"type\":\"snapshot\",\"epoch\":1,\"revision\":" #revision "}\n" \
	"{\"type\":\"synced\",\"epoch\":1,\"revision\":" #revision "}\n"
#define CHANGE(revision)                                               \
	"{\"type\":\"change\",\"epoch\":1,\"revision\":" #revision "," \
	"\"put\":[],\"delete\":[]}\n"
#define BOOKMARK(revision) "{\"type\":\"bookmark\",\"epoch\":1,\"revision\":" #revision "}\n"

/* What the follower's owner was told, and in which streams; and what the server was. */
struct told {
	unsigned streams, lost;
	unsigned lose_snapshots; /* so many of the first */
	char events[128];
};

static struct told told;

static void on_register(struct http_request *request, void *userdata)
{
	http_reply_json(request, 200, json_pack("{s:i}", "epoch", 1));
}

static void on_closed(struct http_stream *stream, void *userdata)
{
}

/* The first stream has one change after another, in one piece; those behind it end with theirs. */
static void on_desired(struct http_request *request, void *userdata)
{
	static const char first[] = SNAPSHOT(1) CHANGE(2) CHANGE(3) BOOKMARK(4);
	static const char then[] = SNAPSHOT(4);
	const char *text = told.streams++ == 0 ? first : then;
	struct http_stream *stream;

	cr_assert_eq(http_stream_start(request, "application/json", on_closed, NULL, &stream), 0);
	cr_assert_eq(http_stream_send(stream, text, strlen(text)), 0);
}

static void note(const char *event, uint64_t revision)
{
	size_t length = strlen(told.events);

	(void)snprintf(told.events + length, sizeof(told.events) - length, "%s%llu ", event,
		       (unsigned long long)revision);
}

static void on_snapshot(void *userdata, uint64_t epoch, uint64_t revision, json_t *items)
{
	note("s", revision);
	if (told.lose_snapshots > 0) {
		told.lose_snapshots--;
		follower_lost(follower, "no room");
	} else if (revision == 4) {
		(void)event_base_loopbreak(base);
	}
}

static void on_change(void *userdata, uint64_t epoch, uint64_t revision, json_t *put,
		      json_t *deleted)
{
	note("c", revision);
	if (revision == 2)
		follower_lost(follower, "no room");
}

static void on_bookmark(void *userdata, uint64_t epoch, uint64_t revision)
{
	note("b", revision);
}

static void on_state_again(void *userdata, enum follower_state state, const char *reason)
{
	if (state == FOLLOWER_SYNCED)
		note("y", 0);
	if (state == FOLLOWER_WAITING && strcmp(reason, "no room") == 0)
		told.lost++;
}

static void follow(const struct http_route *routes, size_t n_routes,
		   const struct follower_events *events, uint32_t heartbeat_ms)
{
	const struct timeval deadline = { .tv_sec = 20 };
	char path[64];
	const struct follower_config config = {
		.server = path, .collection = "hosts", .name = "h1", .heartbeat_ms = heartbeat_ms
	};
	_cleanup_(cleanup_http_server) struct http_server *server = NULL;
	struct error err = ERROR_INIT;

	(void)snprintf(path, sizeof(path), "unix:/tmp/portico-follower-%d.sock", (int)getpid());
	cr_assert_eq(http_server_new(&server, base, NULL), 0);
	cr_assert_eq(http_server_routes(server, routes, n_routes, NULL), 0);
	cr_assert_eq(http_server_listen_unix(server, path + strlen("unix:"), 0600, &err), 0, "%s",
		     err.message);
	cr_assert_eq(follower_new(&follower, base, client, &config, events, NULL), 0);
	(void)event_base_loopexit(base, &deadline);
	cr_assert_geq(event_base_dispatch(base), 0);
	follower_free(follower);
	follower = NULL;
}

static void lose(void)
{
	static const struct http_route routes[] = {
		{ HTTP_POST, "/v1/hosts", on_register },
		{ HTTP_GET, "/v1/hosts/{id}/desired", on_desired },
	};
	const struct follower_events events = { .watch = { .on_snapshot = on_snapshot,
							   .on_change = on_change,
							   .on_bookmark = on_bookmark },
						.registration = registration,
						.report = report,
						.on_state = on_state_again };

	follow(routes, ARRAY_SIZE(routes), &events, 1000);
}

Test(follower, behind_what_was_lost_nothing_is_told_and_all_is_asked_for_anew)
{
	told = (struct told){ 0 };
	lose();
	cr_expect_str_eq(told.events, "s1 y0 c2 s4 y0 ");
	cr_expect_eq(told.streams, 2);
	cr_expect_eq(told.lost, 1);
}

Test(follower, a_lost_snapshot_is_none)
{
	told = (struct told){ .lose_snapshots = 2 };
	lose();
	cr_expect_str_eq(told.events, "s1 s4 s4 y0 ");
	cr_expect_eq(told.streams, 3);
	cr_expect_eq(told.lost, 2);
}

/* ---- how often ---- */

#define SELDOM_MS 3600000

/* What reports are answered with, one after the other, and what came of it. */
static struct {
	const char *answers[4]; /* the last is NULL */
	unsigned reports;
	char used[64];
} often;

static json_t *full_report(void *userdata)
{
	return json_object();
}

static void on_report(struct http_request *request, void *userdata)
{
	const char *answer = often.answers[often.reports++];

	cr_assert(answer);
	http_reply_json(request, 200, json_loads(answer, 0, NULL));
}

static void on_heartbeat(void *userdata, uint32_t heartbeat_ms, const char *complaint)
{
	size_t length = strlen(often.used);

	cr_expect_eq(*complaint != '\0', heartbeat_ms < SELDOM_MS, "%u ms: %s", heartbeat_ms,
		     complaint);
	(void)snprintf(often.used + length, sizeof(often.used) - length, "%u ", heartbeat_ms);
	if (heartbeat_ms == SELDOM_MS)
		(void)event_base_loopbreak(base);
}

static void stay(struct http_request *request, void *userdata)
{
	struct http_stream *stream;

	cr_assert_eq(http_stream_start(request, "application/json", on_closed, NULL, &stream), 0);
	cr_assert_eq(http_stream_send(stream, SNAPSHOT(1), strlen(SNAPSHOT(1))), 0);
}

/* By itself it would report once in an hour. */
static void report_to(const char *first, const char *second, const char *third)
{
	static const struct http_route routes[] = {
		{ HTTP_POST, "/v1/hosts", on_register },
		{ HTTP_GET, "/v1/hosts/{id}/desired", stay },
		{ HTTP_POST, "/v1/hosts/{id}/status", on_report },
	};
	const struct follower_events events = { .registration = registration,
						.report = full_report,
						.on_heartbeat = on_heartbeat };

	memset(&often, 0, sizeof(often));
	often.answers[0] = first;
	often.answers[1] = second;
	often.answers[2] = third;
	follow(routes, ARRAY_SIZE(routes), &events, SELDOM_MS);
}

Test(follower, reports_come_as_often_as_schedd_asks_and_no_more_seldom_than_configured)
{
	report_to("{\"heartbeat_ms\":30}", "{\"heartbeat_ms\":30}", "{\"heartbeat_ms\":7200000}");
	cr_expect_eq(often.reports, 3);
	cr_expect_str_eq(often.used, "30 3600000 ");
}

Test(follower, a_schedd_that_does_not_say_how_often_leaves_it_as_configured)
{
	report_to("{\"heartbeat_ms\":1}", "{\"heartbeat_ms\":0}", "{}");
	cr_expect_eq(often.reports, 2);
	cr_expect_str_eq(often.used, "10 3600000 ");
	report_to("{\"heartbeat_ms\":1}", "{\"heartbeat_ms\":\"soon\"}", "{}");
	cr_expect_str_eq(often.used, "10 3600000 ");
	report_to("{\"heartbeat_ms\":1}", "{}", "{}");
	cr_expect_str_eq(often.used, "10 3600000 ");
}
