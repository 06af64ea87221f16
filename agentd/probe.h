/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Asks one service, again and again, whether it answers: a TCP connection, and for SSH the first
 * bytes of its banner. Quick at first, slow once it answers. It never blocks and never sends a
 * byte.
 */
#pragma once

#include <event2/event.h>

#include "lib/address.h"
#include "lib/util.h"

enum probe_kind {
	PROBE_CONNECT, /* the connection is accepted */
	PROBE_SSH,     /* and the peer says "SSH-2.0-" (or 1.99) */
};

struct probe;

/* Failed tries in a row after which a service that answered does not any more: one lost try, or a
 * full backlog, is no failure. */
#define PROBE_TOLERANCE 3

/* on_change runs when the answer changes, from the loop; reason is a sentence, "" where it answers.
 */
int probe_new(struct probe **ret, struct event_base *base, const struct endpoint *endpoint,
	      enum probe_kind kind,
	      void (*on_change)(void *userdata, bool answers, const char *reason), void *userdata)
	_must_check_;
void probe_free(struct probe *probe); /* NULL is fine */

bool probe_answers(const struct probe *probe);
/* Why it does not; "" before the first try and while it does. */
const char *probe_reason(const struct probe *probe);

/* Whether these first bytes begin an SSH identification: 1 yes, 0 not yet, -1 no. */
int probe_ssh_banner(const char *data, size_t length);

DEFINE_CLEANUP(struct probe *, probe_free, cleanup_probe)
