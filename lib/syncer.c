/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Makes files durable beside the event loop, by a worker of its own. */
#include "lib/syncer.h"

#include <errno.h>
#include <fcntl.h>

#include "lib/worker.h"

struct syncer {
	struct worker *worker;
	int fd; /* our copy, while it is being synced */
	void (*on_done)(int result, void *userdata);
	void *userdata;
};

static int do_sync(void *userdata)
{
	struct syncer *syncer = userdata;
	int r = fsync(syncer->fd) < 0 ? -errno : 0;

	close(TAKE_FD(syncer->fd));
	return r;
}

static void on_synced(int result, void *userdata)
{
	struct syncer *syncer = userdata;

	syncer->on_done(result, syncer->userdata);
}

int syncer_new(struct syncer **ret, struct event_base *base)
{
	_cleanup_(cleanup_syncer) struct syncer *syncer = calloc(1, sizeof(*syncer));
	int r;

	if (!syncer)
		return -ENOMEM;
	syncer->fd = -1;
	r = worker_new(&syncer->worker, base);
	if (r < 0)
		return r;
	*ret = TAKE_PTR(syncer);
	return 0;
}

void syncer_free(struct syncer *syncer)
{
	if (!syncer)
		return;
	worker_free(syncer->worker);
	free(syncer);
}

int syncer_submit(struct syncer *syncer, int fd, void (*callback)(int result, void *userdata),
		  void *userdata)
{
	if (worker_busy(syncer->worker))
		return -EBUSY;
	syncer->fd = fcntl(fd, F_DUPFD_CLOEXEC, 0);
	if (syncer->fd < 0)
		return -errno;
	syncer->on_done = callback;
	syncer->userdata = userdata;
	return worker_submit(syncer->worker, do_sync, on_synced, syncer);
}

bool syncer_busy(const struct syncer *syncer)
{
	return worker_busy(syncer->worker);
}
