/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Whether what the lifecycle was asked, and what it has decided, is a row of the table of
 * transitions. For environments of one service, and one gateway. */
#pragma once

#include "tests/unit/schedd/transitions.h"

static enum host_kind host_kind_of(const struct lifecycle_input *input)
{
	const struct lifecycle_host *host = input->host;

	if (!host)
		return NO_HOST;
	if (!host->online)
		return host->lease_left_ms == 0 ? LOST : OFFLINE;
	if (!host->reported)
		return SILENT;
	return host->revision >= input->environment->assignment_revision ? CURRENT : STALE;
}

static bool confirmed(const struct lifecycle_input *input)
{
	const struct lifecycle_gateway *gateway = &input->gateways[0];

	return gateway->reported && gateway->applied >= input->ports[0]->mapping_revision;
}

/* Nothing leads to it in both cases. */
static enum port_kind port_kind_of(const struct lifecycle_input *input)
{
	const struct port *port = input->ports[0];

	switch (port->state) {
	case PORT_RESERVED:
		return port->has_target ? MAPPED : HELD;
	case PORT_PUBLISHED:
		return PUBLISHED;
	case PORT_WITHDRAWING:
		if (confirmed(input))
			return HELD;
		return input->withdrawing_ms[0] >=
				       (uint64_t)input->limits->withdraw_timeout_s * 1000
			       ? OVERDUE
			       : WITHDRAWING;
	case PORT_QUARANTINED:
	case PORT_STATE_MAX:
	case PORT_STATE_INVALID:
		break;
	}
	return HELD;
}

static enum deadline deadline_of(const struct lifecycle_input *input)
{
	int64_t at = input->environment->expires_at;

	if (at == 0)
		return NEVER;
	if (at <= input->now)
		return PASSED;
	return at - input->now <= input->limits->expiry_warning_s ? NEAR : FAR;
}

static bool same_rows(const struct situation *is, const struct lifecycle_input *input)
{
	const struct environment *row = input->environment;
	const struct environment_spec *spec = &row->origin->spec;

	return is->phase == row->phase && is->off == !row->power && is->action == row->action &&
	       is->assignment == row->assignment &&
	       is->local == !environment_spec_is_movable(spec) &&
	       is->delete_at_deadline == (spec->on_expiry == EXPIRY_DELETE) &&
	       is->deadline == deadline_of(input) && is->no_room == (input->no_room != NULL);
}

/* The report of a host that is away, or of another time, says nothing. */
static bool same_container(const struct situation *is, const struct lifecycle_input *input)
{
	const struct container_report *container = input->host ? input->host->container : NULL;

	if (is->host != CURRENT)
		return true;
	if (!container || is->container == NO_CONTAINER)
		return !container && is->container == NO_CONTAINER;
	return is->container == container->state &&
	       (is->exit_code > 0) == (container->exit_code > 0) &&
	       (is->crashes >= CRASH_LOOP_ENDS) == (container->crashes >= CRASH_LOOP_ENDS) &&
	       is->unready == (input->unready_ms >= input->limits->unready_grace_ms);
}

static bool is_elsewhere(const struct lifecycle_input *input)
{
	const struct container_report *container = input->host ? input->host->container : NULL;

	return container && container->n_services > 0 && input->ports[0]->has_target &&
	       endpoint_compare(&container->services[0].endpoint, &input->ports[0]->target) != 0;
}

static bool same_world(const struct situation *is, const struct lifecycle_input *input)
{
	enum port_kind port = is->port == WITHDRAWN ? HELD : is->port;

	return is->host == host_kind_of(input) && (!input->host || is->mode == input->host->mode) &&
	       port == port_kind_of(input) && is->elsewhere == is_elsewhere(input);
}

static bool same_outcome(const struct outcome *then, const struct lifecycle_decision *decision)
{
	return then->phase == decision->phase && then->stage == decision->stage &&
	       then->assignment == decision->assignment && then->action == decision->action &&
	       then->off == !decision->power && then->release == decision->release &&
	       then->place == decision->place && then->port == decision->ports[0].state;
}

static bool is_transition(const struct situation *is, const struct outcome *then,
			  const struct lifecycle_input *input,
			  const struct lifecycle_decision *decision)
{
	return same_rows(is, input) && same_container(is, input) && same_world(is, input) &&
	       same_outcome(then, decision);
}
