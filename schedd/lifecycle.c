/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Decides the next step of an environment's life. Pure: no clock, no state, no log. */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "lib/clock.h"
#include "schedd/confirm.h"
#include "schedd/lifecycle.h"

/* Time is looked at again this often while a deadline is near. */
#define RECHECK_MS 1000

static void reason_set(struct lifecycle_decision *decision, const char *format, ...) _printf_(2, 3);

/* The first reason stays: it is what stands in the way now. */
static void reason_set(struct lifecycle_decision *decision, const char *format, ...)
{
	va_list arguments;

	if (decision->reason[0])
		return;
	va_start(arguments, format);
	(void)vsnprintf(decision->reason, sizeof(decision->reason), format, arguments);
	va_end(arguments);
}

static void start_from_rows(const struct lifecycle_input *input,
			    struct lifecycle_decision *decision)
{
	const struct environment *environment = input->environment;

	*decision = (struct lifecycle_decision){
		.phase = environment->phase,
		.assignment = environment->assignment,
	};
	for (size_t i = 0; i < input->n_ports; i++)
		decision->ports[i] = (struct lifecycle_port){
			.state = input->ports[i]->state,
			.has_target = input->ports[i]->has_target,
			.target = input->ports[i]->target,
		};
}

static bool confirmed_withdrawn(const struct lifecycle_input *input, const struct port *port,
				char reason[REASON_MAX])
{
	return confirm_withdrawn(port, input->gateways, input->n_gateways, reason);
}

/* ---- ports ---- */

/* Takes all ports out of the gateways. True once the container may stop: each gateway has
 * confirmed, or had its time to. */
static bool withdraw_ports(const struct lifecycle_input *input, struct lifecycle_decision *decision)
{
	char reason[REASON_MAX];
	bool done = true;

	for (size_t i = 0; i < input->n_ports; i++) {
		const struct port *port = input->ports[i];
		struct lifecycle_port *next = &decision->ports[i];

		if (port_is_mapped(port)) {
			next->state = PORT_WITHDRAWING;
			reason_set(decision, "withdrawing port %u", port->key.port);
			done = false;
		} else if (port->state == PORT_WITHDRAWING &&
			   !confirmed_withdrawn(input, port, reason)) {
			reason_set(decision, "%s", reason);
			decision->recheck_ms = RECHECK_MS;
			if (input->now - port->since < input->limits->withdraw_timeout_s)
				done = false;
		}
	}
	return done;
}

