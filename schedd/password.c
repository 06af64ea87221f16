/* SPDX-License-Identifier: GPL-2.0-or-later */
/* One thread that hashes, and two queues: what is to be hashed, what is done. */
#include "schedd/password.h"

#include <crypt.h>
#include <errno.h>
#include <event2/event_struct.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/queue.h>

#include "lib/thread.h"

#define QUEUE_MAX 10000
/* yescrypt in its smallest form (N = 128, r = 1): some 50 microseconds. A generated password has
 * 100 bits, which no cost has to protect, and whoever creates a thousand environments does not wait
 * for a thousand hashes. The form is what /etc/shadow takes; crypt_gensalt knows no cost below 20
 * ms. */
#define PREFIX "$y$"
#define PARAMETERS PREFIX "j4.$"

struct job {
	STAILQ_ENTRY(job) entry;
	char *password, *hash;
	void (*done)(void *userdata, char *hash);
	void *userdata;
};

STAILQ_HEAD(jobs, job);

struct password_hasher {
	struct event finished;
	int eventfd;
	pthread_t thread;
	pthread_mutex_t mutex; /* over what follows */
	pthread_cond_t wanted;
	struct jobs queue, done;
	unsigned n;
	bool stop;
};

static void job_free(struct job *job)
{
	if (job->password)
		explicit_bzero(job->password, strlen(job->password));
	free(job->password);
	free(job->hash);
	free(job);
}

/* libcrypt's salt, behind our parameters in place of its own. */
static bool make_setting(char ret[CRYPT_GENSALT_OUTPUT_SIZE])
{
	char usual[CRYPT_GENSALT_OUTPUT_SIZE];
	const char *salt;

	if (!crypt_gensalt_rn(PREFIX, 1, NULL, 0, usual, sizeof(usual)))
		return false;
	salt = strchr(usual + strlen(PREFIX), '$');
	if (!salt)
		return false;
	(void)snprintf(ret, CRYPT_GENSALT_OUTPUT_SIZE, PARAMETERS "%s", salt + 1);
	return true;
}

static char *hash(const char *password)
{
	struct crypt_data *data = calloc(1, sizeof(*data));
	char setting[CRYPT_GENSALT_OUTPUT_SIZE];
	char *text = NULL;

	if (data && make_setting(setting)) {
		const char *result = crypt_r(password, setting, data);

		if (result && result[0] != '*')
			text = strdup(result);
	}
	if (data)
		explicit_bzero(data, sizeof(*data));
	free(data);
	return text;
}

static void *work(void *userdata)
{
	struct password_hasher *hasher = userdata;
	const uint64_t one = 1;

	pthread_mutex_lock(&hasher->mutex);
	while (!hasher->stop) {
		struct job *job = STAILQ_FIRST(&hasher->queue);

		if (!job) {
			pthread_cond_wait(&hasher->wanted, &hasher->mutex);
			continue;
		}
		STAILQ_REMOVE_HEAD(&hasher->queue, entry);
		pthread_mutex_unlock(&hasher->mutex);
		job->hash = hash(job->password);
		pthread_mutex_lock(&hasher->mutex);
		STAILQ_INSERT_TAIL(&hasher->done, job, entry);
		/* Only fails where the counter is full, and then the loop knows. */
		if (write(hasher->eventfd, &one, sizeof(one)) < 0)
			continue;
	}
	pthread_mutex_unlock(&hasher->mutex);
	return NULL;
}

static void on_finished(evutil_socket_t fd, short what, void *userdata)
{
	struct password_hasher *hasher = userdata;
	struct jobs done = STAILQ_HEAD_INITIALIZER(done);
	struct job *job;
	uint64_t n;

	if (read(fd, &n, sizeof(n)) < 0)
		return;
	pthread_mutex_lock(&hasher->mutex);
	STAILQ_CONCAT(&done, &hasher->done);
	STAILQ_FOREACH(job, &done, entry)
	hasher->n--;
	pthread_mutex_unlock(&hasher->mutex);
	while ((job = STAILQ_FIRST(&done))) {
		STAILQ_REMOVE_HEAD(&done, entry);
		job->done(job->userdata, TAKE_PTR(job->hash));
		job_free(job);
	}
}

int password_hasher_new(struct password_hasher **ret, struct event_base *base)
{
	struct password_hasher *hasher = calloc(1, sizeof(*hasher));
	int r;

	if (!hasher)
		return -ENOMEM;
	STAILQ_INIT(&hasher->queue);
	STAILQ_INIT(&hasher->done);
	pthread_mutex_init(&hasher->mutex, NULL);
	pthread_cond_init(&hasher->wanted, NULL);
	hasher->eventfd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	r = hasher->eventfd < 0 ? -errno : thread_start(&hasher->thread, work, hasher);
	if (r < 0) {
		if (hasher->eventfd >= 0)
			close(hasher->eventfd);
		free(hasher);
		return r;
	}
	event_assign(&hasher->finished, base, hasher->eventfd, EV_READ | EV_PERSIST, on_finished,
		     hasher);
	event_add(&hasher->finished, NULL);
	*ret = hasher;
	return 0;
}

static void free_jobs(struct jobs *jobs)
{
	struct job *job;

	while ((job = STAILQ_FIRST(jobs))) {
		STAILQ_REMOVE_HEAD(jobs, entry);
		job_free(job);
	}
}

void password_hasher_free(struct password_hasher *hasher)
{
	if (!hasher)
		return;
	pthread_mutex_lock(&hasher->mutex);
	hasher->stop = true;
	pthread_cond_signal(&hasher->wanted);
	pthread_mutex_unlock(&hasher->mutex);
	pthread_join(hasher->thread, NULL);
	event_del(&hasher->finished);
	close(hasher->eventfd);
	free_jobs(&hasher->queue);
	free_jobs(&hasher->done);
	pthread_cond_destroy(&hasher->wanted);
	pthread_mutex_destroy(&hasher->mutex);
	free(hasher);
}

int password_hash(struct password_hasher *hasher, const char *password,
		  void (*done)(void *userdata, char *hash), void *userdata)
{
	struct job *job = calloc(1, sizeof(*job));
	bool full;

	if (!job)
		return -ENOMEM;
	job->done = done;
	job->userdata = userdata;
	job->password = strdup(password);
	if (!job->password) {
		job_free(job);
		return -ENOMEM;
	}
	pthread_mutex_lock(&hasher->mutex);
	full = hasher->n == QUEUE_MAX;
	if (!full) {
		hasher->n++;
		STAILQ_INSERT_TAIL(&hasher->queue, job, entry);
		pthread_cond_signal(&hasher->wanted);
	}
	pthread_mutex_unlock(&hasher->mutex);
	if (full) {
		job_free(job);
		return -EAGAIN;
	}
	return 0;
}
