/* SPDX-License-Identifier: GPL-2.0-or-later */
/* How much one caller, and all of them, may ask at a time: a rate, requests that wait for their
 * answer, and watches. A caller is known by a key, its token's id or its address. It knows neither
 * HTTP nor time.
 */
#pragma once

#include "lib/util.h"

#define LIMITS_KEY_MAX 64

struct limits_config {
	unsigned rate;     /* requests a second of one caller; 0: no limit. Twice as many at once */
	unsigned requests; /* of one caller at a time */
	unsigned watches;  /* of one caller */
	unsigned all_requests, all_watches;
};

struct limits;
struct limits_caller;

int limits_new(struct limits **ret, const struct limits_config *config) _must_check_;
/* Every request must have been given back. NULL is fine. */
void limits_free(struct limits *limits);

/* Takes a request of this caller, at this time in microseconds. 0; -ENOMEM; -EAGAIN over a limit,
 * whose option's name is *ret_limit, and *ret_wait_ms says when to ask again. exempt: for a caller
 * that only the limits of all hold. */
int limits_take(struct limits *limits, const char *key, bool exempt, uint64_t now_us,
		struct limits_caller **ret, const char **ret_limit, uint64_t *ret_wait_ms)
	_must_check_;
/* The request that was taken becomes a watch. The same errors. */
int limits_take_watch(struct limits *limits, struct limits_caller *caller, const char **ret_limit,
		      uint64_t *ret_wait_ms) _must_check_;
/* Gives it back: answered, or the watch has ended. */
void limits_give(struct limits *limits, struct limits_caller *caller, bool watch);

unsigned limits_requests(const struct limits *limits); /* that wait for their answer */

DEFINE_CLEANUP(struct limits *, limits_free, cleanup_limits)
