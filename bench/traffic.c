/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The two ends of the benchmark's connections:
 *
 *	bench-traffic serve FIRST N                     echoes on N ports from FIRST on
 *	bench-traffic connect ADDRESS FIRST N SECONDS   opens and resets, as fast as it can
 *	bench-traffic rtt ADDRESS PORT COUNT            one byte there and back
 *	bench-traffic bulk ADDRESS PORT SECONDS         one stream, as fast as it goes
 *	bench-traffic inject ADDRESS FIRST N BURSTS     packets of open connections: see inject.c
 *	bench-traffic first ADDRESS FIRST N BURSTS      first packets of connections
 *	bench-traffic live ADDRESS FIRST N BURSTS SECONDS  … which come again and again
 *
 * Each prints one line of numbers. An echo begins with the port that was reached, so that a
 * connection to a wrong target is seen; what follows a byte SINK is not sent back.
 */
#include "bench/traffic.h"

#include <errno.h>
#include <linux/tcp.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "bench/bench.h"

#define EVENTS_MAX 256
#define BACKLOG 4096
/* Connections that are opened at the same time. */
#define CONCURRENCY 64
#define SINK 'S'
#define SINK_FLAG (UINT64_C(1) << 16) /* beside the port in an event's data */
#define BULK_BYTES ((size_t)256 << 10)

/* ---- serve ---- */

static void watch(int epoll, int fd, uint32_t events, uint64_t data)
{
	struct epoll_event event = { .events = events, .data.u64 = data };

	if (epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event) < 0)
		err(1, "epoll_ctl");
}

static void serve_listen(int epoll, uint16_t port)
{
	struct sockaddr_in address = { .sin_family = AF_INET, .sin_port = htons(port) };
	int fd = tcp_socket(SOCK_NONBLOCK), on = 1;

	if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) < 0 ||
	    bind(fd, (struct sockaddr *)&address, sizeof(address)) < 0 || listen(fd, BACKLOG) < 0)
		err(1, "cannot listen on port %u", port);
	watch(epoll, fd, EPOLLIN, (uint64_t)fd << 32 | port);
}

