/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Environments and assignments: defaults, the round trip, what each error names. */
#include <criterion/criterion.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "proto/environment.h"

#define BASE \
	"\"name\":\"alice\",\"image\":\"dev:1\",\"cpu_milli\":4000,\"memory_bytes\":17179869184"
#define KEY "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIGvlI1p9v9J3xbJHbqwWU4/1s1H5u4yxeAKHdh3fbBOR a@b"

static json_t *parse(const char *text)
{
	json_t *json = json_loads(text, 0, NULL);

	cr_assert(json, "%s", text);
	return json;
}

Test(environment, defaults)
{
	json_t *json = parse("{" BASE "}");
	struct environment_spec spec;

	cr_assert_eq(environment_spec_decode(json, &spec, NULL), 0);
	cr_assert_eq(spec.n_services, 1);
	cr_expect_str_eq(spec.services[0].name, "ssh");
	cr_expect_eq(spec.services[0].port, 22);
	cr_expect_eq(spec.services[0].protocol, PROTOCOL_TCP);
	cr_expect_str_eq(spec.pool, "default");
	cr_expect_eq(spec.restart, RESTART_ALWAYS);
	cr_expect(spec.queue);
	cr_expect_null(spec.policy);
	cr_expect_eq(json_object_size(spec.env), 0);
	environment_spec_clear(&spec);
	json_decref(json);
}

Test(environment, all_fields_survive_the_round_trip)
{
	json_t *json = parse(
		"{" BASE ",\"gpu\":1,\"gpu_milli\":0,\"gpu_model\":[\"A100\"],\"services\":["
		"{\"name\":\"ssh\",\"port\":22,\"protocol\":\"tcp\",\"external_port\":30022},"
		"{\"name\":\"mosh\",\"port\":60001,\"protocol\":\"udp\"}],"
		"\"ssh_authorized_keys\":[\"" KEY "\"],\"env\":{\"K_1\":\"V\"},"
		"\"volumes\":{\"code\":\"local\"},\"labels\":{\"team\":\"a\"},\"restart\":\"never\","
		"\"expires_at\":\"2027-01-15T08:00:00Z\",\"on_expiry\":\"delete\","
		"\"policy\":\"binpack\",\"pool\":\"gpu\",\"queue\":false}");
	struct environment_spec spec, copy;
	json_t *again;

	cr_assert_eq(environment_spec_decode(json, &spec, NULL), 0);
	cr_assert_eq(environment_spec_copy(&spec, &copy), 0);
	again = environment_spec_encode(&copy);
	cr_expect(json_equal(json, again));
	environment_spec_clear(&spec);
	environment_spec_clear(&copy);
	json_decref(json);
	json_decref(again);
}

/* "no" is Docker's word for it. */
Test(environment, restart_never_has_two_names)
{
	static const char *const names[] = { "no", "never" };

	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		struct environment_spec spec;
		char text[256];
		json_t *json;

		snprintf(text, sizeof(text), "{" BASE ",\"restart\":\"%s\"}", names[i]);
		json = parse(text);
		cr_assert_eq(environment_spec_decode(json, &spec, NULL), 0);
		cr_expect_eq(spec.restart, RESTART_NEVER);
		environment_spec_clear(&spec);
		json_decref(json);
	}
}

Test(environment, only_what_keeps_everything_on_shared_volumes_can_move)
{
	static const struct {
		const char *volumes;
		bool movable;
	} rows[] = {
		{ "{}", false },
		{ "{\"code\":\"local\"}", false },
		{ "{\"code\":\"shared\"}", true },
		{ "{\"code\":\"shared\",\"output\":\"shared\"}", true },
		{ "{\"code\":\"shared\",\"output\":\"local\"}", false },
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct environment_spec spec;
		char text[256];
		json_t *json;

		snprintf(text, sizeof(text), "{" BASE ",\"volumes\":%s}", rows[i].volumes);
		json = parse(text);
		cr_assert_eq(environment_spec_decode(json, &spec, NULL), 0);
		cr_expect_eq(environment_spec_is_movable(&spec), rows[i].movable, "%s", text);
		environment_spec_clear(&spec);
		json_decref(json);
	}
}

