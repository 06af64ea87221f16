/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The event loop of a daemon: libevent, ended by a signal, in touch with systemd. */
#include "lib/loop.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <systemd/sd-daemon.h>

struct loop {
	struct event_base *base;
	struct event terminate, interrupt, watchdog;
	uint64_t watchdog_ms; /* between two signs of life; 0: nobody waits for them */
	bool signals;         /* terminate and interrupt are assigned */
};

static void on_signal(evutil_socket_t fd, short what, void *userdata)
{
	loop_stop(userdata);
}

static void on_watchdog(evutil_socket_t fd, short what, void *userdata)
{
	struct loop *loop = userdata;

	sd_notify(0, "WATCHDOG=1");
	(void)loop_timer_arm(&loop->watchdog, loop->watchdog_ms);
}

static int start_watchdog(struct loop *loop)
{
	uint64_t usec = 0;

	if (sd_watchdog_enabled(0, &usec) <= 0)
		return 0;
	loop->watchdog_ms = MAX(usec / 1000 / 3, (uint64_t)1);
	evtimer_assign(&loop->watchdog, loop->base, on_watchdog, loop);
	return loop_timer_arm(&loop->watchdog, loop->watchdog_ms);
}

/* With the changes of a turn made at its end: what is taken back within it costs no system call.
 * libevent warns of descriptors that are copies of each other; none are watched here. */
static struct event_base *make_base(void)
{
	struct event_config *config = event_config_new();
	struct event_base *base = NULL;

	if (config && event_config_set_flag(config, EVENT_BASE_FLAG_EPOLL_USE_CHANGELIST) == 0)
		base = event_base_new_with_config(config);
	if (config)
		event_config_free(config);
	return base;
}

int loop_new(struct loop **ret)
{
	_cleanup_(cleanup_loop) struct loop *loop = calloc(1, sizeof(*loop));
	int r;

	if (!loop)
		return -ENOMEM;
	if (signal(SIGPIPE, SIG_IGN) == SIG_ERR)
		return -errno;
	loop->base = make_base();
	if (!loop->base || event_base_priority_init(loop->base, 2) < 0)
		return -ENOMEM;
	if (evsignal_assign(&loop->terminate, loop->base, SIGTERM, on_signal, loop) < 0 ||
	    evsignal_assign(&loop->interrupt, loop->base, SIGINT, on_signal, loop) < 0)
		return -ENOMEM;
	loop->signals = true;
	if (evsignal_add(&loop->terminate, NULL) < 0 || evsignal_add(&loop->interrupt, NULL) < 0)
		return -ENOMEM;
	r = start_watchdog(loop);
	if (r < 0)
		return r;
	*ret = TAKE_PTR(loop);
	return 0;
}

/* A connection that was freed while libevent had put off its callback lives until that has run, and
 * event_base_free would forget the callback. Nothing else is in the loop any more. */
static void free_base(struct event_base *base)
{
	(void)event_base_loop(base, EVLOOP_NONBLOCK);
	event_base_free(base);
}

void loop_free(struct loop *loop)
{
	if (!loop)
		return;
	if (loop->signals) {
		event_del(&loop->terminate);
		event_del(&loop->interrupt);
	}
	if (loop->watchdog_ms > 0)
		event_del(&loop->watchdog);
	if (loop->base)
		free_base(loop->base);
	free(loop);
}

struct event_base *loop_base(struct loop *loop)
{
	return loop->base;
}

int loop_run(struct loop *loop)
{
	int r = event_base_dispatch(loop->base);

	sd_notify(0, "STOPPING=1");
	return r < 0 ? -EIO : 0;
}

void loop_stop(struct loop *loop)
{
	event_base_loopbreak(loop->base);
}

void loop_ready(const char *status)
{
	sd_notifyf(0, "READY=1\nSTATUS=%s", status);
}

void loop_status(const char *status)
{
	sd_notifyf(0, "STATUS=%s", status);
}

void loop_store_fd(const char *name, int fd)
{
	char state[128];
	int n = snprintf(state, sizeof(state), "FDSTORE=1\nFDNAME=%s", name);

	if (n > 0 && (size_t)n < sizeof(state))
		(void)sd_pid_notify_with_fds(0, 0, state, &fd, 1);
}

int loop_stored_fd(const char *name)
{
	char **names = NULL;
	int n = sd_listen_fds_with_names(0, &names), found = -1;

	for (int i = 0; i < n && names; i++) {
		if (found < 0 && strcmp(names[i], name) == 0)
			found = SD_LISTEN_FDS_START + i;
		free(names[i]);
	}
	free(names);
	return found;
}

int loop_timer_arm(struct event *timer, uint64_t ms)
{
	struct timeval delay = { .tv_sec = (time_t)(ms / 1000),
				 .tv_usec = (suseconds_t)(ms % 1000) * 1000 };

	return evtimer_add(timer, &delay) < 0 ? -ENOMEM : 0;
}
