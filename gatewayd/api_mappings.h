/* SPDX-License-Identifier: GPL-2.0-or-later */
/* GET /v1/mappings: all that are desired, with their counters, written piece by piece. */
#pragma once

#include "gatewayd/accounting.h"
#include "gatewayd/ledger.h"
#include "lib/http_server.h"

struct mapping_view {
	const struct ledger *ledger;
	const struct flow_table *flows;
	uint64_t revision;
};

/* Answers {"items":[…],"revision":N} in the order of their keys; ?port= and ?environment= choose.
 * Which mappings there are is settled when it begins, and the revision is of that moment. Each is
 * written as it is when its turn comes; one that is gone by then is left out. */
void api_mappings(struct http_request *request, const struct mapping_view *view);
