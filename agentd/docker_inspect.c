/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Reading a container's inspect: whether it is ours, its status, and where its ports are. Lenient
 * about what it does not use, since every version of Docker adds fields.
 */
#include "agentd/docker_container.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "lib/clock.h"

static const char *text_of(json_t *object, const char *field)
{
	const char *text = json_string_value(json_object_get(object, field));

	return text ? text : "";
}

static int parse_status(const char *text, enum instance_status *ret)
{
	static const struct {
		const char *name;
		enum instance_status status;
	} names[] = {
		{ "created", INSTANCE_CREATED },
		{ "running", INSTANCE_RUNNING },
		{ "restarting", INSTANCE_RESTARTING },
		{ "paused", INSTANCE_PAUSED },
		{ "exited", INSTANCE_EXITED },
		{ "removing", INSTANCE_REMOVING },
		{ "dead", INSTANCE_DEAD },
	};

	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		if (strcmp(names[i].name, text) != 0)
			continue;
		*ret = names[i].status;
		return 0;
	}
	return -EPROTO;
}

static uint64_t parse_revision(const char *text)
{
	uint64_t value = 0;

	for (; *text >= '0' && *text <= '9'; text++)
		value = value * 10 + (uint64_t)(*text - '0');
	return value;
}

/* "22/tcp" */
static int parse_port_key(const char *key, uint16_t *ret_port, enum protocol *ret_protocol)
{
	const char *slash = strchr(key, '/');
	char number[8];

	if (!slash || (size_t)(slash - key) >= sizeof(number))
		return -EPROTO;
	memcpy(number, key, (size_t)(slash - key));
	number[slash - key] = '\0';
	*ret_protocol = protocol_parse(slash + 1);
	if (*ret_protocol == PROTOCOL_INVALID)
		return -EPROTO;
	return port_parse(number, ret_port);
}

/* A port that is exposed and not published has null instead of bindings. */
static int parse_ports(json_t *ports, struct instance *instance)
{
	json_t *bindings;
	const char *key;

	if (json_object_size(ports) == 0)
		return 0;
	instance->ports = calloc(json_object_size(ports), sizeof(*instance->ports));
	if (!instance->ports)
		return -ENOMEM;
	json_object_foreach (ports, key, bindings) {
		struct instance_port *port = &instance->ports[instance->n_ports];
		json_t *binding = json_array_get(bindings, 0);

		if (!binding || parse_port_key(key, &port->port, &port->protocol) < 0)
			continue;
		if (address_parse(text_of(binding, "HostIp"), &port->endpoint.address) < 0 ||
		    port_parse(text_of(binding, "HostPort"), &port->endpoint.port) < 0)
			continue;
		instance->n_ports++;
	}
	return 0;
}

/* What never happened is the year 1. */
static int64_t parse_time(const char *text)
{
	int64_t seconds;

	return time_parse(text, &seconds) == 0 ? seconds : 0;
}

static int parse_state(json_t *json, struct instance *instance)
{
	json_t *state = json_object_get(json, "State");
	const char *error = text_of(state, "Error");
	int r;

	r = parse_status(text_of(state, "Status"), &instance->status);
	if (r < 0)
		return r;
	instance->exit_code = (int)json_integer_value(json_object_get(state, "ExitCode"));
	instance->out_of_memory = json_is_true(json_object_get(state, "OOMKilled"));
	instance->restarts = (unsigned)json_integer_value(json_object_get(json, "RestartCount"));
	instance->started_at = parse_time(text_of(state, "StartedAt"));
	instance->finished_at = parse_time(text_of(state, "FinishedAt"));
	instance->started = strdup(text_of(state, "StartedAt"));
	if (!instance->started)
		return -ENOMEM;
	if (error[0] != '\0') {
		instance->error = strdup(error);
		if (!instance->error)
			return -ENOMEM;
	}
	return 0;
}

static int parse(json_t *json, struct instance *instance)
{
	json_t *labels = json_object_get(json_object_get(json, "Config"), "Labels");
	int r;

	instance->environment = strdup(text_of(labels, LABEL_ENVIRONMENT));
	instance->digest = strdup(text_of(labels, LABEL_DIGEST));
	instance->id = strdup(text_of(json, "Id"));
	if (!instance->environment || !instance->digest || !instance->id)
		return -ENOMEM;
	instance->movable = strcmp(text_of(labels, LABEL_MOVABLE), "yes") == 0;
	instance->revision = parse_revision(text_of(labels, LABEL_REVISION));
	r = parse_state(json, instance);
	if (r < 0 || instance->status != INSTANCE_RUNNING)
		return r;
	return parse_ports(json_object_get(json_object_get(json, "NetworkSettings"), "Ports"),
			   instance);
}

int docker_container_parse(json_t *json, const char *host, struct instance *ret)
{
	json_t *labels = json_object_get(json_object_get(json, "Config"), "Labels");
	const char *environment = text_of(labels, LABEL_ENVIRONMENT);
	const char *name = text_of(json, "Name");
	struct instance instance = { 0 };
	int r;

	if (strcmp(text_of(labels, LABEL_HOST), host) != 0 || environment[0] == '\0' ||
	    name[0] != '/' || strcmp(name + 1, environment) != 0)
		return -ENOENT;
	r = parse(json, &instance);
	if (r < 0) {
		instance_clear(&instance);
		return r;
	}
	*ret = instance;
	return 0;
}
