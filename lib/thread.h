/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Threads beside the event loop. */
#pragma once

#include <pthread.h>

#include "lib/util.h"

/* Starts a thread that takes no signals: these are the loop's. To be joined. -errno, see
 * pthread_create(3). */
int thread_start(pthread_t *ret, void *(*run)(void *userdata), void *userdata) _must_check_;
