/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The daemon: makes all modules, connects them, and takes them apart again in the order that their
 * callbacks need. It decides nothing.
 */
#pragma once

#include "lib/error.h"
#include "lib/loop.h"
#include "schedd/options.h"

struct daemon;

/* options and settings are borrowed for the lifetime; settings->pool is taken over. */
int daemon_new(struct daemon **ret, struct loop *loop, const struct options *options,
	       struct settings *settings, struct error *err) _must_check_;
void daemon_free(struct daemon *daemon); /* NULL is fine */

/* It ended because it could not go on. */
bool daemon_failed(const struct daemon *daemon);

/* --check: prints what it finds to stdout. True where nothing is an error. */
bool daemon_check(const struct options *options, const struct settings *settings);

DEFINE_CLEANUP(struct daemon *, daemon_free, cleanup_daemon)