/* Withdrawn ports that stay with their environment are held for it. */
static void hold_ports(const struct lifecycle_input *input, struct lifecycle_decision *decision)
{
	char reason[REASON_MAX];

	(void)withdraw_ports(input, decision);
	for (size_t i = 0; i < input->n_ports; i++) {
		const struct port *port = input->ports[i];

		if (port->state == PORT_WITHDRAWING && confirmed_withdrawn(input, port, reason))
			decision->ports[i] = (struct lifecycle_port){ .state = PORT_RESERVED };
	}
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

static void publish_port(const struct lifecycle_input *input, const struct port *port,
			 const struct endpoint *target, struct lifecycle_port *next,
			 struct lifecycle_decision *decision)
{
	char reason[REASON_MAX];

	next->has_target = true;
	next->target = *target;
	if (port_is_mapped(port) && endpoint_compare(&port->target, target) == 0) {
		if (port->state == PORT_PUBLISHED)
			return;
		if (confirm_published(port, input->gateways, input->n_gateways, reason))
			next->state = PORT_PUBLISHED;
		else
			reason_set(decision, "%s", reason);
		return;
	}
	/* New, re-pointed, or wanted again before it was gone: gateways take changes in order. */
	next->state = PORT_RESERVED;
	reason_set(decision, "publishing port %u", port->key.port);
}

/* True once every port is published. */
static bool publish_ports(const struct lifecycle_input *input, struct lifecycle_decision *decision)
{
	bool all = true;

	for (size_t i = 0; i < input->n_ports; i++) {
		const struct port *port = input->ports[i];
		const struct service_endpoint *service = endpoint_of(input, port);

		if (!service) {
			reason_set(decision, "%s did not say where service %s can be reached",
				   input->host->name, port->service);
			all = false;
			continue;
		}
		if (service->endpoint.address.family != port->key.address.family) {
			reason_set(
				decision,
				"%s offers service %s at an address of another family than port %u",
				input->host->name, port->service, port->key.port);
			all = false;
			continue;
		}
		publish_port(input, port, &service->endpoint, &decision->ports[i], decision);
		all = all && decision->ports[i].state == PORT_PUBLISHED;
	}
	return all;
}

/* Is something published, and does it still lead to where the container says that it is? */
static bool published_as_reported(const struct lifecycle_input *input)
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

/* ---- the wanted states ---- */

static void offline_reason(const struct lifecycle_input *input, struct lifecycle_decision *decision)
{
	char since[TIME_STRING_MAX];

	reason_set(decision, "host %s has not been heard of since %s", input->host->name,
		   time_format(input->host->status_since, since));
}

/* The host has seen that the assignment is gone, and the container with it. */
static bool container_gone(const struct lifecycle_input *input, struct lifecycle_decision *decision)
{
	const struct lifecycle_host *host = input->host;

	if (!host)
		return true;
	if (!host->online) {
		char since[TIME_STRING_MAX];

		reason_set(decision,
			   "waiting for host %s, offline since %s, to remove the container",
			   host->name, time_format(host->status_since, since));
		return false;
	}
	if (host->reported && host->revision >= input->environment->assignment_revision &&
	    !host->container)
		return true;
	if (host->engine_error)
		reason_set(decision, "waiting for host %s to remove the container: %s", host->name,
			   host->engine_error);
	else
		reason_set(decision, "waiting for host %s to remove the container", host->name);
	return false;
}

static void decide_deleting(const struct lifecycle_input *input,
			    struct lifecycle_decision *decision)
{
	char ignored[REASON_MAX];
	bool off = withdraw_ports(input, decision);

	if (input->environment->assignment != ASSIGNMENT_NONE) {
		if (off || !input->host) {
			decision->assignment = ASSIGNMENT_NONE;
			reason_set(decision, "removing the container");
		}
		return;
	}
	if (!off || !container_gone(input, decision))
		return;
	for (size_t i = 0; i < input->n_ports; i++) {
		const struct port *port = input->ports[i];

		/* One that a gateway may still have stays as it is, without its environment. */
		if (port->state == PORT_RESERVED ||
		    (port->state == PORT_WITHDRAWING && confirmed_withdrawn(input, port, ignored)))
			decision->ports[i] = (struct lifecycle_port){ .state = PORT_QUARANTINED };
	}
	decision->phase = PHASE_DELETED;
	decision->release = true;
	decision->recheck_ms = 0;
	decision->reason[0] = '\0';
}

/* The container that the host reports answers the newest assignment. */
static bool report_is_current(const struct lifecycle_input *input)
{
	return input->host->reported &&
	       input->host->revision >= input->environment->assignment_revision;
}

static void decide_stopped(const struct lifecycle_input *input, struct lifecycle_decision *decision)
{
	const struct lifecycle_host *host = input->host;
	bool off = withdraw_ports(input, decision);

	hold_ports(input, decision);
	if (!host) {
		decision->assignment = ASSIGNMENT_NONE;
		decision->phase = PHASE_STOPPED;
		return;
	}
	if (input->environment->phase == PHASE_STOPPED)
		return;
	decision->phase = PHASE_STOPPING;
	if (!off)
		return;
	decision->assignment = ASSIGNMENT_STOPPED;
	if (input->environment->assignment != ASSIGNMENT_STOPPED)
		return;
	if (!host->online) {
		offline_reason(input, decision);
		return;
	}
	if (report_is_current(input) &&
	    (!host->container || host->container->state == CONTAINER_STOPPED)) {
		decision->phase = PHASE_STOPPED;
		return;
	}
	reason_set(decision, "waiting for host %s to stop the container", host->name);
}

static void not_ready(const struct lifecycle_input *input, struct lifecycle_decision *decision,
		      enum environment_stage stage, const char *fallback)
{
	const struct lifecycle_host *host = input->host;
	const char *reason = host->container ? host->container->reason : NULL;

	if (reason && reason[0])
		reason_set(decision, "%s", reason);
	else if (host->engine_error)
		reason_set(decision, "%s: %s", host->name, host->engine_error);
	else
		reason_set(decision, "%s", fallback);
	hold_ports(input, decision);
	decision->phase = PHASE_CREATING;
	decision->stage = stage;
}

static bool all_published(const struct lifecycle_input *input)
{
	for (size_t i = 0; i < input->n_ports; i++)
		if (input->ports[i]->state != PORT_PUBLISHED)
			return false;
	return true;
}

static void decide_starting(const struct lifecycle_input *input,
			    struct lifecycle_decision *decision)
{
	const char *reason = input->host->container->reason;

	if (!published_as_reported(input) || input->unready_ms >= input->limits->unready_grace_ms) {
		not_ready(input, decision, STAGE_STARTING, "waiting for the services to answer");
		return;
	}
	/* A service that falls silent for a moment keeps its port: the target is still its own. */
	decision->watch_ready = true;
	decision->recheck_ms = input->limits->unready_grace_ms - input->unready_ms;
	decision->phase = all_published(input) ? PHASE_RUNNING : PHASE_CREATING;
	decision->stage = all_published(input) ? STAGE_NONE : STAGE_PUBLISHING;
	reason_set(decision, "%s", reason && reason[0] ? reason : "a service does not answer");
}

static void decide_ready(const struct lifecycle_input *input, struct lifecycle_decision *decision)
{
	if (publish_ports(input, decision)) {
		decision->phase = PHASE_RUNNING;
		return;
	}
	decision->phase = PHASE_CREATING;
	decision->stage = STAGE_PUBLISHING;
}

static void decide_by_container(const struct lifecycle_input *input,
				struct lifecycle_decision *decision)
{
	const struct container_report *container = input->host->container;
	char pulling[REASON_MAX];

	switch (container->state) {
	case CONTAINER_WAITING:
	case CONTAINER_CREATING:
		not_ready(input, decision, STAGE_CREATING, "creating the container");
		break;
	case CONTAINER_PULLING:
		(void)snprintf(pulling, sizeof(pulling), "pulling image %s",
			       input->environment->origin->spec.image);
		not_ready(input, decision, STAGE_PULLING, pulling);
		break;
	case CONTAINER_STARTING:
		decide_starting(input, decision);
		break;
	case CONTAINER_READY:
		decide_ready(input, decision);
		break;
	case CONTAINER_STOPPING:
	case CONTAINER_STOPPED:
	case CONTAINER_REMOVING:
		/* Its host port may be another's at any moment. */
		not_ready(input, decision, STAGE_STARTING, "the container has stopped");
		break;
	case CONTAINER_FAILED:
		not_ready(input, decision, STAGE_NONE, "the host gave up");
		decision->phase = PHASE_FAILED;
		break;
	case CONTAINER_STATE_MAX:
	case CONTAINER_STATE_INVALID:
		break;
	}
}

/* Nothing is known of the container under this assignment: nothing is done to its ports. */
static void decide_unknown(const struct lifecycle_input *input, struct lifecycle_decision *decision)
{
	const struct environment *environment = input->environment;

	decision->phase = environment->phase;
	decision->stage = environment->stage;
	switch (environment->phase) {
	case PHASE_RUNNING:
	case PHASE_FAILED:
		reason_set(decision, "%s", environment->reason);
		return;
	case PHASE_UNREACHABLE:
		reason_set(decision, "waiting for the report of host %s", input->host->name);
		return;
	case PHASE_PENDING:
	case PHASE_CREATING:
	case PHASE_STOPPING:
	case PHASE_STOPPED:
	case PHASE_DELETING:
	case PHASE_DELETED:
	case PHASE_MAX:
	case PHASE_INVALID:
		break;
	}
	if (environment->phase == PHASE_CREATING && environment->assignment == ASSIGNMENT_RUNNING &&
	    !input->host->reported) {
		reason_set(decision, "%s", environment->reason);
		return;
	}
	decision->phase = PHASE_CREATING;
	decision->stage = STAGE_CREATING;
	reason_set(decision, "waiting for host %s to take the assignment", input->host->name);
}

static void decide_running(const struct lifecycle_input *input, struct lifecycle_decision *decision)
{
	const struct environment *environment = input->environment;
	char waiting[REASON_MAX];

	if (!environment->host[0]) {
		decision->phase = PHASE_PENDING;
		decision->place = true;
		hold_ports(input, decision);
		return;
	}
	decision->assignment = ASSIGNMENT_RUNNING;
	if (!input->host)
		return;
	if (!input->host->online) {
		/* A partition is not a death: what is published stays. */
		decision->phase = PHASE_UNREACHABLE;
		offline_reason(input, decision);
		return;
	}
	if (environment->assignment != ASSIGNMENT_RUNNING || !report_is_current(input)) {
		decide_unknown(input, decision);
		return;
	}
	if (input->host->container) {
		decide_by_container(input, decision);
		return;
	}
	(void)snprintf(waiting, sizeof(waiting), "waiting for host %s to create the container",
		       input->host->name);
	not_ready(input, decision, STAGE_CREATING, waiting);
}

void lifecycle_decide(const struct lifecycle_input *input, struct lifecycle_decision *ret)
{
	start_from_rows(input, ret);
	switch (input->environment->phase) {
	case PHASE_DELETED:
		return;
	case PHASE_DELETING:
		decide_deleting(input, ret);
		return;
	case PHASE_PENDING:
	case PHASE_CREATING:
	case PHASE_RUNNING:
	case PHASE_STOPPING:
	case PHASE_STOPPED:
	case PHASE_FAILED:
	case PHASE_UNREACHABLE:
	case PHASE_MAX:
	case PHASE_INVALID:
		break;
	}
	if (input->environment->power)
		decide_running(input, ret);
	else
		decide_stopped(input, ret);
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
