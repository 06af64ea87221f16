/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The body of a create: limits, labels, ports, volumes, network. */
#include "agentd/docker_container.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

/* A published port is "22/tcp". */
static void port_key(const struct service *service, char key[16])
{
	snprintf(key, 16, "%u/%s", service->port, protocol_name(service->protocol));
}

static json_t *environment_variables(const struct environment_spec *spec)
{
	json_t *array = json_array(), *value;
	const char *name;

	json_object_foreach (spec->env, name, value) {
		if (json_array_append_new(
			    array, json_sprintf("%s=%s", name, json_string_value(value))) < 0) {
			json_decref(array);
			return NULL;
		}
	}
	return array;
}

static json_t *labels(const struct docker_container_config *config)
{
	bool movable = environment_spec_is_movable(&config->assignment->spec);

	return json_pack("{s:s, s:s, s:o, s:o, s:s, s:s}", LABEL_ENVIRONMENT,
			 config->assignment->environment, LABEL_HOST, config->host, LABEL_REVISION,
			 json_sprintf("%" PRIu64, config->assignment->revision), LABEL_EPOCH,
			 json_sprintf("%" PRIu64, config->epoch), LABEL_DIGEST, config->digest,
			 LABEL_MOVABLE, movable ? "yes" : "no");
}

static json_t *exposed_ports(const struct environment_spec *spec)
{
	json_t *object = json_object();
	char key[16];

	for (size_t i = 0; i < spec->n_services; i++) {
		port_key(&spec->services[i], key);
		if (json_object_set_new(object, key, json_object()) < 0) {
			json_decref(object);
			return NULL;
		}
	}
	return object;
}

/* Without a host port Docker chooses one, and another at each start. */
static json_t *port_bindings(const struct docker_container_config *config)
{
	const struct environment_spec *spec = &config->assignment->spec;
	char address[ADDRESS_STRING_MAX], key[16];
	json_t *object = json_object();

	address_format(config->address, address);
	for (size_t i = 0; i < spec->n_services; i++) {
		port_key(&spec->services[i], key);
		if (json_object_set_new(
			    object, key,
			    json_pack("[{s:s, s:s}]", "HostIp", address, "HostPort", "")) < 0) {
			json_decref(object);
			return NULL;
		}
	}
	return object;
}

/* Docker restarts what ends by itself, so that containers live without agentd. "unless-stopped" and
 * not "always": what was stopped on request stays so when Docker starts anew. */
static const char *restart_policy_name(const struct environment_spec *spec)
{
	/* What can run on another host may do so by now: only agentd knows, and starts it. */
	if (environment_spec_is_movable(spec))
		return "no";
	switch (spec->restart) {
	case RESTART_ALWAYS:
		return "unless-stopped";
	case RESTART_ON_FAILURE:
		return "on-failure";
	case RESTART_NEVER:
		return "no";
	}
	return "no";
}

static json_t *host_config(const struct docker_container_config *config)
{
	const struct environment_spec *spec = &config->assignment->spec;
	json_int_t memory = (json_int_t)spec->memory_bytes;

	return json_pack(
		"{s:I, s:I, s:I, s:I, s:I, s:s, s:o, s:O, s:{s:s}, s:[s], s:{s:s, s:{s:s, s:s}}}",
		"NanoCpus", (json_int_t)spec->cpu_milli * 1000000, "Memory", memory,
		/* The same as Memory: no swap beyond it. */
		"MemorySwap", memory, "PidsLimit", (json_int_t)CONTAINER_PIDS_MAX,
		/* Docker's 64 MiB stop data loaders; it counts as memory all the same. */
		"ShmSize", memory / 2, "NetworkMode", DOCKER_NETWORK, "PortBindings",
		port_bindings(config), "Binds", config->binds, "RestartPolicy", "Name",
		restart_policy_name(spec),
		/* Raw sockets could forge a neighbour's address on the bridge. */
		"CapDrop", "NET_RAW",
		/* What an environment prints must not fill the host's disk. */
		"LogConfig", "Type", "json-file", "Config", "max-size", "10m", "max-file", "3");
}

json_t *docker_container_body(const struct docker_container_config *config)
{
	const struct environment_spec *spec = &config->assignment->spec;

	return json_pack("{s:s, s:s, s:o, s:o, s:o, s:o}", "Image", spec->image, "Hostname",
			 spec->name, "Env", environment_variables(spec), "Labels", labels(config),
			 "ExposedPorts", exposed_ports(spec), "HostConfig", host_config(config));
}
