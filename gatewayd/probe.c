/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A probe opens one TCP connection to a target, hears what it says first, and closes it. It sends
 * nothing, and never waits longer than its limits.
 */
#include "gatewayd/probe.h"

#include <ctype.h>
#include <errno.h>
#include <event2/event_struct.h>
#include <string.h>
#include <sys/socket.h>

#include "lib/clock.h"

struct probe {
	int fd;
	struct event event;
	bool speaks_first;
	uint64_t began_us;
	struct probe_result result;
	void (*on_done)(const struct probe_result *result, void *userdata);
	void *userdata;
};

void probe_cancel(struct probe *probe)
{
	if (!probe)
		return;
	event_del(&probe->event);
	close(probe->fd);
	free(probe);
}

static void finish(struct probe *probe, int errnum)
{
	struct probe_result result = probe->result;
	void (*on_done)(const struct probe_result *, void *) = probe->on_done;
	void *userdata = probe->userdata;

	result.errnum = errnum;
	probe_cancel(probe);
	on_done(&result, userdata);
}

static int await(struct probe *probe, short what, unsigned ms, event_callback_fn callback)
{
	const struct timeval limit = { .tv_sec = ms / 1000, .tv_usec = (ms % 1000) * 1000 };
	struct event_base *base = event_get_base(&probe->event);

	event_del(&probe->event);
	if (event_assign(&probe->event, base, probe->fd, what, callback, probe) < 0 ||
	    event_add(&probe->event, &limit) < 0)
		return -ENOMEM;
	return 0;
}

static void on_readable(evutil_socket_t fd, short what, void *userdata)
{
	struct probe *probe = userdata;
	char *greeting = probe->result.greeting;
	ssize_t n = 0;

	/* Silence is an answer as well. */
	if (what & EV_TIMEOUT) {
		finish(probe, 0);
		return;
	}
	n = recv(fd, greeting, PROBE_GREETING_MAX - 1, 0);
	greeting[MAX(n, 0)] = '\0';
	greeting[strcspn(greeting, "\r\n")] = '\0';
	for (char *at = greeting; *at; at++)
		if (!isprint((unsigned char)*at))
			*at = '?';
	probe->result.closed = n <= 0;
	finish(probe, 0);
}

static void on_connected(evutil_socket_t fd, short what, void *userdata)
{
	struct probe *probe = userdata;
	socklen_t length = sizeof(int);
	int error = 0;

	if (what & EV_TIMEOUT) {
		finish(probe, -ETIMEDOUT);
		return;
	}
	if (probe->result.errnum != 0) /* connect(2) itself failed; SO_ERROR does not know it */
		error = -probe->result.errnum;
	else if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &length) < 0)
		error = errno;
	if (error != 0) {
		finish(probe, -error);
		return;
	}
	probe->result.connect_us = clock_monotonic_us() - probe->began_us;
	error = await(probe, EV_READ, probe->speaks_first ? PROBE_GREETING_MS : PROBE_PATIENCE_MS,
		      on_readable);
	if (error < 0)
		finish(probe, error);
}

int probe_start(struct probe **ret, struct event_base *base, const struct endpoint *target,
		bool speaks_first,
		void (*on_done)(const struct probe_result *result, void *userdata), void *userdata)
{
	struct probe *probe = calloc(1, sizeof(*probe));
	struct sockaddr_storage address;
	socklen_t length = endpoint_to_sockaddr(target, &address);
	int r = 0;

	if (!probe)
		return -ENOMEM;
	probe->speaks_first = speaks_first;
	probe->on_done = on_done;
	probe->userdata = userdata;
	probe->began_us = clock_monotonic_us();
	probe->fd = socket(target->address.family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (probe->fd < 0) {
		r = -errno;
		free(probe);
		return r;
	}
	(void)event_assign(&probe->event, base, probe->fd, EV_WRITE, on_connected, probe);
	if (connect(probe->fd, (struct sockaddr *)&address, length) < 0 && errno != EINPROGRESS)
		probe->result.errnum = -errno;
	r = await(probe, EV_WRITE, PROBE_CONNECT_MS, on_connected);
	if (r == 0 && probe->result.errnum != 0)
		event_active(&probe->event, EV_WRITE, 0);
	if (r < 0) {
		probe_cancel(probe);
		return r;
	}
	*ret = probe;
	return 0;
}
