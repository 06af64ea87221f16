/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Mappings in and out of the gateways: ready before published, withdrawn before stopped. Pure. */
#include <stdio.h>
#include <string.h>

#include "schedd/confirm.h"
#include "schedd/lifecycle_private.h"

static bool confirmed_withdrawn(const struct lifecycle_input *input, const struct port *port,
				char reason[REASON_MAX])
{
	return confirm_withdrawn(port, input->gateways, input->n_gateways, reason);
}

/* One port on its way out; rest is what it becomes once it is. False while the container must not
 * stop because of it. */
static bool withdraw(const struct lifecycle_input *input, size_t i, enum port_state rest,
		     struct lifecycle_decision *decision)
{
	const struct port *port = input->ports[i];
	struct lifecycle_port *next = &decision->ports[i];
	char reason[REASON_MAX];

	if (port_is_mapped(port)) {
		next->state = PORT_WITHDRAWING;
		lifecycle_because(decision, "withdrawing port %u", port->key.port);
		return false;
	}
	if (port->state != PORT_WITHDRAWING || confirmed_withdrawn(input, port, reason)) {
		*next = (struct lifecycle_port){ .state = rest };
		return true;
	}
	lifecycle_because(decision, "%s", reason);
	lifecycle_recheck(decision, LIFECYCLE_RECHECK_MS);
	return input->withdrawing_ms[i] >= (uint64_t)input->limits->withdraw_timeout_s * 1000;
}

static bool withdraw_all(const struct lifecycle_input *input, enum port_state rest,
			 struct lifecycle_decision *decision)
{
	bool done = true;

	for (size_t i = 0; i < input->n_ports; i++)
		done = withdraw(input, i, rest, decision) && done;
	return done;
}

bool lifecycle_withdraw(const struct lifecycle_input *input, struct lifecycle_decision *decision)
{
	return withdraw_all(input, PORT_RESERVED, decision);
}

bool lifecycle_give_up(const struct lifecycle_input *input, struct lifecycle_decision *decision)
{
	return withdraw_all(input, PORT_QUARANTINED, decision);
}

static const struct service_endpoint *endpoint_of(const struct lifecycle_input *input,
						  const struct port *port)
{
	const struct container_report *container = input->host->container;

	for (size_t i = 0; i < container->n_services; i++)
		if (strcmp(container->services[i].service, port->service) == 0 &&
		    container->services[i].protocol == port->key.protocol)
			return &container->services[i];
	return NULL;
}

static void publish(const struct lifecycle_input *input, const struct port *port,
		    const struct endpoint *target, struct lifecycle_port *next,
		    struct lifecycle_decision *decision)
{
	char reason[REASON_MAX];

	next->has_target = true;
	next->target = *target;
	next->expires_at = input->environment->expires_at;
	if (port_is_mapped(port) && endpoint_compare(&port->target, target) == 0) {
		if (port->state == PORT_PUBLISHED)
			return;
		if (confirm_published(port, input->gateways, input->n_gateways, reason))
			next->state = PORT_PUBLISHED;
		else
			lifecycle_because(decision, "%s", reason);
		return;
	}
	/* New, re-pointed, or wanted again before it was gone: gateways take changes in order. */
	next->state = PORT_RESERVED;
	lifecycle_because(decision, "publishing port %u", port->key.port);
}

bool lifecycle_publish(const struct lifecycle_input *input, struct lifecycle_decision *decision)
{
	bool all = true;

	for (size_t i = 0; i < input->n_ports; i++) {
		const struct port *port = input->ports[i];
		const struct service_endpoint *service = endpoint_of(input, port);

		if (!service) {
			lifecycle_because(decision,
					  "%s did not say where service %s can be reached",
					  input->host->name, port->service);
			all = false;
			continue;
		}
		if (service->endpoint.address.family != port->key.address.family) {
			lifecycle_because(
				decision,
				"%s offers service %s at an address of another family than port %u",
				input->host->name, port->service, port->key.port);
			all = false;
			continue;
		}
		publish(input, port, &service->endpoint, &decision->ports[i], decision);
		all = all && decision->ports[i].state == PORT_PUBLISHED;
	}
	return all;
}

bool lifecycle_is_published(const struct lifecycle_input *input)
{
	bool any = false;

	for (size_t i = 0; i < input->n_ports; i++) {
		const struct port *port = input->ports[i];
		const struct service_endpoint *service;

		if (!port_is_mapped(port))
			continue;
		service = endpoint_of(input, port);
		if (!service || endpoint_compare(&service->endpoint, &port->target) != 0)
			return false;
		any = true;
	}
	return any;
}

bool lifecycle_all_published(const struct lifecycle_input *input)
{
	for (size_t i = 0; i < input->n_ports; i++)
		if (input->ports[i]->state != PORT_PUBLISHED)
			return false;
	return true;
}

enum port_fate lifecycle_orphan(const struct port *port, const struct lifecycle_gateway *gateways,
				size_t n_gateways, int64_t now)
{
	char reason[REASON_MAX];

	switch (port->state) {
	case PORT_QUARANTINED:
		return now >= port->quarantined_until ? PORT_FREE : PORT_STAYS;
	case PORT_WITHDRAWING:
		return confirm_withdrawn(port, gateways, n_gateways, reason) ? PORT_RESTS
									     : PORT_STAYS;
	case PORT_RESERVED:
	case PORT_PUBLISHED:
	case PORT_STATE_MAX:
	case PORT_STATE_INVALID:
		break;
	}
	return PORT_STAYS;
}
