/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The gateway: makes all modules of the daemon, connects them, and takes them apart again in the
 * order that their callbacks need. It decides nothing.
 */
#pragma once

#include <event2/event.h>

#include "gatewayd/options.h"
#include "lib/error.h"

struct gateway;

/* Opens kernel, local API and, where a server is configured, the stream of schedd. options and
 * settings are borrowed for the lifetime. */
int gateway_new(struct gateway **ret, struct event_base *base, const struct options *options,
		const struct settings *settings, struct error *err) _must_check_;
void gateway_free(struct gateway *gateway); /* NULL is fine */

/* --check: prints what it finds to stdout. True where nothing is an error or a warning. */
bool gateway_check(const struct options *options, const struct settings *settings);

DEFINE_CLEANUP(struct gateway *, gateway_free, cleanup_gateway)
