/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Logs on their way out of a host: what the engine gives is posted in pieces, in order and each
 * once, no faster than they are taken, and who wants them no more stops the engine. The engine is
 * the test's own, the scheduler's end a real server. */
#include <criterion/criterion.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "agentd/log_upload.h"
#include "lib/clock.h"
#include "lib/http_server.h"
#include "lib/number.h"

#define DEADLINE_MS 20000
#define PIECES_MAX 256
#define BODY_MAX 512
#define LONG ((size_t)16 << 10)

/* What was posted. */
struct piece {
	char session[LOG_SESSION_ID_MAX + 1];
	uint64_t sequence;
	bool last;
	size_t length;
	char body[BODY_MAX]; /* its beginning */
};

/* An engine that gives what the test says. */
struct driver_logs {
	struct driver_logs_request request;
	bool paused;
};

static struct event_base *base;
static struct http_server *server;
static struct http_client *client;
static struct follower *follower;
static struct log_uploads *uploads;
static uint16_t port;

static struct piece pieces[PIECES_MAX];
static unsigned n_pieces;
static struct http_request *held; /* without an answer so far */
static struct scheduler_end {
	bool holds, full;
	int fails; /* so many answers */
	int status;
} scheduler;

static struct engine {
	struct driver_logs *logs; /* the one that was asked for last */
	unsigned asked, cancelled;
	int error;
} engine;

/* ---- the engine ---- */

static int read_logs(struct driver *driver, const struct driver_logs_request *request,
		     struct driver_logs **ret)
{
	engine.asked++;
	if (engine.error)
		return engine.error;
	*ret = engine.logs = calloc(1, sizeof(**ret));
	cr_assert(engine.logs);
	engine.logs->request = *request;
	return 0;
}

static void pause_logs(struct driver_logs *logs, bool paused)
{
	logs->paused = paused;
}

static void cancel_logs(struct driver_logs *logs)
{
	engine.cancelled++;
	if (engine.logs == logs)
		engine.logs = NULL;
	free(logs);
}

static const struct driver_ops ops = { .logs = read_logs,
				       .logs_pause = pause_logs,
				       .logs_cancel = cancel_logs };
static struct driver driver = { .ops = &ops };

static void engine_begins(void)
{
	engine.logs->request.on_begin(engine.logs->request.userdata);
}

static void engine_gives(const char *text, size_t length)
{
	cr_assert_eq(engine.logs->request.on_text(engine.logs->request.userdata, LOG_STDOUT, "",
						  text, length),
		     0);
}

static void engine_is_done(int error, const char *message)
{
	struct driver_logs *logs = engine.logs;

	engine.logs = NULL;
	logs->request.on_done(logs->request.userdata, error, message);
	free(logs);
}

/* ---- the scheduler's end ---- */

static void answer(struct http_request *request)
{
	struct error err = ERROR_INIT;

	if (scheduler.fails > 0) {
		scheduler.fails--;
		error_set(&err, -EAGAIN, "unavailable", NULL, "not now");
		http_reply_error_details(request, 503, &err, NULL);
	} else if (scheduler.status) {
		error_set(&err, -ENOENT, "gone", NULL, "nobody reads it");
		http_reply_error_details(request, scheduler.status, &err, NULL);
	} else {
		http_reply_json(request, 200, json_pack("{s:b}", "full", scheduler.full));
	}
}

static void take_piece(struct http_request *request, void *userdata)
{
	struct piece *piece = &pieces[n_pieces++];
	const char *body = http_request_body(request, &piece->length);

	cr_assert_lt(n_pieces, PIECES_MAX);
	cr_assert_eq(number_parse(http_request_query(request, "sequence"), &piece->sequence, NULL),
		     0);
	piece->last = http_request_query(request, "last") != NULL;
	(void)snprintf(piece->session, sizeof(piece->session), "%s",
		       http_request_param(request, "session"));
	(void)snprintf(piece->body, sizeof(piece->body), "%.*s", (int)piece->length,
		       body ? body : "");
	if (scheduler.holds)
		held = request;
	else
		answer(request);
}

static json_t *no_registration(void *userdata)
{
	return json_object();
}

static json_t *no_report(void *userdata)
{
	return NULL;
}

