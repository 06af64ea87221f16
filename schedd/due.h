/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Environments that want to be looked at by a time: a heap, the earliest on top, so that what is
 * due costs no look at what is not. Each knows its place in it (due_index), and its time
 * (recheck_ms). */
#pragma once

#include "lib/util.h"

struct environment_entry;

struct due {
	struct environment_entry **items;
	size_t n, capacity;
};

/* Room for so many, so that due_set cannot fail for want of it. -ENOMEM. */
int due_reserve(struct due *due, size_t n) _must_check_;
/* Another time, or with 0 none. */
void due_set(struct due *due, struct environment_entry *environment, uint64_t ms);
/* The earliest time; 0: there is none. */
uint64_t due_first_ms(const struct due *due);
/* Takes out one whose time has come by now; NULL: there is none. */
struct environment_entry *due_take(struct due *due, uint64_t now_ms);
void due_clear(struct due *due);
