/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What becomes of connections: which of too many is closed, and what is a request on one.
 */
#include <criterion/criterion.h>
#include <errno.h>
#include <event2/buffer.h>
#include <event2/event.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "lib/clock.h"
#include "lib/http_server.h"
#include "lib/number.h"

/* More than a socket and its reader take at once. */
#define LARGE ((size_t)8 << 20)
#define CONNECTIONS 3u
#define BODY 100u
#define POST "POST /small HTTP/1.1\r\nHost: x\r\n"
#define PATIENCE_MS 20000

static struct event_base *base;
static struct http_server *server;
static struct http_request *pending;
static unsigned complaints;
static char path[64], large[LARGE];

static void on_large(struct http_request *request, void *userdata)
{
	struct evbuffer *body = evbuffer_new();

	cr_assert_eq(evbuffer_add_reference(body, large, sizeof(large), NULL, NULL), 0);
	http_reply_buffer(request, 200, "text/plain", body);
	evbuffer_free(body);
}

static void on_text(struct http_request *request, void *userdata)
{
	struct evbuffer *body = evbuffer_new();

	cr_assert_eq(evbuffer_add(body, "text", strlen("text")), 0);
	http_reply_buffer(request, 200, "text/plain", body);
	evbuffer_free(body);
}

static void on_small(struct http_request *request, void *userdata)
{
	http_reply_buffer(request, 204, NULL, NULL);
}

static void on_late(struct http_request *request, void *userdata)
{
	pending = request;
}

static void start(void)
{
	static const struct http_route routes[] = { { HTTP_GET, "/large", on_large },
						    { HTTP_GET, "/late", on_late },
						    { HTTP_GET, "/small", on_small },
						    { HTTP_GET, "/text", on_text },
						    { HTTP_POST, "/small", on_small } };
	const struct http_limits limits = { .connections = CONNECTIONS, .body_bytes = BODY };
	struct error err = ERROR_INIT;

	(void)signal(SIGPIPE, SIG_IGN); /* as the daemons do */
	memset(large, 'x', sizeof(large));
	base = event_base_new();
	(void)snprintf(path, sizeof(path), "/tmp/portico-connections-%d.sock", (int)getpid());
	cr_assert_eq(http_server_new(&server, base, &limits), 0);
	cr_assert_eq(http_server_routes(server, routes, ARRAY_SIZE(routes), NULL), 0);
	cr_assert_eq(http_server_listen_unix(server, path, 0600, &err), 0, "%s", err.message);
}

static void stop(void)
{
	http_server_free(server);
	event_base_free(base);
	(void)unlink(path);
}

TestSuite(http_connections, .init = start, .fini = stop, .timeout = 60);

static int dial(void)
{
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	struct sockaddr_un address = { .sun_family = AF_UNIX };

	(void)snprintf(address.sun_path, sizeof(address.sun_path), "%s", path);
	cr_assert_eq(connect(fd, (struct sockaddr *)&address, sizeof(address)), 0);
	return fd;
}

static void ask(int fd, const char *text)
{
	cr_assert_eq(send(fd, text, strlen(text), 0), (ssize_t)strlen(text));
}

static void turn_until(bool (*is_so)(uint64_t n), uint64_t n)
{
	uint64_t deadline = clock_monotonic_ms() + PATIENCE_MS;

	while (!is_so(n) && clock_monotonic_ms() < deadline)
		(void)event_base_loop(base, EVLOOP_NONBLOCK);
	cr_assert(is_so(n));
}

static bool has_taken(uint64_t n)
{
	struct http_server_stats stats;

	http_server_stats(server, &stats);
	return stats.requests == n;
}

static bool has_closed(uint64_t n)
{
	struct http_server_stats stats;

	http_server_stats(server, &stats);
	return stats.connections_refused == n;
}

/* Reads until so much is there, or the end; returns how much that is. */
static size_t read_some(int fd, char *data, size_t wanted)
{
	uint64_t deadline = clock_monotonic_ms() + PATIENCE_MS;
	size_t length = 0;

	while (length < wanted && clock_monotonic_ms() < deadline) {
		ssize_t n = recv(fd, data + length, wanted - length, 0);

		if (n == 0 || (n < 0 && errno != EAGAIN))
			break;
		length += n > 0 ? (size_t)n : 0;
		(void)event_base_loop(base, EVLOOP_NONBLOCK);
	}
	return length;
}

