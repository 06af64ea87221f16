/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Passwords of environments: made at random, and hashed for /etc/shadow outside the event loop,
 * since a good hash is slow on purpose. */
#pragma once

#include <event2/event.h>

#include "lib/util.h"

#define PASSWORD_LENGTH 20 /* 5 bits each */

struct password_hasher;

/* Starts the thread. -ENOMEM, or pthread_create's error. */
int password_hasher_new(struct password_hasher **ret, struct event_base *base) _must_check_;
/* Waits for the thread to end; done is called for nothing that is still queued. NULL is fine. */
void password_hasher_free(struct password_hasher *hasher);

/* Hashes a copy of password with yescrypt (crypt(5)). done runs once, from the event loop; hash is
 * its to free, and NULL where hashing failed. -ENOMEM; -EAGAIN where too many are waiting. */
int password_hash(struct password_hasher *hasher, const char *password,
		  void (*done)(void *userdata, char *hash), void *userdata) _must_check_;

DEFINE_CLEANUP(struct password_hasher *, password_hasher_free, cleanup_password_hasher)
