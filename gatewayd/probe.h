/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A probe opens one TCP connection to a target, hears what it says first, and closes it. It sends
 * nothing, and never waits longer than its limits.
 */
#pragma once

#include <event2/event.h>

#include "lib/address.h"

/* Until the connection is open. */
#define PROBE_CONNECT_MS 3000
/* Then until something is said: for those that must speak first, and for the others. */
#define PROBE_GREETING_MS 3000
#define PROBE_PATIENCE_MS 300
#define PROBE_GREETING_MAX 64

struct probe;

struct probe_result {
	int errnum;                        /* 0: connected; -ECONNREFUSED, -ETIMEDOUT, … */
	uint64_t connect_us;               /* how long that took */
	bool closed;                       /* it was closed again without a word */
	char greeting[PROBE_GREETING_MAX]; /* printable, up to the first line's end; "" if none */
};

/* on_done runs exactly once, from the loop, and never before this returns; the probe is gone then.
 * speaks_first: wait long for a greeting. Fails where there is no socket to be had. */
int probe_start(struct probe **ret, struct event_base *base, const struct endpoint *target,
		bool speaks_first,
		void (*on_done)(const struct probe_result *result, void *userdata), void *userdata)
	_must_check_;
/* Gives up without on_done. NULL is fine. */
void probe_cancel(struct probe *probe);