static void begin(void)
{
	static const struct http_route routes[] = { { HTTP_POST, "/v1/hosts/h1/logs/{session}",
						      take_piece } };
	static const struct follower_events events = { .registration = no_registration,
						       .report = no_report };
	struct follower_config config = { .collection = "hosts",
					  .name = "h1",
					  .heartbeat_ms = 60000 };
	struct error err = ERROR_INIT;
	char url[64];

	base = event_base_new();
	cr_assert_eq(http_server_new(&server, base, NULL), 0);
	cr_assert_eq(http_server_routes(server, routes, ARRAY_SIZE(routes), NULL), 0);
	cr_assert_eq(http_server_listen_tcp(server, "127.0.0.1", 0, &port, &err), 0);
	cr_assert_eq(http_client_new(&client, base), 0);
	(void)snprintf(url, sizeof(url), "http://127.0.0.1:%u", port);
	config.server = url;
	cr_assert_eq(follower_new(&follower, base, client, &config, &events, NULL), 0);
	cr_assert_eq(log_uploads_new(&uploads, &(struct log_uploads_config){ .base = base,
									     .client = client,
									     .follower = follower,
									     .driver = &driver }),
		     0);
	n_pieces = 0;
	held = NULL;
	scheduler = (struct scheduler_end){ 0 };
	engine = (struct engine){ 0 };
}

static void end(void)
{
	log_uploads_free(uploads);
	cr_expect_null(engine.logs, "the engine still reads");
	follower_free(follower);
	http_client_free(client);
	http_server_free(server);
	event_base_free(base);
}

TestSuite(log_upload, .init = begin, .fini = end);

