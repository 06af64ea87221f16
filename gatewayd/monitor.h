/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The monitor hears of changes to our table that we did not make, on a socket of its own. It only
 * says so: what is true is read from the kernel by others.
 */
#pragma once

#include <event2/event.h>

#include "lib/error.h"
#include "lib/util.h"

struct monitor;

/* on_change runs for each foreign change of our table, and when events were lost. who is "NAME (pid
 * N)", or why it cannot be said. */
int monitor_new(struct monitor **ret, struct event_base *base,
		void (*on_change)(const char *who, void *userdata), void *userdata) _must_check_;
void monitor_free(struct monitor *monitor); /* NULL is fine */

/* Whether it hears anything, as it does from the beginning. */
void monitor_listen(struct monitor *monitor, bool listen);

/* Commits of this port id are ours: the kernel does not even queue them for us. */
void monitor_ignore(struct monitor *monitor, uint32_t port_id);

DEFINE_CLEANUP(struct monitor *, monitor_free, cleanup_monitor)
