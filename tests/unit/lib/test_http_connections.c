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