Test(http_connections, one_whose_answer_is_on_its_way_makes_no_room)
{
	static char answer[LARGE];
	int reader = dial(), others[2 * CONNECTIONS];

	ask(reader, "GET /large HTTP/1.1\r\nHost: x\r\n\r\n");
	turn_until(has_taken, 1);
	for (size_t i = 0; i < ARRAY_SIZE(others); i++)
		others[i] = dial();
	turn_until(has_closed, ARRAY_SIZE(others) + 1 - CONNECTIONS);
	cr_assert_eq(read_some(reader, answer, sizeof(answer)), sizeof(answer));
	for (size_t i = 0; i < ARRAY_SIZE(others); i++)
		close(others[i]);
	close(reader);
}

Test(http_connections, one_that_was_answered_makes_room)
{
	int answered = dial(), others[CONNECTIONS];
	char answer[4096];

	ask(answered, "GET /small HTTP/1.1\r\nHost: x\r\n\r\n");
	turn_until(has_taken, 1);
	for (size_t i = 0; i < ARRAY_SIZE(others); i++)
		others[i] = dial();
	turn_until(has_closed, 1);
	cr_assert_lt(read_some(answered, answer, sizeof(answer)), sizeof(answer), "it has ended");
	for (size_t i = 0; i < ARRAY_SIZE(others); i++)
		close(others[i]);
	close(answered);
}

static bool has_pending(uint64_t n)
{
	return pending;
}

static void complain(int severity, const char *message)
{
	complaints++;
}

/* libevent says so where a socket is closed that it still watches, and by then its number may be
 * another's. */
