/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the local API answers about the gateway as a whole, as JSON. It changes nothing. */
#pragma once

#include <jansson.h>

#include "gatewayd/accounting.h"
#include "gatewayd/inspector.h"
#include "gatewayd/public_addresses.h"
#include "gatewayd/reconcile.h"
#include "gatewayd/upstream.h"

struct status_view {
	const char *name;
	const struct public_addresses *addresses;
	struct inspector *inspector;
	const struct shape *shape;
	const struct reconciler *reconciler;
	const struct accounting *accounting;
	const struct upstream *upstream; /* NULL: standalone */
};

/* The body of GET /v1/status. NULL: out of memory. */
json_t *encode_status(const struct status_view *view);
