/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What gateways have confirmed of one port: that they all have it, or that none has it any more.
 * Pure functions over the port's row and the gateways' last reports. */
#pragma once

#include "schedd/lifecycle.h"

/* True where every online gateway that serves the port's address has the mapping in its kernel,
 * and there is one. Else the reason, "waiting for gateway gw1 to publish port 30001". */
bool confirm_published(const struct port *port, const struct lifecycle_gateway *gateways,
		       size_t n_gateways, char reason[REASON_MAX]);

/* True where no gateway can have the mapping any more: each that serves the address, or may still
 * hold it from before its addresses changed, has confirmed, also those that are offline. Else the
 * reason. */
bool confirm_withdrawn(const struct port *port, const struct lifecycle_gateway *gateways,
		       size_t n_gateways, char reason[REASON_MAX]);

/* May this gateway lead the port somewhere? It is to have the mapping, or has not confirmed that it
 * has it no more. */
bool confirm_may_have(const struct port *port, const struct lifecycle_gateway *gateway);
