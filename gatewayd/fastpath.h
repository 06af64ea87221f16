/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Whether the fast path is to be used: by the option, and by what the kernel can. */
#pragma once

#include <pthread.h>

#include "lib/error.h"

enum fastpath_mode {
	FASTPATH_AUTO, /* where the kernel can */
	FASTPATH_ON,
	FASTPATH_OFF,
	FASTPATH_MODE_MAX,
	FASTPATH_MODE_INVALID = -1,
};

/* "auto", "on", "off"; FASTPATH_MODE_INVALID for any other. */
enum fastpath_mode fastpath_mode_parse(const char *name);

/* Asks the kernel to check a flowtable and the rule that uses it, and to keep nothing of it. 0,
 * -EOPNOTSUPP with a sentence where it cannot; other errors where it does not answer. It takes the
 * kernel 10 ms to forget what it has checked. */
int fastpath_probe(struct error *err) _must_check_;

struct fastpath_choice {
	bool used;
	bool no_flowtable; /* the kernel was asked, and has none */
};

/* A question on its way, by a thread of its own. */
struct fastpath_question {
	enum fastpath_mode mode;
	pthread_t thread;
	bool asked; /* the thread is to be waited for */
	int answer;
	struct error reason;
};

/* Asks, unless the mode says all, beside what the caller does until fastpath_choose or
 * fastpath_forget, one of which has to follow. */
void fastpath_ask(struct fastpath_question *ret, enum fastpath_mode mode);
/* Waits for the answer. An error only where the fast path is demanded and cannot be. */
int fastpath_choose(struct fastpath_question *question, struct fastpath_choice *ret,
		    struct error *err) _must_check_;
/* Also of one that was never asked, all zero, or has been answered. */
void fastpath_forget(struct fastpath_question *question);
