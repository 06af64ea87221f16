/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The body of a create, and inspects as Docker 20.10 writes them. */
#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>

#include "agentd/docker_container.h"

static const char inspect[] =
	"{\"Id\":\"0123456789abcdef\",\"Name\":\"/env-1\",\"RestartCount\":3,"
	"\"State\":{\"Status\":\"running\",\"ExitCode\":0,\"OOMKilled\":false,\"Error\":\"\","
	"\"StartedAt\":\"2026-01-02T03:04:05.6Z\"},"
	"\"Config\":{\"Labels\":{\"portico.environment\":\"env-1\",\"portico.host\":\"host1\","
	"\"portico.revision\":\"120\",\"portico.epoch\":\"3\",\"portico.digest\":\"abc\"}},"
	"\"NetworkSettings\":{\"Ports\":{"
	"\"22/tcp\":[{\"HostIp\":\"10.0.1.2\",\"HostPort\":\"32768\"}],"
	"\"60001/udp\":[{\"HostIp\":\"10.0.1.2\",\"HostPort\":\"32769\"}],"
	"\"9999/tcp\":null,\"7/sctp\":[{\"HostIp\":\"10.0.1.2\",\"HostPort\":\"1\"}]}}}";

static json_t *inspect_json(void)
{
	json_t *json = json_loads(inspect, 0, NULL);

	cr_assert(json);
	return json;
}

static int parse(json_t *json, struct instance *ret)
{
	int r = docker_container_parse(json, "host1", ret);

	json_decref(json);
	return r;
}

Test(docker_container, reads_a_running_one)
{
	struct instance instance;

	cr_assert_eq(parse(inspect_json(), &instance), 0);
	cr_expect_str_eq(instance.environment, "env-1");
	cr_expect_str_eq(instance.id, "0123456789abcdef");
	cr_expect_str_eq(instance.digest, "abc");
	cr_expect_str_eq(instance.started, "2026-01-02T03:04:05.6Z");
	cr_expect_eq(instance.revision, 120);
	cr_expect_eq(instance.status, INSTANCE_RUNNING);
	cr_expect_eq(instance.restarts, 3);
	cr_expect_null(instance.error);
	cr_assert_eq(instance.n_ports, 2, "one is not published, one is of no known protocol");
	cr_expect_eq(instance.ports[0].port, 22);
	cr_expect_eq(instance.ports[0].protocol, PROTOCOL_TCP);
	cr_expect_eq(instance.ports[0].endpoint.port, 32768);
	cr_expect_eq(instance.ports[1].protocol, PROTOCOL_UDP);
	instance_clear(&instance);
}

Test(docker_container, reads_how_one_ended)
{
	struct instance instance;
	json_t *json = inspect_json(), *state = json_object_get(json, "State");

	json_object_set_new(state, "Status", json_string("exited"));
	json_object_set_new(state, "ExitCode", json_integer(137));
	json_object_set_new(state, "OOMKilled", json_true());
	json_object_set_new(state, "Error", json_string("no such command"));
	cr_assert_eq(parse(json, &instance), 0);
	cr_expect_eq(instance.status, INSTANCE_EXITED);
	cr_expect_eq(instance.exit_code, 137);
	cr_expect(instance.out_of_memory);
	cr_expect_str_eq(instance.error, "no such command");
	cr_expect_eq(instance.n_ports, 0);
	instance_clear(&instance);
}

/* Labels are inherited by images that are made of a container, so a name must match too. */
Test(docker_container, is_not_ours)
{
	static const struct {
		const char *label, *value;
	} rows[] = {
		{ LABEL_HOST, "host2" },   { LABEL_HOST, "host11" },
		{ LABEL_HOST, NULL },      { LABEL_ENVIRONMENT, NULL },
		{ LABEL_ENVIRONMENT, "" }, { LABEL_ENVIRONMENT, "env-2" },
	};
	struct instance instance;

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		json_t *json = inspect_json();
		json_t *labels = json_object_get(json_object_get(json, "Config"), "Labels");

		if (rows[i].value)
			json_object_set_new(labels, rows[i].label, json_string(rows[i].value));
		else
			json_object_del(labels, rows[i].label);
		cr_expect_eq(parse(json, &instance), -ENOENT, "row %zu", i);
	}
	cr_expect_eq(parse(json_object(), &instance), -ENOENT);
}

Test(docker_container, unknown_status)
{
	struct instance instance;
	json_t *json = inspect_json();

	json_object_set_new(json_object_get(json, "State"), "Status", json_string("new"));
	cr_expect_eq(parse(json, &instance), -EPROTO);
}

static struct service services[] = {
	{ (char *)"ssh", 22, PROTOCOL_TCP, 30001 },
	{ (char *)"mosh", 60001, PROTOCOL_UDP, 0 },
};

