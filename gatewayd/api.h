/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The local API: HTTP over the Unix socket, and metrics and health over TCP as well. It decodes,
 * asks the reconciler, and answers when the kernel has committed. docs/gatewayd.md describes it.
 */
#pragma once

#include <event2/event.h>

#include "gatewayd/accounting.h"
#include "gatewayd/admit.h"
#include "gatewayd/guard.h"
#include "gatewayd/inspector.h"
#include "gatewayd/public_addresses.h"
#include "gatewayd/reconcile.h"
#include "gatewayd/upstream.h"
#include "gatewayd/why.h"
#include "lib/error.h"
#include "lib/metrics.h"

struct api;

struct api_config {
	const char *name;   /* borrowed */
	const char *socket; /* borrowed */
	bool metrics;       /* listen on metrics_listen */
	struct endpoint metrics_listen;
	const struct public_addresses *addresses; /* borrowed */
	struct inspector *inspector;
	struct why *why;
	struct shape shape;
	struct reconciler *reconciler;
	struct guard *guard;
	struct accounting *accounting;
	struct upstream *upstream; /* NULL: standalone; else mappings are not written here */
	const char *mapping_file;  /* borrowed; NULL: none; else the same */
	struct metrics *registry;
};

int api_new(struct api **ret, struct event_base *base, const struct api_config *config,
	    struct error *err) _must_check_;
/* Requests that wait for the kernel must have been answered: free the reconciler first. */
void api_free(struct api *api);

DEFINE_CLEANUP(struct api *, api_free, cleanup_api)
