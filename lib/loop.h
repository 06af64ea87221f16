/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The event loop of a daemon: libevent set up once, ended by SIGTERM or SIGINT, reported to
 * systemd. Modules use libevent's own types; a struct event lives inside the object it serves.
 */
#pragma once

#include <event2/event.h>
#include <event2/event_struct.h>

#include "lib/error.h"
#include "lib/util.h"

/* Two priorities: 0 is served first; 1 (the default) is for the rest. */
#define LOOP_PRIORITY_HIGH 0
#define LOOP_PRIORITY_NORMAL 1

struct loop;

/* Makes the loop, ignores SIGPIPE, takes SIGTERM and SIGINT as the end of loop_run, and starts
 * systemd's watchdog timer where the unit asks for one. -ENOMEM or -errno. */
int loop_new(struct loop **ret) _must_check_;
/* To be called when all that had events in the loop has been freed. NULL is fine. */
void loop_free(struct loop *loop);
struct event_base *loop_base(struct loop *loop);

/* Runs until a signal or loop_stop. 0, or -EIO where libevent fails. Tells systemd READY=1 is
 * not its duty: see loop_ready. */
int loop_run(struct loop *loop) _must_check_;
void loop_stop(struct loop *loop);

/* sd_notify(3): READY=1 and STATUS=text; nothing without systemd. */
void loop_ready(const char *status);
void loop_status(const char *status);

/* systemd's file descriptor store: what is put there outlives this process, however it ends, and
 * comes back with the next start. loop_store_fd does nothing without systemd; loop_stored_fd is the
 * descriptor of that name, close-on-exec, or -1. */
void loop_store_fd(const char *name, int fd);
int loop_stored_fd(const char *name);

/* Timers in milliseconds: arms an event that was made with evtimer_assign. */
int loop_timer_arm(struct event *timer, uint64_t ms);

DEFINE_CLEANUP(struct loop *, loop_free, cleanup_loop)
