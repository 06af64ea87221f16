/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What of a report makes another decision possible, field by field, and for whom. */
#include "schedd/report_news.h"

#include "tests/unit/schedd/rows.h"

static struct environment *environment;

static void set_up(void)
{
	environment = row_environment("env-1", "demo");
	environment->assignment_revision = 10;
}

static void tear_down(void)
{
	record_free(&environment->record);
}

TestSuite(report_news, .init = set_up, .fini = tear_down);

/* Its own container between two others, as an agent may send them: in no order. */
static json_t *report(void)
{
	json_t *json = json_pack(
		"{s:i, s:i, s:{s:i, s:i}, s:[{s:s, s:i, s:s}, {s:s, s:i, s:s, s:[{s:s, s:s, s:i}]}, "
		"{s:s, s:i, s:s}]}",
		"epoch", 3, "revision", 12, "capacity", "cpu_milli", 1, "memory_bytes", 1,
		"containers", "environment", "env-2", "revision", 10, "state", "ready",
		"environment", "env-1", "revision", 10, "state", "ready", "services", "service",
		"ssh", "address", "10.0.1.2", "port", 40001, "environment", "env-0", "revision", 10,
		"state", "ready");

	cr_assert(json);
	return json;
}

static struct host_report decode(const json_t *json)
{
	struct error err = ERROR_INIT;
	struct host_report decoded;

	cr_assert_eq(host_report_decode((json_t *)json, &decoded, &err), 0, "%s", err.message);
	report_sort(&decoded);
	return decoded;
}

/* Neither order may matter. */
static bool news(const json_t *a, const json_t *b)
{
	struct host_report before = decode(a), now = decode(b);
	bool has = report_has_news(&before, &now, environment);

	cr_expect_eq(report_has_news(&now, &before, environment), has);
	host_report_clear(&before);
	host_report_clear(&now);
	return has;
}

static json_t *container(json_t *json, size_t i)
{
	return json_array_get(json_object_get(json, "containers"), i);
}

#define OWN 1

Test(report_news, a_container_is_found_whatever_the_order)
{
	_cleanup_json_ json_t *json = report();
	struct host_report decoded = decode(json);

	for (size_t i = 0; i < 3; i++) {
		const char *id = (const char *[]){ "env-0", "env-1", "env-2" }[i];

		cr_expect_str_eq(report_container(&decoded, id)->environment, id);
	}
	cr_expect_null(report_container(&decoded, "env-3"));
	host_report_clear(&decoded);
	cr_expect_null(report_container(&decoded, "env-1"), "none at all");
}

Test(report_news, a_heartbeat_has_none)
{
	_cleanup_json_ json_t *a = report(), *b = report();

	cr_expect_not(news(a, b));
	/* a later revision, where the assignment had been received before */
	json_object_set_new(b, "revision", json_integer(99));
	cr_expect_not(news(a, b));
}

Test(report_news, what_is_said_of_others_is_none)
{
	_cleanup_json_ json_t *a = report(), *b = report();

	json_object_set_new(container(b, 0), "state", json_string("failed"));
	json_array_remove(json_object_get(b, "containers"), 2);
	cr_expect_not(news(a, b));
}

Test(report_news, another_order_of_containers_is_none)
{
	_cleanup_json_ json_t *a = report(), *b = report();
	json_t *containers = json_object_get(b, "containers");
	json_t *first = json_incref(json_array_get(containers, 0));

	json_array_remove(containers, 0);
	json_array_append_new(containers, first);
	cr_expect_not(news(a, b));
}

Test(report_news, each_field_of_a_container_is_some)
{
	static const struct {
		const char *field, *value;
	} cases[] = {
		{ "state", "\"starting\"" },
		{ "reason", "\"no answer\"" },
		{ "exit_code", "0" },
		{ "crashes", "1" },
		{ "next_try", "\"2027-01-15T08:00:00Z\"" },
		{ "services", "[]" },
		{ "services", "[{\"service\":\"ssh\",\"address\":\"10.0.1.2\",\"port\":40002}]" },
		{ "services", "[{\"service\":\"ssh\",\"address\":\"10.0.1.3\",\"port\":40001}]" },
		{ "services", "[{\"service\":\"web\",\"address\":\"10.0.1.2\",\"port\":40001}]" },
		{ "services", "[{\"service\":\"ssh\",\"address\":\"10.0.1.2\",\"port\":40001,"
			      "\"protocol\":\"udp\"}]" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		_cleanup_json_ json_t *a = report(), *b = report();

		json_object_set_new(container(b, OWN), cases[i].field,
				    json_loads(cases[i].value, JSON_DECODE_ANY, NULL));
		cr_expect(news(a, b), "%s: %s", cases[i].field, cases[i].value);
	}
}

Test(report_news, a_container_that_comes_or_goes_is_some)
{
	_cleanup_json_ json_t *a = report(), *b = report();

	json_array_remove(json_object_get(b, "containers"), OWN);
	cr_expect(news(a, b));
}

Test(report_news, the_engine_concerns_everybody)
{
	_cleanup_json_ json_t *a = report(), *b = report(), *c = report();

	json_object_set_new(b, "engine_error", json_string("Docker is away"));
	json_object_set_new(c, "engine_error", json_string("Docker is slow"));
	cr_expect(news(a, b));
	cr_expect(news(b, c));
}

Test(report_news, that_the_assignment_was_received_is_some)
{
	_cleanup_json_ json_t *a = report(), *b = report();

	environment->assignment_revision = 13;
	cr_expect_not(news(a, b), "it was not, and is not");
	json_object_set_new(b, "revision", json_integer(13));
	cr_expect(news(a, b));
}
