/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Logs on their way through schedd, with both ends played over real connections: what the reader
 * gets and what the host is answered, whichever of them is slow, silent, gone or wrong. */
#include <criterion/criterion.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "lib/clock.h"
#include "lib/http_client.h"
#include "lib/number.h"
#include "schedd/log_sessions.h"

#define HOST "h1"
#define LINE "{\"type\":\"text\",\"stream\":\"stdout\",\"text\":\"a\\n\"}\n"
#define DEADLINE_MS 10000
#define PATIENCE_MS 60000 /* with a host */
#define IMPATIENCE_MS 300
#define MUCH ((size_t)15 << 20) /* more than the sockets' buffers */

/* An answer to either end. */
struct answer {
	uint64_t call;
	bool done, full;
	int status;
	char code[64], limit[32];
	char text[512]; /* the beginning of what a reader got */
	size_t length;
};

static struct event_base *base;
static struct http_server *server;
static struct http_client *client;
static struct metrics *metrics;
static struct log_sessions *sessions;
static uint16_t port;
static unsigned pieces; /* that have arrived */

/* What the host was told last, and how often. */
static struct told {
	unsigned n;
	struct log_session session;
} told;

static struct {
	const char *token;
	struct caller caller;
} callers[] = {
	{ "", { .role = ROLE_ADMIN, .access = ACCESS_ALL } },
	{ "one", { .role = ROLE_ADMIN, .access = ACCESS_ALL, .token = "tok-one" } },
	{ "two", { .role = ROLE_ADMIN, .access = ACCESS_ALL, .token = "tok-two" } },
	{ "brief", { .role = ROLE_ADMIN, .access = ACCESS_ALL, .token = "tok-brief" } },
};

/* ---- the server ---- */

static bool guard(struct http_request *request, const struct http_route *route, void *userdata)
{
	const char *token = http_request_header(request, "X-Token");

	for (size_t i = 0; token && i < ARRAY_SIZE(callers); i++)
		if (strcmp(callers[i].token, token) == 0)
			http_request_attach(request, &callers[i].caller, NULL);
	return true;
}

static void open_log(struct http_request *request, void *userdata)
{
	struct log_session wanted = { .environment = "env-a", .follow = true, .tail = 7 };
	const char *limit = log_sessions_limit(sessions, access_caller(request));

	if (limit)
		http_reply_json(request, 429, json_pack("{s:{s:s}}", "details", "limit", limit));
	else
		log_sessions_open(sessions, request, HOST, &wanted);
}

static void take_piece(struct http_request *request, void *userdata)
{
	uint64_t sequence;

	pieces++;
	cr_assert_eq(number_parse(http_request_query(request, "sequence"), &sequence, NULL), 0);
	log_sessions_piece(sessions, request, http_request_query(request, "host"),
			   http_request_query(request, "id"), sequence,
			   http_request_query(request, "last") != NULL);
}

static void tell(void *userdata, const char *host, json_t *session)
{
	struct error err = ERROR_INIT;

	cr_assert_str_eq(host, HOST);
	told.n++;
	cr_assert_eq(log_session_decode(session, &told.session, &err), 0, "%s", err.message);
}

static void make_sessions(uint32_t timeout_ms)
{
	const struct log_sessions_config config = {
		.all = 3, .per_token = 2, .timeout_ms = timeout_ms, .tell = tell
	};

	cr_assert_eq(metrics_new(&metrics), 0);
	cr_assert_eq(log_sessions_new(&sessions, base, metrics, &config), 0);
}

static void become_impatient(void)
{
	log_sessions_free(sessions);
	metrics_free(metrics);
	make_sessions(IMPATIENCE_MS);
}

static void begin(void)
{
	static const struct http_route routes[] = { { HTTP_GET, "/log", open_log },
						    { HTTP_POST, "/piece", take_piece } };
	static const struct http_limits limits = { .body_bytes = 2 * MUCH,
						   .stream_bytes = 2 * MUCH };
	struct error err = ERROR_INIT;

	base = event_base_new();
	cr_assert_eq(http_server_new(&server, base, &limits), 0);
	cr_assert_eq(http_server_routes(server, routes, ARRAY_SIZE(routes), NULL), 0);
	http_server_set_guard(server, guard, NULL);
	cr_assert_eq(http_server_listen_tcp(server, "127.0.0.1", 0, &port, &err), 0);
	cr_assert_eq(http_client_new(&client, base), 0);
	make_sessions(PATIENCE_MS);
	told = (struct told){ 0 };
}

