/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A worker does beside the event loop what would hold it up: one thread, one piece of work at a
 * time, and the loop is told when it is done.
 */
#include "lib/worker.h"

#include <errno.h>
#include <event2/event_struct.h>
#include <sys/eventfd.h>

#include "lib/thread.h"

struct worker {
	int done_fd; /* the thread says that it is through */
	struct event done;
	bool watching, started;
	void (*on_done)(int result, void *userdata);
	void *userdata;
	bool busy; /* seen from the loop */

	pthread_t thread;
	pthread_mutex_t mutex; /* over what follows */
	pthread_cond_t wanted;
	int (*work)(void *userdata); /* NULL: nothing to do */
	void *work_userdata;
	int result; /* of the last one */
	bool stop;
};

static void *run(void *userdata)
{
	struct worker *worker = userdata;

	pthread_mutex_lock(&worker->mutex);
	for (;;) {
		int (*work)(void *userdata);
		int r;

		while (!worker->work && !worker->stop)
			pthread_cond_wait(&worker->wanted, &worker->mutex);
		if (!worker->work)
			break;
		work = TAKE_PTR(worker->work);
		pthread_mutex_unlock(&worker->mutex);
		r = work(worker->work_userdata);
		pthread_mutex_lock(&worker->mutex);
		worker->result = r;
		(void)eventfd_write(worker->done_fd, 1);
	}
	pthread_mutex_unlock(&worker->mutex);
	return NULL;
}

static void on_done(evutil_socket_t fd, short what, void *userdata)
{
	struct worker *worker = userdata;
	eventfd_t count;
	int result;

	if (eventfd_read(fd, &count) < 0)
		return;
	pthread_mutex_lock(&worker->mutex);
	result = worker->result;
	pthread_mutex_unlock(&worker->mutex);
	worker->busy = false;
	worker->on_done(result, worker->userdata);
}

int worker_new(struct worker **ret, struct event_base *base)
{
	_cleanup_(cleanup_worker) struct worker *worker = calloc(1, sizeof(*worker));
	int r;

	if (!worker)
		return -ENOMEM;
	(void)pthread_mutex_init(&worker->mutex, NULL);
	(void)pthread_cond_init(&worker->wanted, NULL);
	worker->done_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (worker->done_fd < 0)
		return -errno;
	if (event_assign(&worker->done, base, worker->done_fd, EV_READ | EV_PERSIST, on_done,
			 worker) < 0 ||
	    event_add(&worker->done, NULL) < 0)
		return -ENOMEM;
	worker->watching = true;
	r = thread_start(&worker->thread, run, worker);
	if (r < 0)
		return r;
	worker->started = true;
	*ret = TAKE_PTR(worker);
	return 0;
}

void worker_free(struct worker *worker)
{
	if (!worker)
		return;
	if (worker->started) {
		pthread_mutex_lock(&worker->mutex);
		worker->stop = true;
		pthread_cond_signal(&worker->wanted);
		pthread_mutex_unlock(&worker->mutex);
		pthread_join(worker->thread, NULL);
	}
	if (worker->watching)
		event_del(&worker->done);
	if (worker->done_fd >= 0)
		close(worker->done_fd);
	pthread_cond_destroy(&worker->wanted);
	pthread_mutex_destroy(&worker->mutex);
	free(worker);
}

int worker_submit(struct worker *worker, int (*work)(void *userdata),
		  void (*callback)(int result, void *userdata), void *userdata)
{
	if (worker->busy)
		return -EBUSY;
	worker->on_done = callback;
	worker->userdata = userdata;
	worker->busy = true;
	pthread_mutex_lock(&worker->mutex);
	worker->work = work;
	worker->work_userdata = userdata;
	pthread_cond_signal(&worker->wanted);
	pthread_mutex_unlock(&worker->mutex);
	return 0;
}

bool worker_busy(const struct worker *worker)
{
	return worker->busy;
}
