/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A probe for each TCP service. */
#include "agentd/health.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "agentd/probe.h"

#define SSH_SERVICE "ssh"

struct watched_service {
	char *name;
	enum protocol protocol;
	struct endpoint endpoint; /* port 0: not published */
	struct probe *probe;      /* NULL: nothing to ask */
};

struct health {
	char *instance, *started;
	struct watched_service *services;
	size_t n_services;
	void (*on_change)(void *userdata);
	void *userdata;
};

const struct instance_port *instance_find_port(const struct instance *instance,
					       const struct service *service)
{
	for (size_t i = 0; i < instance->n_ports; i++)
		if (instance->ports[i].port == service->port &&
		    instance->ports[i].protocol == service->protocol)
			return &instance->ports[i];
	return NULL;
}

static void on_probe(void *userdata, bool answers, const char *reason)
{
	struct health *health = userdata;

	health->on_change(health->userdata);
}

static int watch(struct health *health, struct event_base *base, const struct service *service,
		 const struct instance *instance)
{
	const struct instance_port *port = instance_find_port(instance, service);
	struct watched_service *watched = &health->services[health->n_services];
	bool ssh = strcmp(service->name, SSH_SERVICE) == 0;

	watched->name = strdup(service->name);
	if (!watched->name)
		return -ENOMEM;
	health->n_services++;
	watched->protocol = service->protocol;
	if (!port)
		return 0;
	watched->endpoint = port->endpoint;
	if (service->protocol != PROTOCOL_TCP)
		return 0;
	return probe_new(&watched->probe, base, &port->endpoint, ssh ? PROBE_SSH : PROBE_CONNECT,
			 on_probe, health);
}

int health_new(struct health **ret, struct event_base *base, const struct environment_spec *spec,
	       const struct instance *instance, void (*on_change)(void *userdata), void *userdata)
{
	_cleanup_(cleanup_health) struct health *health = calloc(1, sizeof(*health));
	int r;

	if (!health)
		return -ENOMEM;
	health->on_change = on_change;
	health->userdata = userdata;
	health->instance = strdup(instance->id);
	health->started = strdup(instance->started ? instance->started : "");
	health->services = calloc(MAX(spec->n_services, 1U), sizeof(*health->services));
	if (!health->instance || !health->started || !health->services)
		return -ENOMEM;
	for (size_t i = 0; i < spec->n_services; i++) {
		r = watch(health, base, &spec->services[i], instance);
		if (r < 0)
			return r;
	}
	*ret = TAKE_PTR(health);
	return 0;
}

void health_free(struct health *health)
{
	if (!health)
		return;
	for (size_t i = 0; i < health->n_services; i++) {
		probe_free(health->services[i].probe);
		free(health->services[i].name);
	}
	free(health->services);
	free(health->instance);
	free(health->started);
	free(health);
}

static bool service_matches(const struct watched_service *watched, const struct service *service,
			    const struct instance *instance)
{
	const struct instance_port *port = instance_find_port(instance, service);

	if (strcmp(watched->name, service->name) != 0 || watched->protocol != service->protocol)
		return false;
	if (!port)
		return watched->endpoint.port == 0;
	return endpoint_compare(&watched->endpoint, &port->endpoint) == 0;
}

bool health_matches(const struct health *health, const struct environment_spec *spec,
		    const struct instance *instance)
{
	if (strcmp(health->instance, instance->id) != 0 ||
	    strcmp(health->started, instance->started ? instance->started : "") != 0 ||
	    health->n_services != spec->n_services)
		return false;
	for (size_t i = 0; i < spec->n_services; i++)
		if (!service_matches(&health->services[i], &spec->services[i], instance))
			return false;
	return true;
}

static bool service_ready(const struct watched_service *watched)
{
	if (watched->endpoint.port == 0)
		return false;
	return !watched->probe || probe_answers(watched->probe);
}

bool health_ready(const struct health *health)
{
	for (size_t i = 0; i < health->n_services; i++)
		if (!service_ready(&health->services[i]))
			return false;
	return true;
}

const char *health_reason(const struct health *health, char *buffer, size_t size)
{
	buffer[0] = '\0';
	for (size_t i = 0; i < health->n_services; i++) {
		const struct watched_service *watched = &health->services[i];
		const char *why = "its port is not published";

		if (service_ready(watched))
			continue;
		if (watched->probe)
			why = probe_reason(watched->probe);
		snprintf(buffer, size, "service %s: %s", watched->name,
			 why[0] != '\0' ? why : "not asked yet");
		break;
	}
	return buffer;
}