static json_t *body_of(struct assignment *assignment)
{
	struct address address;
	json_t *binds = json_pack("[s]", "/data/environments/env-1/code:/gemini/code");
	json_t *body;

	cr_assert_eq(address_parse("10.0.1.2", &address), 0);
	body = docker_container_body(&(struct docker_container_config){
		.assignment = assignment,
		.digest = "abc",
		.epoch = 3,
		.host = "host1",
		.address = &address,
		.binds = binds,
	});
	json_decref(binds);
	cr_assert(body);
	return body;
}

static json_t *at(json_t *json, const char *first, const char *second)
{
	return json_object_get(json_object_get(json, first), second);
}

/* It may run on another host by now: Docker must not start it when the machine boots. */
Test(docker_container, docker_never_starts_what_can_move)
{
	struct assignment assignment = {
		.environment = (char *)"env-1",
		.spec = { .name = (char *)"demo",
			  .image = (char *)"dev:1",
			  .env = json_object(),
			  .volumes = json_pack("{s:s}", "code", "shared"),
			  .restart = RESTART_ALWAYS },
	};
	json_t *body = body_of(&assignment);

	cr_expect_str_eq(json_string_value(at(body, "Labels", LABEL_MOVABLE)), "yes");
	cr_expect_str_eq(
		json_string_value(at(json_object_get(body, "HostConfig"), "RestartPolicy", "Name")),
		"no");
	json_decref(body);
	json_decref(assignment.spec.env);
	json_decref(assignment.spec.volumes);
}

Test(docker_container, body)
{
	struct assignment assignment = {
		.environment = (char *)"env-1",
		.revision = 120,
		.running = true,
		.spec = { .name = (char *)"demo",
			  .image = (char *)"dev:1",
			  .cpu_milli = 1500,
			  .memory_bytes = 512 << 20,
			  .services = services,
			  .n_services = 2,
			  .env = json_pack("{s:s}", "K", "V=W"),
			  .restart = RESTART_ALWAYS },
	};
	json_t *body = body_of(&assignment), *binding, *host;

	cr_expect_str_eq(json_string_value(json_object_get(body, "Image")), "dev:1");
	cr_expect_str_eq(json_string_value(json_object_get(body, "Hostname")), "demo");
	cr_expect_str_eq(json_string_value(json_array_get(json_object_get(body, "Env"), 0)),
			 "K=V=W");
	cr_expect_str_eq(json_string_value(at(body, "Labels", LABEL_HOST)), "host1");
	cr_expect_str_eq(json_string_value(at(body, "Labels", LABEL_REVISION)), "120");
	cr_expect_str_eq(json_string_value(at(body, "Labels", LABEL_EPOCH)), "3");
	cr_expect_str_eq(json_string_value(at(body, "Labels", LABEL_DIGEST)), "abc");
	cr_expect_str_eq(json_string_value(at(body, "Labels", LABEL_MOVABLE)), "no");
	host = json_object_get(body, "HostConfig");
	cr_expect_eq(json_integer_value(json_object_get(host, "NanoCpus")), 1500000000);
	cr_expect_eq(json_integer_value(json_object_get(host, "Memory")), 512 << 20);
	cr_expect_eq(json_integer_value(json_object_get(host, "MemorySwap")), 512 << 20);
	cr_expect_eq(json_integer_value(json_object_get(host, "PidsLimit")), CONTAINER_PIDS_MAX);
	cr_expect_str_eq(json_string_value(json_object_get(host, "NetworkMode")), "portico");
	cr_expect_str_eq(json_string_value(at(host, "RestartPolicy", "Name")), "unless-stopped");
	cr_expect_null(json_object_get(host, "Privileged"));
	binding = json_array_get(at(host, "PortBindings", "22/tcp"), 0);
	cr_expect_str_eq(json_string_value(json_object_get(binding, "HostIp")), "10.0.1.2");
	cr_expect_str_eq(json_string_value(json_object_get(binding, "HostPort")), "");
	cr_expect(at(host, "PortBindings", "60001/udp"));
	cr_expect(at(body, "ExposedPorts", "60001/udp"));
	json_decref(body);
	json_decref(assignment.spec.env);
}

Test(docker_container, body_has_no_secret)
{
	struct assignment assignment = {
		.environment = (char *)"env-1",
		.user = (char *)"developer",
		.password_hash = (char *)"$y$SECRET-HASH",
		.ssh_host_key = (char *)"SECRET-KEY",
		.spec = { .name = (char *)"demo",
			  .image = (char *)"dev:1",
			  .cpu_milli = 1,
			  .memory_bytes = 1,
			  .env = json_object() },
	};
	json_t *body = body_of(&assignment);
	char *text = json_dumps(body, 0);

	cr_expect_not(strstr(text, "SECRET"));
	free(text);
	json_decref(body);
	json_decref(assignment.spec.env);
}
