/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A thread inherits the signals that are blocked where it is made. */
#include "lib/thread.h"

#include <signal.h>

int thread_start(pthread_t *ret, void *(*run)(void *userdata), void *userdata)
{
	sigset_t all, before;
	int r;

	(void)sigfillset(&all);
	r = pthread_sigmask(SIG_SETMASK, &all, &before);
	if (r != 0)
		return -r;
	r = pthread_create(ret, NULL, run, userdata);
	(void)pthread_sigmask(SIG_SETMASK, &before, NULL);
	return -r;
}