Test(environment, bad_input_names_its_field)
{
	const struct {
		const char *more; /* behind BASE; a whole object where it begins with '{' */
		int error;
		const char *field;
	} samples[] = {
		{ "{\"image\":\"x\",\"cpu_milli\":10,\"memory_bytes\":16777216}", -EINVAL, "name" },
		{ "{\"name\":\"a\",\"cpu_milli\":10,\"memory_bytes\":16777216}", -EINVAL, "image" },
		{ "{\"name\":\"a-\",\"image\":\"x\",\"cpu_milli\":10,\"memory_bytes\":16777216}",
		  -EINVAL, "name" },
		{ "{\"name\":\"a\",\"image\":\"x y\",\"cpu_milli\":10,\"memory_bytes\":16777216}",
		  -EINVAL, "image" },
		{ "{\"name\":\"a\",\"image\":\"x\",\"cpu_milli\":9,\"memory_bytes\":16777216}",
		  -ERANGE, "cpu_milli" },
		{ "{\"name\":\"a\",\"image\":\"x\",\"cpu_milli\":10,\"memory_bytes\":16777215}",
		  -ERANGE, "memory_bytes" },
		{ ",\"gpu\":65", -ERANGE, "gpu" },
		{ ",\"gpu\":1,\"gpu_milli\":500", -EINVAL, "gpu_milli" },
		{ ",\"gpu_model\":[\"\"]", -EINVAL, "gpu_model[0]" },
		{ ",\"services\":[7]", -EINVAL, "services[0]" },
		{ ",\"services\":[{\"name\":\"a\"}]", -EINVAL, "services[0].port" },
		{ ",\"services\":[{\"name\":\"a\",\"port\":1},{\"name\":\"b\",\"port\":1}]",
		  -EINVAL, "services[1].port" },
		{ ",\"services\":[{\"name\":\"a\",\"port\":1,\"external_port\":5},"
		  "{\"name\":\"b\",\"port\":2,\"external_port\":5}]",
		  -EINVAL, "services[1].external_port" },
		{ ",\"services\":[{\"name\":\"a\",\"port\":1,\"protocol\":\"icmp\"}]", -EINVAL,
		  "services[0].protocol" },
		{ ",\"services\":[{\"name\":\"a\",\"port\":1,\"x\":1}]", -EINVAL, "services[0].x" },
		{ ",\"ssh_authorized_keys\":[\"" KEY "\",\"command=\\\"x\\\" " KEY "\"]", -EINVAL,
		  "ssh_authorized_keys[1]" },
		{ ",\"ssh_authorized_keys\":[\"" KEY "\\nssh-rsa AAAA\"]", -EINVAL,
		  "ssh_authorized_keys[0]" },
		{ ",\"env\":{\"A=B\":\"x\"}", -EINVAL, "env.A=B" },
		{ ",\"env\":{\"A\":1}", -EINVAL, "env.A" },
		{ ",\"volumes\":{\"../x\":\"local\"}", -EINVAL, "volumes.../x" },
		{ ",\"volumes\":{\"code\":\"cloud\"}", -EINVAL, "volumes.code" },
		{ ",\"labels\":[]", -EINVAL, "labels" },
		{ ",\"restart\":\"maybe\"", -EINVAL, "restart" },
		{ ",\"expires_at\":\"soon\"", -EINVAL, "expires_at" },
		{ ",\"on_expiry\":\"explode\"", -EINVAL, "on_expiry" },
		{ ",\"queue\":1", -EINVAL, "queue" },
		{ ",\"bogus\":null", -EINVAL, "bogus" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(samples); i++) {
		struct error err = ERROR_INIT;
		struct environment_spec spec;
		char text[2048];
		json_t *json;

		snprintf(text, sizeof(text), samples[i].more[0] == '{' ? "%s%s" : "{" BASE "%s%s",
			 samples[i].more, samples[i].more[0] == '{' ? "" : "}");
		json = parse(text);
		cr_expect_eq(environment_spec_decode(json, &spec, &err), samples[i].error, "%s: %s",
			     text, err.message);
		cr_expect_str_eq(err.field, samples[i].field, "%s: %s", text, err.message);
		json_decref(json);
	}
}

Test(environment, limits_at_their_edge)
{
	json_t *json = parse("{" BASE "}"), *services = json_array();
	struct environment_spec spec;
	char name[32];

	for (int i = 0; i < ENVIRONMENT_SERVICES_MAX; i++) {
		snprintf(name, sizeof(name), "s%d", i);
		json_array_append_new(services,
				      json_pack("{s:s, s:i}", "name", name, "port", i + 1));
	}
	json_object_set(json, "services", services);
	cr_assert_eq(environment_spec_decode(json, &spec, NULL), 0);
	cr_expect_eq(spec.n_services, ENVIRONMENT_SERVICES_MAX);
	environment_spec_clear(&spec);
	json_array_append_new(services, json_pack("{s:s, s:i}", "name", "more", "port", 99));
	cr_expect_eq(environment_spec_decode(json, &spec, NULL), -EINVAL);
	json_decref(services);
	json_decref(json);
}

Test(environment, assignments_survive_the_round_trip)
{
	json_t *json = parse("{\"environment\":\"env-1\",\"revision\":7,\"state\":\"stopped\","
			     "\"spec\":{" BASE "},\"user\":\"developer\","
			     "\"password_hash\":\"$y$x\",\"ssh_host_key\":\"KEY\"}");
	struct assignment assignment, again;
	json_t *encoded;

	cr_assert_eq(assignment_decode(json, "", &assignment, NULL), 0);
	cr_expect_not(assignment.running);
	encoded = assignment_encode(&assignment);
	cr_assert_eq(assignment_decode(encoded, "", &again, NULL), 0);
	cr_expect_str_eq(again.password_hash, "$y$x");
	cr_expect_eq(again.revision, 7);
	assignment_clear(&assignment);
	assignment_clear(&again);
	json_object_set_new(json_object_get(json, "spec"), "image", json_integer(1));
	struct error err = ERROR_INIT;
	cr_expect_eq(assignment_decode(json, "put[0]", &assignment, &err), -EINVAL);
	cr_expect_str_eq(err.field, "put[0].spec.image");
	json_decref(json);
	json_decref(encoded);
}

Test(environment, names_of_phases)
{
	for (int i = 0; i < PHASE_MAX; i++)
		cr_expect_eq(phase_parse(phase_name((enum environment_phase)i)), i);
	cr_expect_eq(phase_parse("bogus"), PHASE_INVALID);
}
