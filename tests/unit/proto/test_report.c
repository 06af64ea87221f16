/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Registrations and reports: the round trip, what each error names, reasons of any length. */
#include <criterion/criterion.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "proto/report.h"

static json_t *parse(const char *text)
{
	json_t *json = json_loads(text, 0, NULL);

	cr_assert(json, "%s", text);
	return json;
}

#define CAPACITY                                                                   \
	"\"capacity\":{\"cpu_milli\":8000,\"memory_bytes\":68719476736,\"gpus\":[" \
	"{\"uuid\":\"GPU-1\",\"model\":\"A100\",\"memory_bytes\":42949672960}]}"

Test(report, registrations_survive_the_round_trip)
{
	json_t *host =
		parse("{\"name\":\"h1.example\",\"address\":\"10.0.0.1\",\"pool\":\"default\","
		      "\"labels\":{\"rack\":\"7\"}," CAPACITY ",\"version\":\"0.1.0\"}");
	json_t *gateway =
		parse("{\"name\":\"gw1\",\"addresses\":[\"203.0.113.10\",\"2001:db8::1\"],"
		      "\"version\":\"0.1.0\"}");
	struct host_registration host_registration;
	struct gateway_registration gateway_registration;
	json_t *again;

	cr_assert_eq(host_registration_decode(host, &host_registration, NULL), 0);
	again = host_registration_encode(&host_registration);
	cr_expect(json_equal(host, again));
	json_decref(again);
	cr_assert_eq(gateway_registration_decode(gateway, &gateway_registration, NULL), 0);
	again = gateway_registration_encode(&gateway_registration);
	cr_expect(json_equal(gateway, again));
	json_decref(again);
	host_registration_clear(&host_registration);
	gateway_registration_clear(&gateway_registration);
	json_decref(host);
	json_decref(gateway);
}

Test(report, reports_survive_the_round_trip)
{
	json_t *host =
		parse("{\"epoch\":3,\"revision\":9," CAPACITY
		      ",\"engine_error\":\"away\",\"containers\":[{\"environment\":\"env-1\","
		      "\"revision\":7,\"state\":\"ready\",\"reason\":\"ü\",\"exit_code\":0,"
		      "\"crashes\":4,\"next_try\":\"2027-01-15T08:00:00Z\",\"services\":["
		      "{\"service\":\"ssh\",\"protocol\":\"tcp\",\"address\":\"10.0.0.1\","
		      "\"port\":32768}]}]}");
	json_t *gateway =
		parse("{\"epoch\":3,\"revision\":9,\"mappings\":2,\"failed\":[{\"address\":"
		      "\"203.0.113.10\",\"protocol\":\"udp\",\"port\":1,\"reason\":\"no\"}]}");
	struct host_report host_report;
	struct gateway_report gateway_report;
	json_t *again;

	cr_assert_eq(host_report_decode(host, &host_report, NULL), 0);
	cr_expect_eq(host_report.containers[0].state, CONTAINER_READY);
	cr_expect_eq(host_report.containers[0].exit_code, 0);
	cr_expect_eq(host_report.containers[0].crashes, 4);
	again = host_report_encode(&host_report);
	cr_expect(json_equal(host, again));
	json_decref(again);
	cr_assert_eq(gateway_report_decode(gateway, &gateway_report, NULL), 0);
	again = gateway_report_encode(&gateway_report);
	cr_expect(json_equal(gateway, again));
	json_decref(again);
	host_report_clear(&host_report);
	gateway_report_clear(&gateway_report);
	json_decref(host);
	json_decref(gateway);
}

Test(report, bad_input_names_its_field)
{
	const struct {
		const char *text, *field;
	} samples[] = {
		{ "{\"revision\":9," CAPACITY ",\"containers\":[]}", "epoch" },
		{ "{\"epoch\":1,\"revision\":9,\"containers\":[]}", "capacity" },
		{ "{\"epoch\":1,\"revision\":9,\"capacity\":{\"cpu_milli\":1},\"containers\":[]}",
		  "capacity.memory_bytes" },
		{ "{\"epoch\":1,\"revision\":9," CAPACITY "}", "containers" },
		{ "{\"epoch\":1,\"revision\":9," CAPACITY ",\"containers\":[{}]}",
		  "containers[0].environment" },
		{ "{\"epoch\":1,\"revision\":9," CAPACITY
		  ",\"containers\":[{\"environment\":\"e\",\"revision\":1,\"state\":\"odd\"}]}",
		  "containers[0].state" },
		{ "{\"epoch\":1,\"revision\":9," CAPACITY
		  ",\"containers\":[{\"environment\":\"e\",\"revision\":1,\"state\":\"ready\","
		  "\"services\":[{\"service\":\"ssh\",\"address\":\"10.0.0.1\",\"port\":0}]}]}",
		  "containers[0].services[0].port" },
		{ "{\"epoch\":1,\"revision\":9," CAPACITY ",\"containers\":[],\"x\":1}", "x" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(samples); i++) {
		struct error err = ERROR_INIT;
		struct host_report report;
		json_t *json = parse(samples[i].text);

		cr_expect_lt(host_report_decode(json, &report, &err), 0, "%s", samples[i].text);
		cr_expect_str_eq(err.field, samples[i].field, "%s: %s", samples[i].text,
				 err.message);
		json_decref(json);
	}
}

/* What Docker says is not ours to choose: it must never make a report that is refused. */
Test(report, any_reason_makes_a_report_that_is_taken)
{
	char reason[5000];
	struct container_report container = { .environment = (char *)"env-1",
					      .state = CONTAINER_FAILED,
					      .reason = reason };
	struct host_report report = { .epoch = 1, .containers = &container, .n_containers = 1 };
	static const char *const fillers[] = { "x", "ü", "€", "\xff" };

	for (size_t i = 0; i < ARRAY_SIZE(fillers); i++) {
		struct host_report back;
		json_t *json;

		reason[0] = '\0';
		while (strlen(reason) + 4 < sizeof(reason))
			snprintf(reason + strlen(reason), 4, "%s", fillers[i]);
		json = host_report_encode(&report);
		cr_assert(json, "%s", fillers[i]);
		cr_expect_eq(host_report_decode(json, &back, NULL), 0, "%s", fillers[i]);
		cr_expect_gt(strlen(back.containers[0].reason), 10);
		host_report_clear(&back);
		json_decref(json);
	}
}
