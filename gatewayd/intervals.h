/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The elements of a set of intervals, as the kernel hands them out in no order that it promises,
 * put together to intervals again: each first value with the end that follows it.
 */
#pragma once

#include "gatewayd/element.h"

struct intervals {
	struct element *starts; /* owned */
	size_t n_starts, starts_allocated;
	struct member_key *ends; /* owned; the first value behind an interval */
	size_t n_ends, ends_allocated;
};

#define INTERVALS_INIT ((struct intervals){ 0 })

void intervals_clear(struct intervals *intervals);

/* Takes one element as it was read. -ENOMEM. */
int intervals_add(struct intervals *intervals, const struct element *element) _must_check_;

/* Calls back for each interval, whose key now goes to its last value; its error ends it. The
 * intervals are empty afterwards. An end that belongs to none is left out. */
int intervals_take(struct intervals *intervals,
		   int (*on_interval)(const struct element *element, void *userdata),
		   void *userdata) _must_check_;
