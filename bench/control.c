/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A client of gatewayd's local API that does nothing but wait for its answers:
 *
 *	bench-control apply SOCKET ADDRESS COUNT                  one mapping put, and deleted again
 *	bench-control churn SOCKET ADDRESS FIRST N SECONDS RATE   changes a second, 100 in a request
 *	bench-control bare MAP ADDRESS COUNT                      see bare.c
 *	bench-control ping COUNT                                  one byte to a process and back
 *
 * Requests go over one connection that is kept alive.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "bench/bare.h"
#include "bench/bench.h"

#define PORT 1000 /* below what the benchmark maps */
#define BATCH 100 /* changes of a request */
#define REQUEST_MAX 32768

static int open_socket(const char *path)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	(void)snprintf(address.sun_path, sizeof(address.sun_path), "%s", path);
	if (fd < 0 || connect(fd, (struct sockaddr *)&address, sizeof(address)) < 0)
		err(1, "%s", path);
	return fd;
}

/* One request with this body; the answer is read to its end, and must be a 200. */
static double request(int fd, const char *body)
{
	char text[REQUEST_MAX + 256], answer[4096];
	size_t used = 0;
	int length = snprintf(text, sizeof(text),
			      "POST /v1/mappings:apply HTTP/1.1\r\nHost: localhost\r\n"
			      "Content-Type: application/json\r\nContent-Length: %zu\r\n\r\n%s",
			      strlen(body), body);
	uint64_t begin = now_ns();

	if (send(fd, text, (size_t)length, MSG_NOSIGNAL) != length)
		err(1, "send");
	for (;;) {
		ssize_t n = recv(fd, answer + used, sizeof(answer) - 1 - used, 0);

		if (n <= 0)
			errx(1, "gatewayd closed the connection");
		used += (size_t)n;
		answer[used] = '\0';
		if (strstr(answer, "\r\n\r\n") && answer[used - 1] == '}')
			break;
	}
	if (strncmp(answer, "HTTP/1.1 200", 12) != 0)
		errx(1, "%s", answer);
	return (double)(now_ns() - begin) / 1e9;
}

static int apply(char **argv)
{
	size_t n = argument(argv[2], "COUNT", 1, 1000000);
	double *puts_taken = calloc(n, sizeof(*puts_taken));
	double *removals_taken = calloc(n, sizeof(*removals_taken));
	char put[256], removal[256];
	int fd = open_socket(argv[0]);

	if (!puts_taken || !removals_taken)
		errx(1, "out of memory");
	(void)snprintf(put, sizeof(put),
		       "{\"changes\":[{\"op\":\"put\",\"mapping\":{\"address\":\"%s\",\"port\":%d,"
		       "\"target\":{\"address\":\"10.0.0.5\",\"port\":%d}}}]}",
		       argv[1], PORT, PORT);
	(void)snprintf(removal, sizeof(removal),
		       "{\"changes\":[{\"op\":\"delete\",\"address\":\"%s\",\"port\":%d}]}",
		       argv[1], PORT);
	for (size_t i = 0; i < n; i++) {
		puts_taken[i] = request(fd, put);
		removals_taken[i] = request(fd, removal);
	}
	(void)printf("%.9f %.9f %.9f %.9f\n", quantile(puts_taken, n, 0.5),
		     quantile(puts_taken, n, 0.99), quantile(removals_taken, n, 0.5),
		     quantile(removals_taken, n, 0.99));
	free(puts_taken);
	free(removals_taken);
	close(fd);
	return 0;
}

static int echo(int fd)
{
	char byte;

	while (recv(fd, &byte, 1, 0) == 1)
		if (send(fd, &byte, 1, MSG_NOSIGNAL) != 1)
			return 1;
	return 0;
}

/* What a request costs before anybody does anything for it: each side is woken once. */
static int ping(char **argv)
{
	size_t n = argument(argv[0], "COUNT", 1, 1000000);
	double *samples = calloc(n, sizeof(*samples));
	char byte = 'x';
	int pair[2];

	if (!samples || socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0)
		err(1, "socketpair");
	switch (fork()) {
	case -1:
		err(1, "fork");
	case 0:
		close(pair[0]);
		_exit(echo(pair[1]));
	}
	close(pair[1]);
	for (size_t i = 0; i < n; i++) {
		uint64_t begin = now_ns();

		if (send(pair[0], &byte, 1, MSG_NOSIGNAL) != 1 || recv(pair[0], &byte, 1, 0) != 1)
			err(1, "echo");
		samples[i] = (double)(now_ns() - begin) / 1e9;
	}
	(void)printf("%.9f %.9f\n", quantile(samples, n, 0.5), quantile(samples, n, 0.99));
	free(samples);
	close(pair[0]);
	return 0;
}

/* BATCH ports in a row are led elsewhere. */
static void fill_batch(char body[REQUEST_MAX], const char *address, unsigned first, unsigned n,
		       unsigned long round)
{
	size_t used = (size_t)snprintf(body, REQUEST_MAX, "{\"changes\":[");

	for (unsigned i = 0; i < BATCH; i++)
		used += (size_t)snprintf(
			body + used, REQUEST_MAX - used,
			"%s{\"op\":\"put\",\"mapping\":{\"address\":\"%s\",\"port\":%u,\"target\":"
			"{\"address\":\"10.9.%lu.%lu\",\"port\":22}}}",
			i ? "," : "", address, first + (unsigned)((round * BATCH + i) % n),
			round / 250 % 250, 1 + round % 250);
	(void)snprintf(body + used, REQUEST_MAX - used, "]}");
}

static void wait_until(uint64_t when)
{
	uint64_t now = now_ns();
	struct timespec left = { .tv_sec = (time_t)((when - now) / 1000000000),
				 .tv_nsec = (long)((when - now) % 1000000000) };

	if (when > now)
		(void)nanosleep(&left, NULL);
}

static int churn(char **argv)
{
	unsigned first = (unsigned)argument(argv[2], "FIRST", 1, 65535);
	unsigned n = (unsigned)argument(argv[3], "N", BATCH, 65536ul - first);
	unsigned long seconds = argument(argv[4], "SECONDS", 1, 3600);
	unsigned long rate = argument(argv[5], "RATE", BATCH, 10000000);
	size_t most = seconds * rate / BATCH + 1, done = 0;
	double *samples = calloc(most, sizeof(*samples));
	uint64_t begin = now_ns(), interval = 1000000000ul * BATCH / rate;
	static char body[REQUEST_MAX];
	int fd = open_socket(argv[0]);

	if (!samples)
		errx(1, "out of memory");
	while (now_ns() < begin + seconds * 1000000000 && done < most) {
		fill_batch(body, argv[1], first, n, done);
		wait_until(begin + done * interval);
		samples[done++] = request(fd, body);
	}
	(void)printf("%.1f %.9f %.9f\n", (double)(done * BATCH) * 1e9 / (double)(now_ns() - begin),
		     quantile(samples, done, 0.5), quantile(samples, done, 0.99));
	free(samples);
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
		{ "apply", 3, apply },
		{ "churn", 6, churn },
		{ "bare", 3, bare },
		{ "ping", 1, ping },
	};

	for (size_t i = 0; argc > 1 && i < sizeof(verbs) / sizeof(verbs[0]); i++)
		if (strcmp(argv[1], verbs[i].name) == 0 && argc == verbs[i].arguments + 2)
			return verbs[i].run(argv + 2);
	errx(2, "apply SOCKET ADDRESS COUNT | churn SOCKET ADDRESS FIRST N SECONDS RATE | "
		"bare MAP ADDRESS COUNT | ping COUNT");
}
