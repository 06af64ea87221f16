/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The local API's view of what is busy now: mappings by the rate of their bytes or connections. */
#pragma once

#include "gatewayd/accounting.h"
#include "gatewayd/ledger.h"
#include "lib/http_server.h"

struct top_view {
	const struct accounting *accounting;
	const struct ledger *ledger;
};

/* Adds the route; view and what it points to are borrowed for the server's lifetime. */
int api_top_serve(struct http_server *server, struct top_view *view) _must_check_;
