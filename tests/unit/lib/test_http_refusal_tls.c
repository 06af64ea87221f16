/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A refusal over TLS, where libevent keeps its buffers otherwise than on a bare socket: it is said
 * once, and then the server's side ends.
 */
#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <event2/event.h>
#include <fcntl.h>
#include <openssl/ssl.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>

#include "lib/clock.h"
#include "lib/http_server.h"
#include "tests/unit/lib/tls.h"

#define PATIENCE_MS 20000
#define POST "POST /small HTTP/1.1\r\nHost: x\r\n"

static struct event_base *base;

static void on_small(struct http_request *request, void *userdata)
{
	http_reply_buffer(request, 204, NULL, NULL);
}

static int dial(uint16_t port)
{
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	const struct sockaddr_in address = { .sin_family = AF_INET,
					     .sin_port = htons(port),
					     .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };

	cr_assert_eq(connect(fd, (const struct sockaddr *)&address, sizeof(address)), 0);
	cr_assert_eq(fcntl(fd, F_SETFL, O_NONBLOCK), 0);
	return fd;
}

/* Lets the server turn. False: it is no matter of waiting. */
static bool wait_for(const SSL *client, int r, uint64_t deadline)
{
	int error = SSL_get_error(client, r);

	(void)event_base_loop(base, EVLOOP_NONBLOCK);
	cr_assert_lt(clock_monotonic_ms(), deadline);
	return error == SSL_ERROR_WANT_READ || error == SSL_ERROR_WANT_WRITE;
}

/* All that comes for the request, up to the end. */
static void read_to_end(SSL *client, const char *request, char *answer, size_t size)
{
	uint64_t deadline = clock_monotonic_ms() + PATIENCE_MS;
	size_t length = 0;
	int r;

	while ((r = SSL_connect(client)) <= 0)
		cr_assert(wait_for(client, r, deadline));
	cr_assert_eq(SSL_write(client, request, (int)strlen(request)), (int)strlen(request));
	while (length < size - 1) {
		r = SSL_read(client, answer + length, (int)(size - 1 - length));
		if (r > 0)
			length += (size_t)r;
		else if (!wait_for(client, r, deadline))
			break;
	}
	answer[length] = '\0';
}

static void expect_one_refusal(const char *request, const char *status)
{
	static const struct http_route routes[] = { { HTTP_POST, "/small", on_small } };
	const struct http_limits limits = { .body_bytes = 100, .request_ms = 500 };
	_cleanup_(cleanup_http_tls) struct http_tls *tls = local_tls();
	SSL_CTX *context = SSL_CTX_new(TLS_client_method());
	SSL *client = SSL_new(context);
	struct http_server *server;
	struct error err = ERROR_INIT;
	char answer[4096] = "";
	const char *body;
	uint16_t port;
	int fd;

	(void)signal(SIGPIPE, SIG_IGN); /* as the daemons do */
	base = event_base_new();
	cr_assert_eq(http_server_new(&server, base, &limits), 0);
	cr_assert_eq(http_server_routes(server, routes, ARRAY_SIZE(routes), NULL), 0);
	cr_assert_eq(http_server_listen_tls(server, tls, "127.0.0.1", 0, &port, &err), 0);
	fd = dial(port);
	cr_assert_eq(SSL_set_fd(client, fd), 1);
	read_to_end(client, request, answer, sizeof(answer));
	cr_expect_eq(strncmp(answer, status, strlen(status)), 0, "%s", answer);
	body = strstr(answer, "\r\n\r\n");
	cr_assert_not_null(body, "%s", answer);
	cr_expect_null(strstr(body, "HTTP/1.1 "), "%s", answer);
	SSL_free(client);
	SSL_CTX_free(context);
	close(fd);
	http_server_free(server);
	event_base_free(base);
}

TestSuite(http_refusal_tls, .timeout = 60);

Test(http_refusal_tls, of_a_body_that_will_be_too_long)
{
	expect_one_refusal(POST "Content-Length: 101\r\n\r\n", "HTTP/1.1 413 ");
}

Test(http_refusal_tls, of_a_body_that_is_not_asked_for)
{
	expect_one_refusal(POST "Expect: 100-continue\r\nContent-Length: 101\r\n\r\n",
			   "HTTP/1.1 413 ");
}

Test(http_refusal_tls, of_a_request_that_takes_too_long)
{
	expect_one_refusal(POST "Content-Length: 100\r\n\r\n", "HTTP/1.1 408 ");
}