#define run_until(condition)                                                                       \
	do {                                                                                       \
		uint64_t _from = clock_monotonic_ms();                                             \
		while (!(condition)) {                                                             \
			cr_assert_lt(clock_monotonic_ms() - _from, DEADLINE_MS, "%s", #condition); \
			(void)event_base_loop(base, EVLOOP_ONCE);                                  \
		}                                                                                  \
	} while (0)

static void ask_for(const char *id, const char *environment)
{
	struct log_session session = { .follow = true, .tail = 5 };
	_cleanup_json_ json_t *json = NULL;

	(void)snprintf(session.id, sizeof(session.id), "%s", id);
	(void)snprintf(session.environment, sizeof(session.environment), "%s", environment);
	json = log_session_encode(&session);
	cr_assert(json);
	log_uploads_ask(uploads, json);
}

static void release(void)
{
	struct http_request *request = held;

	held = NULL;
	answer(request);
}

static void expect_piece(unsigned i, uint64_t sequence, const char *text)
{
	cr_expect_eq(pieces[i].sequence, sequence, "piece %u is number %lu", i,
		     (unsigned long)pieces[i].sequence);
	cr_expect_not(pieces[i].last);
	cr_expect(strstr(pieces[i].body, text), "piece %u: %s", i, pieces[i].body);
}

static void expect_end(unsigned i, uint64_t sequence, const char *code)
{
	char text[96];

	(void)snprintf(text, sizeof(text), "\"code\":\"%s\"", code);
	cr_expect_eq(pieces[i].sequence, sequence);
	cr_expect(pieces[i].last);
	cr_expect(strstr(pieces[i].body, text), "%s", pieces[i].body);
}

Test(log_upload, what_the_engine_gives_is_posted_in_pieces_and_in_order)
{
	ask_for("s1", "env-a");
	cr_assert(engine.logs);
	cr_expect_str_eq(engine.logs->request.session->environment, "env-a");
	cr_expect_eq(engine.logs->request.session->tail, 5);
	engine_begins();
	run_until(n_pieces == 1);
	expect_piece(0, 0, "{\"type\":\"idle\"}\n");
	cr_expect_str_eq(pieces[0].session, "s1");
	engine_gives("one\n", 4);
	engine_gives("two\n", 4);
	run_until(n_pieces == 2);
	expect_piece(1, 1, "one\\n");
	expect_piece(1, 1, "two\\n");
	engine_gives("three\n", 6);
	engine_is_done(0, "");
	run_until(log_uploads_count(uploads) == 0);
	cr_expect_eq(n_pieces, 4);
	expect_piece(2, 2, "three\\n");
	expect_end(3, 3, "complete");
	cr_expect_eq(engine.cancelled, 0);
}

Test(log_upload, what_had_no_answer_is_posted_again_as_it_was)
{
	ask_for("s1", "env-a");
	engine_begins();
	run_until(n_pieces == 1);
	scheduler.fails = 1;
	engine_gives("one\n", 4);
	run_until(n_pieces == 2);
	engine_gives("two\n", 4); /* what came later waits for the next one */
	run_until(n_pieces == 4);
	expect_piece(1, 1, "one\\n");
	expect_piece(2, 1, "one\\n");
	cr_expect_eq(pieces[1].length, pieces[2].length);
	expect_piece(3, 2, "two\\n");
	cr_expect_null(strstr(pieces[3].body, "one"));
}

Test(log_upload, also_how_it_ended_is_said_again)
{
	ask_for("s1", "env-a");
	engine_begins();
	run_until(n_pieces == 1);
	scheduler.fails = 1;
	engine_is_done(-ENOENT, "there is no such container");
	run_until(log_uploads_count(uploads) == 0);
	cr_expect_eq(n_pieces, 3);
	expect_end(1, 1, "no_container");
	expect_end(2, 1, "no_container");
}

Test(log_upload, while_the_reader_is_full_it_gets_empty_pieces_only)
{
	ask_for("s1", "env-a");
	scheduler.full = true;
	engine_begins();
	run_until(n_pieces == 1);
	engine_gives("one\n", 4);
	run_until(n_pieces == 4);
	for (unsigned i = 1; i < 4; i++) {
		cr_expect_eq(pieces[i].sequence, i);
		cr_expect_eq(pieces[i].length, 0);
	}
	engine_is_done(0, "");
	scheduler.full = false;
	run_until(log_uploads_count(uploads) == 0);
	expect_piece(n_pieces - 2, n_pieces - 2, "one\\n");
	expect_end(n_pieces - 1, n_pieces - 1, "complete");
}

Test(log_upload, the_engine_is_read_no_faster_than_pieces_are_taken)
{
	char text[LONG];
	unsigned given = 0;

	memset(text, 'a', sizeof(text));
	ask_for("s1", "env-a");
	engine_begins();
	run_until(n_pieces == 1);
	scheduler.holds = true;
	while (!engine.logs->paused && given < 100) {
		engine_gives(text, sizeof(text));
		given++;
	}
	cr_expect_leq(given, 10, "%u pieces of %zu bytes wait", given, LONG);
	run_until(held);
	cr_expect(engine.logs->paused);
	scheduler.holds = false;
	release();
	run_until(!engine.logs->paused);
}

Test(log_upload, a_session_that_is_not_known_any_more_stops_the_engine)
{
	ask_for("s1", "env-a");
	scheduler.status = 410;
	engine_begins();
	run_until(log_uploads_count(uploads) == 0);
	cr_expect_eq(engine.cancelled, 1);
	cr_expect_eq(n_pieces, 1);
}

Test(log_upload, so_does_one_that_is_not_wanted_any_more)
{
	ask_for("s1", "env-a");
	ask_for("s2", "env-b");
	cr_expect_eq(log_uploads_count(uploads), 2);
	ask_for("s1", "");
	cr_expect_eq(engine.cancelled, 1);
	cr_expect_eq(log_uploads_count(uploads), 1);
	ask_for("s3", ""); /* nobody ever asked for it */
	cr_expect_eq(log_uploads_count(uploads), 1);
}

Test(log_upload, one_that_is_asked_for_again_is_nothing_new)
{
	ask_for("s1", "env-a");
	ask_for("s1", "env-a");
	cr_expect_eq(engine.asked, 1);
	cr_expect_eq(log_uploads_count(uploads), 1);
}

Test(log_upload, what_makes_no_sense_is_no_session)
{
	_cleanup_json_ json_t *json = json_pack("{s:s}", "id", "s1");

	log_uploads_ask(uploads, json);
	cr_expect_eq(log_uploads_count(uploads), 0);
	cr_expect_eq(engine.asked, 0);
}

Test(log_upload, an_engine_that_does_not_answer_is_the_reason)
{
	engine.error = -ENOTCONN;
	ask_for("s1", "env-a");
	run_until(log_uploads_count(uploads) == 0);
	cr_expect_eq(n_pieces, 1);
	expect_end(0, 0, "engine_error");
	cr_expect(strstr(pieces[0].body, "Docker does not answer"));
}

/* At the limit, one over it, and where even refusing would be too much. */
Test(log_upload, there_are_no_more_than_the_limit)
{
	char id[LOG_SESSION_ID_MAX + 1];

	for (unsigned i = 0; i < 2 * LOG_UPLOADS_MAX + 5; i++) {
		(void)snprintf(id, sizeof(id), "s%u", i);
		ask_for(id, "env-a");
	}
	cr_expect_eq(engine.asked, LOG_UPLOADS_MAX);
	cr_expect_eq(log_uploads_count(uploads), 2 * LOG_UPLOADS_MAX);
	run_until(log_uploads_count(uploads) == LOG_UPLOADS_MAX);
	cr_expect_eq(n_pieces, LOG_UPLOADS_MAX);
	expect_end(0, 0, "too_many");
	ask_for("s0", "");
	ask_for("another", "env-a");
	cr_expect_eq(engine.asked, LOG_UPLOADS_MAX + 1);
}
