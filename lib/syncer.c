/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Makes files durable beside the event loop, in one thread. */
#include "lib/syncer.h"

#include <errno.h>
#include <event2/event_struct.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <sys/eventfd.h>

struct syncer {
	int done_fd; /* the thread says that it is through */
	struct event done;
	bool watching, started;
	void (*on_done)(int result, void *userdata);
	void *userdata;
	bool busy; /* seen from the loop */

	pthread_t thread;
	pthread_mutex_t mutex; /* over what follows */
	pthread_cond_t wanted;
	int fd;     /* -1: nothing to do */
	int result; /* of the last one */
	bool stop;
};

static int do_sync(int fd)
{
	int r = fsync(fd) < 0 ? -errno : 0;

	close(fd);
	return r;
}

static void *work(void *userdata)
{
	struct syncer *syncer = userdata;

	pthread_mutex_lock(&syncer->mutex);
	for (;;) {
		int fd, r;

		while (syncer->fd < 0 && !syncer->stop)
			pthread_cond_wait(&syncer->wanted, &syncer->mutex);
		if (syncer->fd < 0)
			break;
		fd = TAKE_FD(syncer->fd);
		pthread_mutex_unlock(&syncer->mutex);
		r = do_sync(fd);
		pthread_mutex_lock(&syncer->mutex);
		syncer->result = r;
		(void)eventfd_write(syncer->done_fd, 1);
	}
	pthread_mutex_unlock(&syncer->mutex);
	return NULL;
}

static void on_done(evutil_socket_t fd, short what, void *userdata)
{
	struct syncer *syncer = userdata;
	eventfd_t count;
	int result;

	if (eventfd_read(fd, &count) < 0)
		return;
	pthread_mutex_lock(&syncer->mutex);
	result = syncer->result;
	pthread_mutex_unlock(&syncer->mutex);
	syncer->busy = false;
	syncer->on_done(result, syncer->userdata);
}

/* Signals are the loop's: the thread takes none. */
static int start_thread(struct syncer *syncer)
{
	sigset_t all, before;
	int r;

	(void)sigfillset(&all);
	r = pthread_sigmask(SIG_SETMASK, &all, &before);
	if (r != 0)
		return -r;
	r = pthread_create(&syncer->thread, NULL, work, syncer);
	(void)pthread_sigmask(SIG_SETMASK, &before, NULL);
	syncer->started = r == 0;
	return -r;
}

int syncer_new(struct syncer **ret, struct event_base *base)
{
	_cleanup_(cleanup_syncer) struct syncer *syncer = calloc(1, sizeof(*syncer));
	int r;

	if (!syncer)
		return -ENOMEM;
	syncer->fd = -1;
	(void)pthread_mutex_init(&syncer->mutex, NULL);
	(void)pthread_cond_init(&syncer->wanted, NULL);
	syncer->done_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (syncer->done_fd < 0)
		return -errno;
	if (event_assign(&syncer->done, base, syncer->done_fd, EV_READ | EV_PERSIST, on_done,
			 syncer) < 0 ||
	    event_add(&syncer->done, NULL) < 0)
		return -ENOMEM;
	syncer->watching = true;
	r = start_thread(syncer);
	if (r < 0)
		return r;
	*ret = TAKE_PTR(syncer);
	return 0;
}

void syncer_free(struct syncer *syncer)
{
	if (!syncer)
		return;
	if (syncer->started) {
		pthread_mutex_lock(&syncer->mutex);
		syncer->stop = true;
		pthread_cond_signal(&syncer->wanted);
		pthread_mutex_unlock(&syncer->mutex);
		pthread_join(syncer->thread, NULL);
	}
	if (syncer->watching)
		event_del(&syncer->done);
	if (syncer->done_fd >= 0)
		close(syncer->done_fd);
	pthread_cond_destroy(&syncer->wanted);
	pthread_mutex_destroy(&syncer->mutex);
	free(syncer);
}

int syncer_submit(struct syncer *syncer, int fd, void (*callback)(int result, void *userdata),
		  void *userdata)
{
	int copy;

	if (syncer->busy)
		return -EBUSY;
	copy = fcntl(fd, F_DUPFD_CLOEXEC, 0);
	if (copy < 0)
		return -errno;
	syncer->on_done = callback;
	syncer->userdata = userdata;
	syncer->busy = true;
	pthread_mutex_lock(&syncer->mutex);
	syncer->fd = copy;
	pthread_cond_signal(&syncer->wanted);
	pthread_mutex_unlock(&syncer->mutex);
	return 0;
}

bool syncer_busy(const struct syncer *syncer)
{
	return syncer->busy;
}
