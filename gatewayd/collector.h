/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The collector lists the kernel's translated connections again and again, a part in each turn of
 * the event loop. How often depends on what it costs: often where there are few, and never more
 * than a few seconds apart. It hands the entries on and keeps none.
 */
#pragma once

#include <event2/event.h>

#include "gatewayd/ctnetlink.h"
#include "lib/error.h"

struct collector;

struct collector_hooks {
	void (*on_begin)(void *userdata);
	/* A part has been read; its entries follow. */
	void (*on_part)(void *userdata);
	void (*on_entry)(const struct ct_entry *entry, void *userdata);
	/* complete is false where the listing was given up. */
	void (*on_end)(bool complete, void *userdata);
	void *userdata;
};

struct collector_stats {
	uint64_t rounds, failures;
	double cpu_seconds;   /* of all rounds */
	uint64_t interval_ms; /* from round to round, now */
	uint64_t fresh_ms;    /* when the last complete round began, monotonic; 0: none yet */
};

int collector_new(struct collector **ret, struct event_base *base,
		  const struct collector_hooks *hooks) _must_check_;
void collector_free(struct collector *collector); /* NULL is fine */

/* The first round, in a moment: whoever waits for the daemon to be ready is answered before. */
void collector_start(struct collector *collector);
/* A whole round as soon as possible; what runs already does not count. */
void collector_hurry(struct collector *collector);

const struct collector_stats *collector_stats(const struct collector *collector);

DEFINE_CLEANUP(struct collector *, collector_free, cleanup_collector)