static void end(void)
{
	log_sessions_free(sessions);
	http_client_free(client);
	http_server_free(server);
	metrics_free(metrics);
	event_base_free(base);
}

TestSuite(log_sessions, .init = begin, .fini = end);

#define run_until(condition)                                                                       \
	do {                                                                                       \
		uint64_t _from = clock_monotonic_ms();                                             \
		while (!(condition)) {                                                             \
			cr_assert_lt(clock_monotonic_ms() - _from, DEADLINE_MS, "%s", #condition); \
			(void)event_base_loop(base, EVLOOP_ONCE);                                  \
		}                                                                                  \
	} while (0)

/* What is on its way arrives: another call comes and goes. */
static void settle(void);

/* ---- the two ends ---- */

static int on_data(const char *data, size_t length, void *userdata)
{
	struct answer *answer = userdata;
	size_t room = sizeof(answer->text) - 1;

	for (size_t i = 0; i < length; i++)
		if (answer->length + i < room)
			answer->text[answer->length + i] = data[i];
	answer->length += length;
	return 0;
}

static void on_done(const struct http_response *response, void *userdata)
{
	struct answer *answer = userdata;
	_cleanup_json_ json_t *json = json_loads(response->body, 0, NULL);
	const char *code = json_string_value(json_object_get(json, "code"));
	const char *limit =
		json_string_value(json_object_get(json_object_get(json, "details"), "limit"));

	answer->done = true;
	answer->status = response->status;
	answer->full = json_is_true(json_object_get(json, "full"));
	(void)snprintf(answer->code, sizeof(answer->code), "%s", code ? code : "");
	(void)snprintf(answer->limit, sizeof(answer->limit), "%s", limit ? limit : "");
}

static void read_as(const char *token, struct answer *ret)
{
	char url[64], header[32];
	const char *const headers[] = { header, NULL };

	(void)snprintf(url, sizeof(url), "http://127.0.0.1:%u/log", port);
	(void)snprintf(header, sizeof(header), "X-Token: %s", token);
	*ret = (struct answer){ 0 };
	cr_assert_eq(http_client_call(client,
				      &(struct http_call){ .url = url,
							   .headers = headers,
							   .on_data = on_data,
							   .on_done = on_done,
							   .userdata = ret },
				      &ret->call),
		     0);
}

/* A reader whose host has been told. */
static void open_as(const char *token, struct answer *ret)
{
	unsigned n = told.n;

	read_as(token, ret);
	run_until(told.n > n);
}

static void post_as(const char *host, const char *id, unsigned sequence, bool last,
		    const char *body, size_t length, struct answer *ret)
{
	char url[160];

	(void)snprintf(url, sizeof(url), "http://127.0.0.1:%u/piece?host=%s&id=%s&sequence=%u%s",
		       port, host, id, sequence, last ? "&last=1" : "");
	*ret = (struct answer){ 0 };
	cr_assert_eq(http_client_call(client,
				      &(struct http_call){ .method = "POST",
							   .url = url,
							   .body = body,
							   .body_length = length,
							   .on_done = on_done,
							   .userdata = ret },
				      &ret->call),
		     0);
}

/* A piece of the session that was told last, and its answer. */
static struct answer post(unsigned sequence, const char *body)
{
	struct answer answer;

	post_as(HOST, told.session.id, sequence, false, body, strlen(body), &answer);
	run_until(answer.done);
	return answer;
}

static struct answer post_end(unsigned sequence, const char *code)
{
	struct answer answer;
	char body[96];

	(void)snprintf(body, sizeof(body), "{\"code\":\"%s\",\"message\":\"why\"}", code);
	post_as(HOST, told.session.id, sequence, true, body, strlen(body), &answer);
	run_until(answer.done);
	return answer;
}

static void settle(void)
{
	struct answer answer;

	post_as(HOST, "nobody", 0, false, "", 0, &answer);
	run_until(answer.done);
	cr_assert_eq(answer.status, 410);
}

/* The last line that a reader got. */
static void expect_last(const struct answer *reader, const char *code)
{
	char last[96];

	(void)snprintf(last, sizeof(last), "{\"type\":\"end\",\"code\":\"%s\"", code);
	cr_expect(strstr(reader->text, last), "%s: \"%s\"", code, reader->text);
}

/* ---- the way of a log ---- */

Test(log_sessions, what_the_host_posts_is_what_the_reader_gets)
{
	struct answer reader, piece;
	json_t *wanted;

	open_as("one", &reader);
	cr_expect_str_eq(told.session.environment, "env-a");
	cr_expect_eq(told.session.tail, 7);
	cr_expect(told.session.follow);
	wanted = log_sessions_wanted(sessions, HOST);
	cr_expect_eq(json_array_size(wanted), 1);
	json_decref(wanted);
	cr_expect_null(log_sessions_wanted(sessions, "h2"));
	settle();
	cr_expect_not(reader.done); /* no answer before the host has begun */
	piece = post(0, LINE);
	cr_expect_eq(piece.status, 200);
	cr_expect_not(piece.full);
	cr_expect_null(log_sessions_wanted(sessions, HOST));
	run_until(reader.length == strlen(LINE));
	cr_expect_eq(post(1, LINE LINE).status, 200);
	cr_expect_eq(post_end(2, "complete").status, 200);
	run_until(reader.done);
	cr_expect_eq(reader.status, 200);
	cr_expect_eq(strncmp(reader.text, LINE LINE LINE, 3 * strlen(LINE)), 0);
	expect_last(&reader, "complete");
	cr_expect_eq(told.n, 1); /* the host has ended it, and knows */
	cr_expect_eq(post(3, LINE).status, 410);
}

Test(log_sessions, a_piece_that_is_said_twice_is_taken_once)
{
	struct answer reader;

	open_as("one", &reader);
	cr_expect_eq(post(0, LINE).status, 200);
	cr_expect_eq(post(0, LINE).status, 200);
	cr_expect_eq(post(1, LINE).status, 200);
	cr_expect_eq(post_end(2, "complete").status, 200);
	run_until(reader.done);
	cr_expect_eq(strncmp(reader.text, LINE LINE "{\"type\":\"end\"", 2 * strlen(LINE) + 13), 0,
		     "%s", reader.text);
}

Test(log_sessions, a_piece_that_is_missing_is_told)
{
	struct answer reader, piece;

	open_as("one", &reader);
	cr_expect_eq(post(0, LINE).status, 200);
	piece = post(2, LINE);
	cr_expect_geq(piece.status, 400);
	cr_expect_str_eq(piece.code, "out_of_order");
	run_until(reader.done);
	expect_last(&reader, "host_failed");
	cr_expect_eq(post(1, LINE).status, 410);
}

Test(log_sessions, half_a_line_is_refused_and_the_piece_can_be_said_again)
{
	struct answer reader, piece;

	open_as("one", &reader);
	piece = post(0, "{\"type\":");
	cr_expect_eq(piece.status, 400);
	cr_expect_str_eq(piece.code, "malformed");
	cr_expect_eq(post(0, LINE).status, 200);
	run_until(reader.length == strlen(LINE));
}

Test(log_sessions, a_session_is_one_hosts_alone)
{
	struct answer reader, piece;

	open_as("one", &reader);
	post_as("h2", told.session.id, 0, false, LINE, strlen(LINE), &piece);
	run_until(piece.done);
	cr_expect_eq(piece.status, 410);
	settle();
	cr_expect_eq(reader.length, 0);
}

/* ---- ends ---- */

static void expect_refusal(const char *code, int status)
{
	struct answer reader;

	open_as("one", &reader);
	cr_expect_eq(post_end(0, code).status, 200);
	run_until(reader.done);
	cr_expect_eq(reader.status, status, "%s: %d", code, reader.status);
	cr_expect_str_eq(reader.code, code);
}

Test(log_sessions, what_the_host_cannot_begin_is_an_answer_and_no_stream)
{
	expect_refusal("no_container", 409);
	expect_refusal("engine_error", 503);
	expect_refusal("too_many", 503);
}

Test(log_sessions, a_host_that_never_begins_is_given_up_and_told)
{
	struct answer reader;

	become_impatient();
	open_as("one", &reader);
	run_until(reader.done);
	cr_expect_eq(reader.status, 503);
	cr_expect_str_eq(reader.code, "host_silent");
	cr_expect_eq(told.n, 2);
	cr_expect_str_eq(told.session.environment, "");
	cr_expect_eq(post(0, LINE).status, 410);
}

Test(log_sessions, a_host_that_falls_silent_ends_the_stream)
{
	struct answer reader;

	become_impatient();
	open_as("one", &reader);
	cr_expect_eq(post(0, LINE).status, 200);
	run_until(reader.done);
	expect_last(&reader, "host_silent");
	cr_expect_str_eq(told.session.environment, "");
}

Test(log_sessions, a_reader_that_hangs_up_frees_the_host_before_it_begins_and_after)
{
	struct answer reader;

	open_as("one", &reader);
	http_client_cancel(client, reader.call);
	run_until(told.n == 2);
	cr_expect_str_eq(told.session.environment, "");
	cr_expect_eq(post(0, LINE).status, 410);
	open_as("one", &reader);
	cr_expect_eq(post(0, LINE).status, 200);
	run_until(reader.length > 0);
	http_client_cancel(client, reader.call);
	run_until(told.n == 4);
	cr_expect_eq(post(1, LINE).status, 410);
}

Test(log_sessions, a_revoked_token_ends_its_own_sessions_only)
{
	struct answer early, streaming, other;
	struct log_session first;

	open_as("one", &streaming);
	cr_expect_eq(post(0, LINE).status, 200);
	open_as("one", &early);
	open_as("two", &other);
	first = told.session;
	log_sessions_revoke(sessions, "tok-one");
	run_until(early.done && streaming.done);
	cr_expect_eq(early.status, 401);
	cr_expect_str_eq(early.code, "unauthenticated");
	expect_last(&streaming, "unauthenticated");
	told.session = first;
	cr_expect_eq(post(0, LINE).status, 200);
	run_until(other.length > 0);
	cr_expect_not(other.done);
}

Test(log_sessions, a_token_that_expires_ends_its_session)
{
	struct answer reader;

	callers[3].caller.expires_at = clock_unix_seconds() - 1;
	open_as("brief", &reader);
	run_until(reader.done);
	cr_expect_eq(reader.status, 401);
	cr_expect_str_eq(reader.code, "unauthenticated");
	cr_expect_str_eq(told.session.environment, "");
}

Test(log_sessions, who_leads_no_more_ends_them_all)
{
	struct answer early, streaming;

	open_as("one", &streaming);
	cr_expect_eq(post(0, LINE).status, 200);
	open_as("two", &early);
	log_sessions_reset(sessions);
	run_until(early.done && streaming.done);
	cr_expect_eq(early.status, 503);
	cr_expect_str_eq(early.code, "unavailable");
	expect_last(&streaming, "unavailable");
	cr_expect_null(log_sessions_wanted(sessions, HOST));
}

/* ---- limits ---- */

static void expect_over(const char *token, const char *limit)
{
	struct answer reader;

	read_as(token, &reader);
	run_until(reader.done);
	cr_expect_eq(reader.status, 429);
	cr_expect_str_eq(reader.limit, limit);
}

Test(log_sessions, no_more_at_once_than_for_one_token_and_in_all)
{
	struct answer one, two, three, another;

	open_as("one", &one);
	open_as("one", &two);
	expect_over("one", "token-logs");
	open_as("two", &three);
	expect_over("two", "max-logs");
	expect_over("", "max-logs"); /* also who needs no token */
	cr_expect_eq(told.n, 3);
	cr_expect_eq(post_end(0, "no_container").status, 200);
	run_until(three.done);
	open_as("two", &another);
	cr_expect_eq(told.n, 4);
}

Test(log_sessions, who_needs_no_token_is_held_by_the_limit_of_all_only)
{
	struct answer one, two, three;

	open_as("", &one);
	open_as("", &two);
	open_as("", &three);
	cr_expect_eq(told.n, 3);
	expect_over("", "max-logs");
}

/* ---- a slow reader ---- */

Test(log_sessions, a_piece_is_answered_when_the_reader_has_taken_it)
{
	char *much = malloc(MUCH);
	struct answer reader, piece, second;

	cr_assert(much);
	memset(much, 'a', MUCH);
	much[MUCH - 1] = '\n';
	open_as("one", &reader);
	cr_expect_eq(post(0, LINE).status, 200);
	run_until(reader.length > 0);
	http_client_pause(client, reader.call, true);
	post_as(HOST, told.session.id, 1, false, much, MUCH, &piece);
	run_until(pieces == 2);
	settle();
	cr_expect_not(piece.done);
	/* A second one means that the host waits no more for an answer to the first. */
	post_as(HOST, told.session.id, 2, false, "", 0, &second);
	run_until(piece.done);
	cr_expect_eq(piece.status, 200);
	cr_expect(piece.full);
	cr_expect_not(second.done);
	http_client_pause(client, reader.call, false);
	run_until(second.done);
	cr_expect_eq(second.status, 200);
	cr_expect_not(second.full);
	run_until(reader.length == strlen(LINE) + MUCH);
	free(much);
}
