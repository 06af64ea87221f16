/* SPDX-License-Identifier: GPL-2.0-or-later */
/* One socket at a time: connect, wait for readability or the deadline, close, sleep. */
#include "agentd/probe.h"

#include <errno.h>
#include <event2/event_struct.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include "lib/loop.h"

#define PROBE_DEADLINE_MS 3000
#define PROBE_FIRST_MS 50
#define PROBE_SLOWEST_MS 2000 /* while it does not answer */
#define PROBE_STEADY_MS 30000 /* while it answers */
#define BANNER_MAX 256

struct probe {
	struct event_base *base;
	struct endpoint endpoint;
	enum probe_kind kind;
	void (*on_change)(void *userdata, bool answers, const char *reason);
	void *userdata;
	int fd; /* -1 between two tries */
	struct event io;
	struct event timer; /* the deadline of a try, or the pause before the next */
	uint32_t pause_ms;
	unsigned failures; /* in a row */
	bool answers;
	char reason[160];
	char banner[BANNER_MAX];
	size_t length;
};

int probe_ssh_banner(const char *data, size_t length)
{
	static const char *const prefixes[] = { "SSH-2.0-", "SSH-1.99-" };
	bool maybe = false;

	for (size_t i = 0; i < ARRAY_SIZE(prefixes); i++) {
		size_t n = MIN(strlen(prefixes[i]), length);

		if (memcmp(prefixes[i], data, n) != 0)
			continue;
		if (n == strlen(prefixes[i]))
			return 1;
		maybe = true;
	}
	return maybe ? 0 : -1;
}

static void end_try(struct probe *probe)
{
	if (probe->fd < 0)
		return;
	event_del(&probe->io);
	close(probe->fd);
	probe->fd = -1;
}

static void pause_for(struct probe *probe, uint32_t ms)
{
	(void)loop_timer_arm(&probe->timer, ms);
}

static void succeed(struct probe *probe)
{
	bool changed = !probe->answers;

	end_try(probe);
	probe->answers = true;
	probe->failures = 0;
	probe->reason[0] = '\0';
	probe->pause_ms = PROBE_FIRST_MS;
	pause_for(probe, PROBE_STEADY_MS);
	if (changed)
		probe->on_change(probe->userdata, true, "");
}

static void fail(struct probe *probe, const char *why)
{
	char address[ENDPOINT_STRING_MAX], old[sizeof(probe->reason)];
	bool changed;

	end_try(probe);
	probe->failures++;
	pause_for(probe, probe->pause_ms);
	probe->pause_ms = MIN(probe->pause_ms + probe->pause_ms / 2, PROBE_SLOWEST_MS);
	if (probe->answers && probe->failures < PROBE_TOLERANCE)
		return;
	memcpy(old, probe->reason, sizeof(old));
	snprintf(probe->reason, sizeof(probe->reason), "%s: %s",
		 endpoint_format(&probe->endpoint, address), why);
	changed = probe->answers || strcmp(old, probe->reason) != 0;
	probe->answers = false;
	if (changed)
		probe->on_change(probe->userdata, false, probe->reason);
}

/* Lines before the identification are allowed by RFC 4253, 4.2, and sent by no server in use. */
static void read_banner(struct probe *probe)
{
	ssize_t n = recv(probe->fd, probe->banner + probe->length,
			 sizeof(probe->banner) - probe->length, 0);

	if (n < 0) {
		if (errno != EAGAIN && errno != EINTR)
			fail(probe, strerror(errno));
		return;
	}
	if (n == 0) {
		fail(probe, "the connection is closed before an SSH banner");
		return;
	}
	probe->length += (size_t)n;
	switch (probe_ssh_banner(probe->banner, probe->length)) {
	case 1:
		succeed(probe);
		return;
	case -1:
		fail(probe, "what answers is no SSH server");
		return;
	}
}

static void on_io(evutil_socket_t fd, short what, void *userdata);

static void wait_for_banner(struct probe *probe)
{
	event_del(&probe->io);
	event_assign(&probe->io, probe->base, probe->fd, EV_READ | EV_PERSIST, on_io, probe);
	if (event_add(&probe->io, NULL) < 0)
		fail(probe, strerror(ENOMEM));
}

static void on_io(evutil_socket_t fd, short what, void *userdata)
{
	struct probe *probe = userdata;
	int error = 0;
	socklen_t length = sizeof(error);

	if (what & EV_READ) {
		read_banner(probe);
		return;
	}
	if (getsockopt(probe->fd, SOL_SOCKET, SO_ERROR, &error, &length) < 0)
		error = errno;
	if (error != 0)
		fail(probe, strerror(error));
	else if (probe->kind == PROBE_SSH)
		wait_for_banner(probe);
	else
		succeed(probe);
}

static void begin_try(struct probe *probe)
{
	struct sockaddr_storage address;
	socklen_t length = endpoint_to_sockaddr(&probe->endpoint, &address);

	probe->length = 0;
	probe->fd = socket(address.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (probe->fd < 0) {
		fail(probe, strerror(errno));
		return;
	}
	event_assign(&probe->io, probe->base, probe->fd, EV_WRITE, on_io, probe);
	if (connect(probe->fd, (struct sockaddr *)&address, length) < 0 && errno != EINPROGRESS) {
		fail(probe, strerror(errno));
		return;
	}
	pause_for(probe, PROBE_DEADLINE_MS);
	if (event_add(&probe->io, NULL) < 0)
		fail(probe, strerror(ENOMEM));
}

static void on_timer(evutil_socket_t fd, short what, void *userdata)
{
	struct probe *probe = userdata;

	if (probe->fd < 0)
		begin_try(probe);
	else
		fail(probe, probe->length == 0 && probe->kind == PROBE_SSH ? "no SSH banner in time"
									   : "no answer in time");
}

int probe_new(struct probe **ret, struct event_base *base, const struct endpoint *endpoint,
	      enum probe_kind kind,
	      void (*on_change)(void *userdata, bool answers, const char *reason), void *userdata)
{
	struct probe *probe = calloc(1, sizeof(*probe));

	if (!probe)
		return -ENOMEM;
	probe->base = base;
	probe->endpoint = *endpoint;
	probe->kind = kind;
	probe->on_change = on_change;
	probe->userdata = userdata;
	probe->fd = -1;
	probe->pause_ms = PROBE_FIRST_MS;
	evtimer_assign(&probe->timer, base, on_timer, probe);
	if (loop_timer_arm(&probe->timer, 0) < 0) {
		free(probe);
		return -ENOMEM;
	}
	*ret = probe;
	return 0;
}

void probe_free(struct probe *probe)
{
	if (!probe)
		return;
	end_try(probe);
	event_del(&probe->timer);
	free(probe);
}

bool probe_answers(const struct probe *probe)
{
	return probe->answers;
}

const char *probe_reason(const struct probe *probe)
{
	return probe->reason;
}
