/* SPDX-License-Identifier: GPL-2.0-or-later */
/* GET /v1/mappings/ADDRESS/PROTOCOL/PORT:why: reads the path and the query, and answers when the
 * walk has come to its end.
 */
#pragma once

#include "gatewayd/why.h"
#include "lib/http_server.h"

/* The handler of a route with {address}, {protocol} and {port}; answers by itself. */
void api_why(struct http_request *request, struct why *why);
