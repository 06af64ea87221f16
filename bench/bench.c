/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the benchmark's tools share: nanoseconds, medians, one CPU. */
#include "bench/bench.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <sched.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <time.h>

#include "lib/number.h"

uint64_t now_ns(void)
{
	struct timespec now;

	(void)clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

static int compare(const void *a, const void *b)
{
	const double *left = a, *right = b;

	return (*left > *right) - (*left < *right);
}

double quantile(double *samples, size_t n, double share)
{
	if (n == 0)
		return 0;
	qsort(samples, n, sizeof(*samples), compare);
	return samples[(size_t)((double)(n - 1) * share)];
}

void pin_to_cpu(int cpu)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(cpu, &set);
	if (sched_setaffinity(0, sizeof(set), &set) < 0)
		err(1, "cannot stay on CPU %d", cpu);
}

unsigned long argument(const char *text, const char *name, unsigned long min, unsigned long max)
{
	uint64_t value = 0;

	if (number_parse(text, &value, NULL) < 0 || value < min || value > max)
		errx(2, "%s: \"%s\" is not in %lu to %lu", name, text, min, max);
	return value;
}

struct sockaddr_in address_argument(const char *text)
{
	struct sockaddr_in address = { .sin_family = AF_INET };

	if (inet_pton(AF_INET, text, &address.sin_addr) != 1)
		errx(2, "\"%s\" is not an IPv4 address", text);
	return address;
}

int tcp_socket(int flags)
{
	const struct linger forget = { .l_onoff = 1, .l_linger = 0 };
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | flags, 0);
	int on = 1;

	/* No TIME_WAIT, neither here nor in a gateway's connection tracking. */
	if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_LINGER, &forget, sizeof(forget)) < 0 ||
	    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on)) < 0)
		err(1, "socket");
	return fd;
}