Test(http_connections, one_that_ends_with_its_answer_is_closed_in_order)
{
	int client = dial();
	char answer[4096] = "";

	event_set_log_callback(complain);
	ask(client, "GET /late HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
	turn_until(has_pending, 1);
	http_reply_buffer(pending, 204, NULL, NULL);
	cr_assert_lt(read_some(client, answer, sizeof(answer) - 1), sizeof(answer) - 1);
	cr_expect_eq(strncmp(answer, "HTTP/1.1 204 ", strlen("HTTP/1.1 204 ")), 0, "%s", answer);
	cr_expect_eq(complaints, 0u);
	event_set_log_callback(NULL);
	close(client);
}

/* evhttp reads no body there: it would be the next request, that somebody between us and the client
 * has not seen. */
Test(http_connections, the_body_of_a_trace_is_no_request)
{
	int client = dial();
	char answer[4096] = "";

	ask(client, "TRACE /small HTTP/1.1\r\nHost: x\r\nContent-Length: 37\r\n\r\n"
		    "GET /small HTTP/1.1\r\nHost: hidden\r\n\r\n");
	(void)read_some(client, answer, sizeof(answer) - 1);
	cr_assert(strstr(answer, "HTTP/1.1 405 "), "%s", answer);
	cr_assert(!strstr(answer, "HTTP/1.1 204 "), "%s", answer);
	cr_assert(has_taken(1));
	close(client);
}

/* Of whose body somebody between us and the client may see another end. */
Test(http_connections, what_follows_a_body_of_doubtful_length_is_no_request)
{
#define CHUNKS "\r\n5\r\nhello\r\n0\r\n\r\n"
	static const char *const requests[] = {
		POST "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n" CHUNKS,
		POST "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n" CHUNKS,
		POST "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n" CHUNKS,
		POST "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n" CHUNKS,
		POST "Content-Length: +5\r\n\r\nhello",
		POST "Content-Length: \v5\r\n\r\nhello",
		POST "Host: y\r\nTransfer-Encoding: chunked\r\n\r\n"
		     "70\r\n0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
		     "0123456789abcdef0123456789abcdef0123456789abcdef\r\n0\r\n\r\n",
	};

	for (size_t i = 0; i < ARRAY_SIZE(requests); i++) {
		int client = dial();
		char answer[4096] = "";

		ask(client, requests[i]);
		ask(client, "GET /small HTTP/1.1\r\nHost: hidden\r\nConnection: close\r\n\r\n");
		(void)read_some(client, answer, sizeof(answer) - 1);
		cr_expect_eq(strncmp(answer, "HTTP/1.1 400 ", strlen("HTTP/1.1 400 ")), 0, "%s: %s",
			     requests[i], answer);
		cr_expect(!strstr(answer, "HTTP/1.1 204 "), "%s: %s", requests[i], answer);
		close(client);
	}
#undef CHUNKS
}

/* The answer to all that is sent, up to the end of the connection. */
static const char *refusal(int client)
{
	static char answer[4096];
	size_t length = read_some(client, answer, sizeof(answer) - 1);

	answer[length] = '\0';
	close(client);
	cr_assert(has_closed(0));
	return answer;
}

static bool is_refusal(const char *answer)
{
	return strncmp(answer, "HTTP/1.1 413 ", strlen("HTTP/1.1 413 ")) == 0 &&
	       strstr(answer, "\"code\":\"too_large\"") &&
	       strstr(answer, "the body of 101 bytes is larger than 100 bytes");
}

Test(http_connections, a_body_that_will_be_too_long_is_refused_before_it_comes)
{
	int client = dial();
	const char *answer;

	ask(client, POST "Content-Length: 101\r\n\r\n");
	answer = refusal(client);
	cr_expect(is_refusal(answer), "%s", answer);
	cr_expect(has_taken(0));
}

Test(http_connections, a_body_that_will_be_too_long_is_not_asked_for)
{
	int client = dial();
	const char *answer;

	ask(client, POST "Expect: 100-continue\r\nContent-Length: 101\r\n\r\n");
	answer = refusal(client);
	cr_expect(is_refusal(answer), "%s", answer);
	cr_expect(has_taken(0));
}

Test(http_connections, a_header_that_comes_by_the_byte_is_understood)
{
	static const char request[] = POST "Content-Length: 101\r\n\r\n";
	int client = dial();
	const char *answer;

	for (const char *c = request; *c; c++) {
		ask(client, (const char[]){ *c, '\0' });
		(void)event_base_loop(base, EVLOOP_NONBLOCK);
	}
	answer = refusal(client);
	cr_expect(is_refusal(answer), "%s", answer);
}

/* The start of the next answer. */
static void expect_answer(int client, const char *start)
{
	char answer[256] = "";
	size_t length = strlen(start);

	cr_assert_eq(read_some(client, answer, length), length, "%s", answer);
	cr_expect_str_eq(answer, start);
	/* up to its end */
	while (!strstr(answer, "\r\n\r\n") && length < sizeof(answer) - 1)
		length += read_some(client, answer + length, 1);
}

Test(http_connections, a_body_that_may_come_is_asked_for)
{
	int client = dial();

	ask(client, POST "Expect: 100-continue\r\nContent-Length: 100\r\n\r\n");
	expect_answer(client, "HTTP/1.1 100 ");
	for (size_t i = 0; i < BODY; i++)
		ask(client, "x");
	expect_answer(client, "HTTP/1.1 204 ");
	close(client);
}

Test(http_connections, what_was_sent_ahead_is_looked_at_in_its_turn)
{
	int client = dial();
	const char *answer;

	ask(client, "GET /small HTTP/1.1\r\nHost: x\r\n\r\n" POST "Content-Length: 101\r\n\r\n");
	expect_answer(client, "HTTP/1.1 204 ");
	answer = refusal(client);
	cr_expect(is_refusal(answer), "%s", answer);
	cr_expect(has_taken(1));
}

/* Also where its header came together with the request before it. */
Test(http_connections, a_body_that_looks_like_a_header_is_a_body)
{
	static const char body[] = "Content-Length: 101\r\n\r\n";
	int client = dial();
	char header[128];

	(void)snprintf(header, sizeof(header), POST "Content-Length: %zu\r\n\r\n", strlen(body));
	ask(client, "GET /small HTTP/1.1\r\nHost: x\r\n\r\n");
	ask(client, header);
	expect_answer(client, "HTTP/1.1 204 ");
	turn_until(has_taken, 1);
	ask(client, body);
	expect_answer(client, "HTTP/1.1 204 ");
	ask(client, header);
	ask(client, body);
	expect_answer(client, "HTTP/1.1 204 ");
	close(client);
}

#define NEXT "GET /text HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
#define HEADER " HTTP/1.1\r\nHost: x\r\n"
#define CHUNKED "Transfer-Encoding: chunked\r\n\r\n4\r\nbody\r\n0\r\n\r\n"

struct odd {
	const char *name, *request; /* that is followed by NEXT */
	const char *answers; /* status of each answer, "." in front of one that has NEXT's body */
};

/* Legal, or nearly so: each is answered once, and the next request for itself or not at all. */
static const struct odd odds[] = {
	{ "chunks", POST CHUNKED, "204 .200" },
	{ "a chunk each byte",
	  POST "Transfer-Encoding: chunked\r\n\r\n1\r\na\r\n1\r\nb\r\n0\r\n\r\n", "204 .200" },
	{ "a trailer", POST "Transfer-Encoding: Chunked\r\n\r\n1\r\na\r\n0\r\nX: y\r\n\r\n",
	  "204 .200" },
	{ "GET with a body", "GET /small" HEADER "Content-Length: 2\r\n\r\n{}", "204 .200" },
	{ "GET with chunks", "GET /small" HEADER CHUNKED, "204 .200" },
	{ "a body that nobody waits for", "POST /nothing" HEADER "Content-Length: 2\r\n\r\n{}",
	  "404 .200" },
	{ "100-continue", POST "Expect: 100-continue\r\nContent-Length: 2\r\n\r\n{}", "204 .200" },
	{ "another expectation", POST "Expect: more\r\nContent-Length: 2\r\n\r\n{}", "417" },
	{ "two ahead", "GET /small" HEADER "\r\nGET /nothing" HEADER "\r\n", "204 404 .200" },
	{ "the last of several", "GET /small" HEADER "Connection: close\r\n\r\n", "204" },
	{ "HEAD", "HEAD /text" HEADER "\r\n", "200 .200" },
	{ "HEAD of nothing", "HEAD /nothing" HEADER "\r\n", "404 .200" },
	{ "HEAD with a body", "HEAD /text" HEADER "Content-Length: 2\r\n\r\n{}", "200" },
	{ "HEAD with chunks", "HEAD /text" HEADER CHUNKED, "200" },
	{ "OPTIONS", "OPTIONS *" HEADER "\r\n", "404" },
	{ "OPTIONS with a body", "OPTIONS /small" HEADER "Content-Length: 2\r\n\r\n{}", "405" },
	{ "a whole URI", "GET http://x/text" HEADER "\r\n", ".200" },
	{ "a slash behind", "GET /text/" HEADER "\r\n", "404 .200" },
	{ "two slashes", "GET /a//text" HEADER "\r\n", "404 .200" },
	{ "an encoded path", "GET /%74ext" HEADER "\r\n", "404 .200" },
	{ "a fragment", "GET /small#text" HEADER "\r\n", "204 .200" },
	{ "a question and nothing", "GET /small?" HEADER "\r\n", "204 .200" },
	{ "two hosts", "GET /small" HEADER "Host: y\r\n\r\n", "400" },
	{ "two lengths", POST "Content-Length: 2\r\nContent-Length: 2\r\n\r\n{}", "400" },
	{ "a list of lengths", POST "Content-Length: 2, 2\r\n\r\n{}", "400" },
	{ "a blank behind a name", POST "Content-Length : 2\r\n\r\n{}", "400" },
	{ "chunks and a length", POST "Content-Length: 2\r\n" CHUNKED, "400" },
	{ "an encoding of another kind", POST "Transfer-Encoding: gzip\r\n\r\n{}", "400" },
	{ "two encodings", POST "Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", "400" },
};

/* Bytes of the body that follows this header. */
static size_t body_of(const char *header, const char *end)
{
	const char *length = strstr(header, "Content-Length: "), *rest;
	uint64_t n = 0;

	if (length && length < end)
		cr_assert_eq(number_parse(length + strlen("Content-Length: "), &n, &rest), 0);
	return MIN(n, strlen(end));
}

/* The statuses of the answers in a row; whatever else there is between them shows as '?'. */
static void read_answers(const char *text, bool to_head, char *ret, size_t size)
{
	size_t used = 0;

	for (; *text; to_head = false) {
		const char *end = strstr(text, "\r\n\r\n");

		if (strncmp(text, "HTTP/1.1 ", 9) != 0 || !end) {
			(void)snprintf(ret + used, size - used, "?");
			return;
		}
		end += strlen("\r\n\r\n");
		used += (size_t)snprintf(ret + used, size - used, "%s%s%.3s", used ? " " : "",
					 strncmp(end, "text", 4) == 0 ? "." : "", text + 9);
		text = end + (to_head ? 0 : body_of(text, end));
	}
}

Test(http_connections, what_is_odd_is_answered_once_and_the_next_for_itself)
{
	for (size_t i = 0; i < ARRAY_SIZE(odds); i++) {
		int client = dial();
		char text[4096], answers[64] = "";
		size_t length;

		ask(client, odds[i].request);
		ask(client, NEXT);
		length = read_some(client, text, sizeof(text) - 1);
		text[length] = '\0';
		read_answers(text, strncmp(odds[i].request, "HEAD ", 5) == 0, answers,
			     sizeof(answers));
		cr_expect_str_eq(answers, odds[i].answers, "%s: %s\n%s", odds[i].name, answers,
				 text);
		close(client);
	}
}
