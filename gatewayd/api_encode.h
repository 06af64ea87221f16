/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the local API answers, as JSON. It changes nothing. */
#pragma once

#include <jansson.h>

#include "gatewayd/accounting.h"
#include "gatewayd/inspector.h"
#include "gatewayd/public_addresses.h"
#include "gatewayd/reconcile.h"
#include "gatewayd/upstream.h"

struct mapping_filter {
	uint16_t port;           /* 0: any */
	const char *environment; /* NULL: any */
};

struct mapping_view {
	const struct ledger *ledger;
	const struct flow_table *flows;
	uint64_t revision;
};

/* {"items":[…],"revision":N}: the desired mappings with their counters, in order. NULL: out of
 * memory. */
json_t *encode_mappings(const struct mapping_view *view, const struct mapping_filter *filter);

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
