/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The local API's sessions: listed and ended over HTTP. */
#pragma once

#include "gatewayd/accounting.h"
#include "lib/http_server.h"

/* Adds the routes; accounting is borrowed for the server's lifetime. */
int api_sessions_serve(struct http_server *server, struct accounting *accounting) _must_check_;
