/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A stream from server to client at the reader's pace: the server is told when its output has gone,
 * the client holds back and goes on, and all arrives, in order, with little in between. */
#include <criterion/criterion.h>
#include <errno.h>
#include <event2/event_struct.h>
#include <stdio.h>
#include <string.h>

#include "lib/http_client.h"
#include "lib/http_server.h"
#include "lib/loop.h"
#include "tests/unit/lib/tls.h"

#define PIECE ((size_t)100000)
#define PIECES 60
#define DEADLINE_S 20
#define RESUME_MS 1
#define STEP 8000

static struct event_base *base;
static struct http_server *server;
static struct http_client *client;
static struct event resume;
static uint64_t id;
static unsigned sent, drained, pauses;
static size_t received, most_unsent;
static bool done, paused, while_paused;
static int error;

static void send_piece(struct http_stream *stream)
{
	char *piece = malloc(PIECE);

	cr_assert_not_null(piece);
	memset(piece, 'a' + (int)(sent % 26), PIECE);
	sent++;
	cr_assert_eq(http_stream_send(stream, piece, PIECE), 0);
	most_unsent = MAX(most_unsent, http_stream_unsent(stream));
	free(piece);
}

static void on_drained(struct http_stream *stream, void *userdata)
{
	drained++;
	cr_assert_eq(http_stream_unsent(stream), 0);
	if (sent == PIECES)
		http_stream_end(stream);
	else
		send_piece(stream);
}

static void on_request(struct http_request *request, void *userdata)
{
	struct http_stream *stream;

	cr_assert_eq(http_stream_start(request, "text/plain", NULL, NULL, &stream), 0);
	http_stream_on_drained(stream, on_drained);
	send_piece(stream);
}

static int on_data(const char *data, size_t length, void *userdata)
{
	while_paused = while_paused || paused;
	for (size_t i = 0; i < length; i++)
		cr_assert_eq(data[i], 'a' + (int)((received + i) / PIECE % 26));
	received += length;
	/* after each piece or so, and the last bytes of all are held back as well */
	if (received / STEP > pauses) {
		pauses = (unsigned)(received / STEP);
		paused = true;
		http_client_pause(client, id, true);
		(void)loop_timer_arm(&resume, RESUME_MS);
	}
	return 0;
}

static void go_on(evutil_socket_t fd, short what, void *userdata)
{
	paused = false;
	http_client_pause(client, id, false);
}

static void on_done(const struct http_response *response, void *userdata)
{
	done = true;
	error = response->error;
	(void)event_base_loopbreak(base);
}

static void read_all(uint16_t port, const char *scheme)
{
	static const struct timeval deadline = { .tv_sec = DEADLINE_S };
	char url[64];

	(void)snprintf(url, sizeof(url), "%s://127.0.0.1:%u/log", scheme, port);
	cr_assert_eq(http_client_call(client,
				      &(struct http_call){ .url = url,
							   .idle_timeout_ms = 5000,
							   .on_data = on_data,
							   .on_done = on_done },
				      &id),
		     0);
	(void)event_base_loopexit(base, &deadline);
	while (!done && event_base_loop(base, 0) == 0 && !event_base_got_exit(base))
		;
	cr_assert(done);
	cr_assert_eq(error, 0);
	cr_assert_eq(received, PIECE * PIECES);
	cr_assert_eq(drained, PIECES);
	cr_assert_gt(pauses, 50);
	cr_assert_not(while_paused);
	cr_assert_lt(most_unsent, PIECE + 1024);
}

static void start(void)
{
	static const struct http_route routes[] = { { HTTP_GET, "/log", on_request } };

	base = event_base_new();
	cr_assert_eq(http_server_new(&server, base, NULL), 0);
	cr_assert_eq(http_server_routes(server, routes, ARRAY_SIZE(routes), NULL), 0);
	cr_assert_eq(http_client_new(&client, base), 0);
	(void)evtimer_assign(&resume, base, go_on, NULL);
}

static void stop(void)
{
	(void)event_del(&resume);
	http_client_free(client);
	http_server_free(server);
	event_base_free(base);
}

TestSuite(http_pause, .init = start, .fini = stop);

Test(http_pause, plain)
{
	struct error err = ERROR_INIT;
	uint16_t port;

	cr_assert_eq(http_server_listen_tcp(server, "127.0.0.1", 0, &port, &err), 0);
	read_all(port, "http");
}

/* What TLS has read already makes the socket readable no more. */
Test(http_pause, tls)
{
	_cleanup_(cleanup_http_tls) struct http_tls *tls = local_tls();
	struct error err = ERROR_INIT;
	uint16_t port;

	cr_assert_eq(http_server_listen_tls(server, tls, "127.0.0.1", 0, &port, &err), 0);
	cr_assert_eq(http_client_trust(client, NULL, http_tls_pin(tls)), 0);
	read_all(port, "https");
	http_server_free(TAKE_PTR(server));
}
