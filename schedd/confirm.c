/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What gateways have confirmed of one port. */
#include <stdio.h>
#include <string.h>

#include "lib/clock.h"
#include "schedd/confirm.h"

static const struct mapping_failure *failure_of(const struct lifecycle_gateway *gateway,
						const struct port *port)
{
	for (size_t i = 0; i < gateway->n_failed; i++)
		if (mapping_key_compare(&gateway->failed[i].key, &port->key) == 0)
			return &gateway->failed[i];
	return NULL;
}

static bool has_applied(const struct lifecycle_gateway *gateway, uint64_t revision)
{
	return gateway->reported && gateway->applied >= revision;
}

static void explain(const struct lifecycle_gateway *gateway, const struct port *port,
		    const char *verb, char reason[REASON_MAX])
{
	const struct mapping_failure *failure = failure_of(gateway, port);
	char since[TIME_STRING_MAX];

	if (!gateway->row->online)
		(void)snprintf(reason, REASON_MAX,
			       "waiting for gateway %s, offline since %s, to %s port %u",
			       gateway->name, time_format(gateway->row->status_since, since), verb,
			       port->key.port);
	else if (failure && has_applied(gateway, port->mapping_revision))
		(void)snprintf(reason, REASON_MAX, "gateway %s could not %s port %u: %s",
			       gateway->name, verb, port->key.port, failure->reason);
	else
		(void)snprintf(reason, REASON_MAX, "waiting for gateway %s to %s port %u",
			       gateway->name, verb, port->key.port);
}

static bool confirms(const struct lifecycle_gateway *gateway, const struct port *port)
{
	return has_applied(gateway, port->mapping_revision) && !failure_of(gateway, port);
}

bool confirm_published(const struct port *port, const struct lifecycle_gateway *gateways,
		       size_t n_gateways, char reason[REASON_MAX])
{
	const struct lifecycle_gateway *offline = NULL;
	char address[ADDRESS_STRING_MAX];
	bool one = false;

	for (size_t i = 0; i < n_gateways; i++) {
		const struct lifecycle_gateway *gateway = &gateways[i];

		if (!gateway_serves(gateway->row, &port->key.address))
			continue;
		if (!gateway->row->online) {
			offline = gateway;
			continue;
		}
		if (!confirms(gateway, port)) {
			explain(gateway, port, "publish", reason);
			return false;
		}
		one = true;
	}
	if (one)
		return true;
	if (offline)
		explain(offline, port, "publish", reason);
	else
		(void)snprintf(reason, REASON_MAX,
			       "waiting for a gateway: none has registered address %s",
			       address_format(&port->key.address, address));
	return false;
}

/* It serves the address, or may still hold what it had before its addresses changed. */
static bool may_serve(const struct lifecycle_gateway *gateway, const struct port *port)
{
	return gateway_serves(gateway->row, &port->key.address) ||
	       !has_applied(gateway, gateway->row->addresses_revision);
}

bool confirm_withdrawn(const struct port *port, const struct lifecycle_gateway *gateways,
		       size_t n_gateways, char reason[REASON_MAX])
{
	for (size_t i = 0; i < n_gateways; i++) {
		if (!may_serve(&gateways[i], port) || confirms(&gateways[i], port))
			continue;
		explain(&gateways[i], port, "withdraw", reason);
		return false;
	}
	return true;
}

bool confirm_may_have(const struct port *port, const struct lifecycle_gateway *gateway)
{
	if (!may_serve(gateway, port))
		return false;
	return port_is_mapped(port) ||
	       (port->state == PORT_WITHDRAWING && !confirms(gateway, port));
}
