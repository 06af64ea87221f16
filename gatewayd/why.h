/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Why a port works or does not: walks the way of a packet from the public address to the host's
 * service, step by step, and names the first hop that is broken. It looks, opens one connection to
 * the target, and changes nothing.
 *
 * Steps are made by checks, each a function that adds what it knows to the report; why_checks.c has
 * their order. A further check is one line there.
 */
#pragma once

#include <event2/event.h>
#include <jansson.h>

#include "gatewayd/bans.h"
#include "gatewayd/findings.h"
#include "gatewayd/flow_table.h"
#include "gatewayd/probe.h"
#include "gatewayd/upstream.h"

#define WHY_STEPS_MAX 32
/* Walks at one time; each may have a connection to a host. */
#define WHY_WALKS_MAX 16

enum why_verdict {
	WHY_OK,
	WHY_FAIL,
	WHY_WARN,
	WHY_UNKNOWN, /* it cannot be seen from here */
	WHY_VERDICT_MAX,
};

struct why_step {
	const char *name; /* static */
	enum why_verdict verdict;
	char message[240];
	char remedy[240]; /* "" where there is nothing to do */
};

struct why_report {
	struct why_step steps[WHY_STEPS_MAX];
	size_t n;
};

/* What checks may look at; all borrowed. */
struct why_view {
	struct findings_view machine;
	const struct upstream *upstream; /* NULL: standalone */
	const struct flow_table *flows;  /* NULL: connections are not known */
	const struct bans *bans;         /* NULL: there are none */
};

/* What a walk is about, and what has been found out on it. */
struct why_subject {
	const struct why_view *view;
	struct mapping_key key;
	struct address source;     /* AF_UNSPEC: any client */
	const struct entry *entry; /* NULL: there is no such mapping */
	bool probed;
	struct probe_result probe; /* where probed */
	struct route route;        /* to the target */
};

/* Adds a step; NULL where there is no more room, which why_remedy accepts. */
struct why_step *why_add(struct why_report *report, const char *name, enum why_verdict verdict,
			 const char *format, ...) _printf_(4, 5);
void why_remedy(struct why_step *step, const char *format, ...) _printf_(2, 3);

/* The checks, in the order of the way. */
void why_run_checks(struct why_subject *subject, struct why_report *report);

/* Whether the target's service has to speak first: ssh. */
bool why_speaks_first(const struct entry *entry);

struct why;

int why_new(struct why **ret, struct event_base *base, const struct why_view *view) _must_check_;
/* Walks on their way are ended with -ECANCELED. NULL is fine. */
void why_free(struct why *why);

/* Walks. on_done runs exactly once, perhaps before this returns: with the answer's JSON, which it
 * takes over, or NULL and an error: -EAGAIN "busy" over WHY_WALKS_MAX. source AF_UNSPEC: any. */
void why_walk(struct why *why, const struct mapping_key *key, const struct address *source,
	      void (*on_done)(json_t *answer, const struct error *err, void *userdata),
	      void *userdata);

DEFINE_CLEANUP(struct why *, why_free, cleanup_why)