static void serve_accept(int epoll, int listener, uint16_t port)
{
	int fd;

	while ((fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0) {
		const uint8_t greeting[2] = { (uint8_t)(port >> 8), (uint8_t)port };

		(void)!send(fd, greeting, sizeof(greeting), MSG_NOSIGNAL);
		watch(epoll, fd, EPOLLIN, (uint64_t)fd << 32);
	}
}

static void serve_echo(int epoll, int fd, bool sink)
{
	static char buffer[BULK_BYTES];
	struct epoll_event event = { .events = EPOLLIN,
				     .data.u64 = (uint64_t)fd << 32 | SINK_FLAG };
	ssize_t n = recv(fd, buffer, sink ? sizeof(buffer) : 4096, 0);

	if (n <= 0 && !(n < 0 && errno == EAGAIN))
		close(fd);
	else if (n > 0 && !sink && buffer[0] == SINK)
		(void)epoll_ctl(epoll, EPOLL_CTL_MOD, fd, &event);
	else if (n > 0 && !sink)
		(void)!send(fd, buffer, (size_t)n, MSG_NOSIGNAL);
}

static int serve(char **argv)
{
	uint16_t first = (uint16_t)argument(argv[0], "FIRST", 1, 65535);
	unsigned long n = argument(argv[1], "N", 1, 65536ul - first);
	int epoll = epoll_create1(EPOLL_CLOEXEC);
	struct epoll_event events[EVENTS_MAX];
	int ready;

	for (unsigned long i = 0; i < n; i++)
		serve_listen(epoll, (uint16_t)(first + i));
	(void)puts("listening");
	(void)fflush(stdout);
	while ((ready = epoll_wait(epoll, events, EVENTS_MAX, -1)) >= 0 || errno == EINTR) {
		for (int i = 0; i < ready; i++) {
			int fd = (int)(events[i].data.u64 >> 32);
			uint16_t port = (uint16_t)events[i].data.u64;

			if (port)
				serve_accept(epoll, fd, port);
			else
				serve_echo(epoll, fd, events[i].data.u64 & SINK_FLAG);
		}
	}
	err(1, "epoll_wait");
}

/* ---- connect ---- */

struct opener {
	struct sockaddr_in address;
	uint16_t first;
	unsigned long n;
	int epoll;
	unsigned long next, opened, failed, wrong;
};

static void open_one(struct opener *opener)
{
	uint16_t port = (uint16_t)(opener->first + opener->next++ % opener->n);
	int fd = tcp_socket(SOCK_NONBLOCK);

	opener->address.sin_port = htons(port);
	if (connect(fd, (struct sockaddr *)&opener->address, sizeof(opener->address)) < 0 &&
	    errno != EINPROGRESS)
		err(1, "connect");
	watch(opener->epoll, fd, EPOLLIN, (uint64_t)fd << 32 | port);
}

/* It counts once its server has greeted: then all of the path has worked. */
static void close_one(struct opener *opener, uint64_t data)
{
	uint8_t greeting[2];
	int fd = (int)(data >> 32);

	if (recv(fd, greeting, sizeof(greeting), 0) != sizeof(greeting))
		opener->failed++;
	else if ((greeting[0] << 8 | greeting[1]) != (uint16_t)data)
		opener->wrong++;
	else
		opener->opened++;
	close(fd);
}

static int open_many(char **argv)
{
	struct opener opener = {
		.address = address_argument(argv[0]),
		.first = (uint16_t)argument(argv[1], "FIRST", 1, 65535),
		.n = argument(argv[2], "N", 1, 65535),
		.epoll = epoll_create1(EPOLL_CLOEXEC),
	};
	uint64_t begin = now_ns();
	uint64_t end = begin + argument(argv[3], "SECONDS", 1, 3600) * 1000000000;
	struct epoll_event events[EVENTS_MAX];

	for (int i = 0; i < CONCURRENCY; i++)
		open_one(&opener);
	while (now_ns() < end) {
		int ready = epoll_wait(opener.epoll, events, EVENTS_MAX, 1000);

		for (int i = 0; i < ready; i++) {
			close_one(&opener, events[i].data.u64);
			open_one(&opener);
		}
	}
	(void)printf("%.1f %lu %lu %lu\n", (double)opener.opened * 1e9 / (double)(now_ns() - begin),
		     opener.opened, opener.failed, opener.wrong);
	return opener.opened > 0 ? 0 : 1;
}

/* ---- rtt, bulk ---- */

static int reach(const char *address_text, const char *port)
{
	struct sockaddr_in address = address_argument(address_text);
	int fd = tcp_socket(0);
	char greeting[2];

	address.sin_port = htons((uint16_t)argument(port, "PORT", 1, 65535));
	if (connect(fd, (struct sockaddr *)&address, sizeof(address)) < 0 ||
	    recv(fd, greeting, sizeof(greeting), MSG_WAITALL) != sizeof(greeting))
		err(1, "cannot reach %s:%s", address_text, port);
	return fd;
}

static int round_trips(char **argv)
{
	size_t n = argument(argv[2], "COUNT", 1, 1000000);
	double *samples = calloc(n, sizeof(*samples));
	int fd = reach(argv[0], argv[1]);
	char buffer[1] = { 0 };

	if (!samples)
		errx(1, "out of memory");
	for (size_t i = 0; i < n; i++) {
		uint64_t begin = now_ns();

		if (send(fd, buffer, 1, MSG_NOSIGNAL) != 1 || recv(fd, buffer, 1, 0) != 1)
			err(1, "the connection ended");
		samples[i] = (double)(now_ns() - begin) / 1e9;
	}
	(void)printf("%.9f %.9f\n", quantile(samples, n, 0.5), quantile(samples, n, 0.99));
	free(samples);
	close(fd);
	return 0;
}

/* What has been acknowledged counts, not what waits in our own send buffer. */
static int bulk(char **argv)
{
	uint64_t seconds = argument(argv[2], "SECONDS", 1, 3600), begin, end;
	int fd = reach(argv[0], argv[1]);
	static char buffer[BULK_BYTES] = { SINK };
	struct tcp_info info = { 0 };
	socklen_t length = sizeof(info);

	if (send(fd, buffer, 1, MSG_NOSIGNAL) != 1)
		err(1, "send");
	memset(buffer, 0, sizeof(buffer));
	begin = now_ns();
	end = begin + seconds * 1000000000;
	while (now_ns() < end)
		if (send(fd, buffer, sizeof(buffer), MSG_NOSIGNAL) < 0)
			err(1, "send");
	end = now_ns();
	if (getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &length) < 0)
		err(1, "TCP_INFO");
	(void)printf("%.0f\n", (double)info.tcpi_bytes_acked * 8e9 / (double)(end - begin));
	close(fd);
	return 0;
}

int main(int argc, char **argv)
{
	const struct {
		const char *name;
		int arguments;
		int (*run)(char **argv);
	} verbs[] = {
		{ "serve", 2, serve },      { "connect", 4, open_many },
		{ "rtt", 3, round_trips },  { "bulk", 3, bulk },
		{ "inject", 4, inject },    { "first", 4, inject_first },
		{ "live", 5, inject_live },
	};

	for (size_t i = 0; argc > 1 && i < sizeof(verbs) / sizeof(verbs[0]); i++)
		if (strcmp(argv[1], verbs[i].name) == 0 && argc == verbs[i].arguments + 2)
			return verbs[i].run(argv + 2);
	errx(2, "serve FIRST N | connect ADDRESS FIRST N SECONDS | rtt ADDRESS PORT COUNT | "
		"bulk ADDRESS PORT SECONDS | inject ADDRESS FIRST N BURSTS | "
		"first ADDRESS FIRST N BURSTS | live ADDRESS FIRST N BURSTS SECONDS");
}
