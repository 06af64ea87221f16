/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The local API's routes for bans: listing, adding, replacing and removing banned sources. */
#pragma once

#include "gatewayd/reconcile.h"
#include "lib/http_server.h"

/* Adds the routes to the server; the reconciler is their userdata. */
int api_bans_routes(struct http_server *server, struct reconciler *reconciler) _must_check_;
