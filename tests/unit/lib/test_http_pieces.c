/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A large answer in pieces: the next is made while one waits for its reader, and no third, whatever
 * the reader's pace; all arrives, in order, and the connection serves the next request.
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
#include "lib/http_pieces.h"

#define PIECES 40u
/* Of them hexadecimal numbers of chunks have none. */
#define LETTER(piece) ((char)('g' + (piece) % 20))
#define PATIENCE_MS 20000

static struct event_base *base;
static struct http_server *server;
static char path[64];
static char piece[HTTP_PIECE_BYTES];
static unsigned made, released;
static int client;

static int next(struct evbuffer *out, void *userdata)
{
	memset(piece, LETTER(made), sizeof(piece));
	cr_assert_eq(evbuffer_add(out, piece, sizeof(piece)), 0);
	return ++made < PIECES;
}

static void release(void *userdata)
{
	released++;
}

static void on_request(struct http_request *request, void *userdata)
{
	static const struct http_source source = { .next = next, .release = release };

	http_reply_pieces(request, "text/plain", &source, NULL);
}

static void start(void)
{
	static const struct http_route routes[] = { { HTTP_GET, "/", on_request } };
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	struct error err = ERROR_INIT;

	(void)signal(SIGPIPE, SIG_IGN); /* as the daemons do */
	base = event_base_new();
	(void)snprintf(path, sizeof(path), "/tmp/portico-pieces-%d.sock", (int)getpid());
	cr_assert_eq(http_server_new(&server, base, NULL), 0);
	cr_assert_eq(http_server_routes(server, routes, ARRAY_SIZE(routes), NULL), 0);
	cr_assert_eq(http_server_listen_unix(server, path, 0600, &err), 0, "%s", err.message);
	(void)snprintf(address.sun_path, sizeof(address.sun_path), "%s", path);
	client = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	cr_assert_eq(connect(client, (struct sockaddr *)&address, sizeof(address)), 0);
}

static void stop(void)
{
	close(client);
	http_server_free(server);
	event_base_free(base);
	(void)unlink(path);
}

TestSuite(http_pieces, .init = start, .fini = stop, .timeout = 60);

static void ask(void)
{
	static const char request[] = "GET / HTTP/1.1\r\nHost: x\r\n\r\n";

	made = 0;
	cr_assert_eq(send(client, request, strlen(request), 0), (ssize_t)strlen(request));
}

static void turn_until_made(unsigned n)
{
	uint64_t deadline = clock_monotonic_ms() + PATIENCE_MS;

	while (made < n && clock_monotonic_ms() < deadline)
		(void)event_base_loop(base, EVLOOP_NONBLOCK);
	cr_assert_eq(made, n);
}

/* How many bytes of its letter each piece has had so far; at is the piece that is read. */
struct reading {
	char data[100000], tail[5]; /* the last bytes */
	bool body;
	unsigned at;
	size_t n;
};

static void take(struct reading *reading, const char *data, size_t length)
{
	for (size_t i = 0; i < length; i++) {
		memmove(reading->tail, reading->tail + 1, sizeof(reading->tail) - 1);
		reading->tail[sizeof(reading->tail) - 1] = data[i];
		reading->body |= memcmp(reading->tail + 1, "\r\n\r\n", 4) == 0;
		if (!reading->body || data[i] < 'g' || data[i] > 'z')
			continue;
		cr_assert_eq(data[i], LETTER(reading->at), "in piece %u", reading->at);
		if (++reading->n == HTTP_PIECE_BYTES) {
			reading->n = 0;
			reading->at++;
		}
	}
}

static void read_all(void)
{
	uint64_t deadline = clock_monotonic_ms() + PATIENCE_MS;
	struct reading reading = { .at = 0 };

	while (reading.at < PIECES || memcmp(reading.tail, "0\r\n\r\n", 5) != 0) {
		ssize_t n = recv(client, reading.data, sizeof(reading.data), 0);

		cr_assert(n > 0 || (n < 0 && errno == EAGAIN), "closed within piece %u",
			  reading.at);
		if (n > 0)
			take(&reading, reading.data, (size_t)n);
		(void)event_base_loop(base, EVLOOP_NONBLOCK);
		cr_assert_leq(made, reading.at + 3, "two waiting, and one in the kernel");
		cr_assert_lt(clock_monotonic_ms(), deadline);
	}
	cr_assert_eq(reading.n, 0);
}

Test(http_pieces, the_next_is_made_while_one_waits_and_no_third)
{
	ask();
	turn_until_made(2);
	for (unsigned i = 0; i < 100; i++)
		(void)event_base_loop(base, EVLOOP_NONBLOCK);
	cr_assert_eq(made, 2, "nobody reads");
}

Test(http_pieces, all_arrive_in_order_and_the_connection_serves_the_next_request)
{
	for (unsigned round = 1; round <= 2; round++) {
		ask();
		read_all();
		cr_assert_eq(released, round);
	}
}

Test(http_pieces, a_client_that_goes_away_is_noticed)
{
	uint64_t deadline = clock_monotonic_ms() + PATIENCE_MS;

	ask();
	turn_until_made(2);
	close(client);
	client = -1;
	while (released == 0 && clock_monotonic_ms() < deadline)
		(void)event_base_loop(base, EVLOOP_NONBLOCK);
	cr_assert_eq(released, 1);
}
