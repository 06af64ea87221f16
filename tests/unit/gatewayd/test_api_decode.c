/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Bodies of the local API to changesets: what is taken, and the field and code of what is not. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "gatewayd/api_decode.h"
#include "tests/unit/gatewayd/make.h"

static struct address addresses[2];
static const struct admission admission = { .addresses = addresses, .n_addresses = 2 };
static struct changeset *changeset;
static struct error err;

static void begin(void)
{
	cr_assert_eq(address_parse("203.0.113.10", &addresses[0]), 0);
	cr_assert_eq(address_parse("2001:db8::10", &addresses[1]), 0);
}

static void end(void)
{
	changeset_free(changeset);
}

TestSuite(api_decode, .init = begin, .fini = end);

static int decode(const char *text, bool replace)
{
	changeset_free(TAKE_PTR(changeset));
	err = ERROR_INIT;
	return replace ? api_decode_replace(text, strlen(text), &admission, &changeset, &err)
		       : api_decode_apply(text, strlen(text), &admission, &changeset, &err);
}

static void expect_key(size_t index, const char *text)
{
	char name[MAPPING_STRING_MAX];

	cr_assert_lt(index, changeset->n_changes);
	cr_assert_str_eq(mapping_key_format(&changeset->changes[index].key, name), text);
}

#define TARGET "\"target\":{\"address\":\"10.0.0.5\",\"port\":22}"
#define TARGET6 "\"target\":{\"address\":\"2001:db8:1::5\",\"port\":22}"
#define PUT(fields) "{\"op\":\"put\",\"mapping\":{" fields "}}"

Test(api_decode, puts_and_deletes)
{
	cr_assert_eq(
		decode("{\"changes\":[" PUT(
			       "\"port\":30001,\"environment\":\"env-a\",\"service\":\"ssh\","
			       "\"on_remove\":\"drain\",\"revision\":7," TARGET) ","
										 "{\"op\":\"delete\",\"protocol\":\"udp\",\"port\":30002}," PUT(
											 "\"port\":1,\"address\":\"2001:db8::10\"," TARGET6) "]}",
		       false),
		0, "%s", err.message);
	cr_assert(changeset->atomic);
	cr_assert_not(changeset->replace);
	cr_assert_eq(changeset->n_changes, 3);
	expect_key(0, "203.0.113.10:30001/tcp"); /* the gateway's first address */
	cr_assert_str_eq(changeset->changes[0].label, "env-a ssh drain");
	cr_assert_eq(changeset->changes[0].target.port, 22);
	cr_assert_eq(changeset->changes[0].revision, 0, "the gateway counts, not its client");
	expect_key(1, "203.0.113.10:30002/udp");
	cr_assert(changeset->changes[1].removal);
	expect_key(2, "[2001:db8::10]:1/tcp");
	cr_assert_null(changeset->changes[2].label);
}

Test(api_decode, force_belongs_to_its_change)
{
	cr_assert_eq(
		decode("{\"changes\":[{\"op\":\"put\",\"force\":true,\"mapping\":{\"port\":1," TARGET
		       "}}," PUT("\"port\":2," TARGET) "]}",
		       false),
		0, "%s", err.message);
	cr_assert(changeset->changes[0].force);
	cr_assert_not(changeset->changes[1].force);
	cr_assert_eq(
		decode("{\"changes\":[{\"op\":\"put\",\"force\":1,\"mapping\":{\"port\":1," TARGET
		       "}}]}",
		       false),
		-EINVAL);
	cr_assert_str_eq(err.field, "changes[0].force");
}

Test(api_decode, limits_come_with_a_mapping)
{
	const struct policy *policy;

	cr_assert_eq(decode("[{\"port\":1,\"allow\":[\"10.1.0.0/16\",\"10.0.0.0/8\"],"
			    "\"max_connections\":5,\"new_connections_per_minute\":60,"
			    "\"expires_at\":\"2400-01-01T00:00:00Z\"," TARGET "},"
			    "{\"port\":2,\"allow\":[]," TARGET "}]",
			    true),
		     0, "%s", err.message);
	policy = changeset->changes[0].policy;
	cr_assert_not_null(policy);
	cr_assert_eq(policy->n_allow, 1);
	cr_assert_eq(policy->allow[0].length, 8, "the one that holds the other");
	cr_assert_eq(policy->max_connections, 5);
	cr_assert_eq(policy->new_connections_per_minute, 60);
	cr_assert_gt(policy->expires_at, 0);
	cr_assert_null(changeset->changes[1].policy);
}

Test(api_decode, a_replacement_is_a_list_with_or_without_a_name)
{
	static const char *const bodies[] = { "[{\"port\":1," TARGET "}]",
					      "{\"mappings\":[{\"port\":1," TARGET "}]}" };

	for (size_t i = 0; i < ARRAY_SIZE(bodies); i++) {
		cr_assert_eq(decode(bodies[i], true), 0, "%s", err.message);
		cr_assert(changeset->replace && changeset->atomic);
		expect_key(0, "203.0.113.10:1/tcp");
	}
	cr_assert_eq(decode("[]", true), 0);
	cr_assert_eq(changeset->n_changes, 0);
}

struct row {
	bool replace;
	const char *body, *code, *field;
	int errnum;
};

static const struct row rows[] = {
	{ true, "", "malformed", "", -EINVAL },
	{ true, "7", "malformed", "", -EINVAL },
	{ true, "[{\"port\":1," TARGET "},{\"port\":2," TARGET "}", "malformed", "", -EINVAL },
	{ true, "[{\"port\":1," TARGET "},]", "malformed", "", -EINVAL },
	{ true, "[{\"port\":1," TARGET "}] []", "malformed", "", -EINVAL },
	{ true, "[{\"port\":1,\"port\":2," TARGET "}]", "malformed", "", -EINVAL },
	{ true, "{\"mappings\":[],\"mappings\":[]}", "malformed", "", -EINVAL },
	{ true, "{\"more\":1,\"mappings\":[{\"port\":1," TARGET "}]}", "unknown_field", "more",
	  -EINVAL },
	{ false, "[]", "invalid", "", -EINVAL },
	{ true, "{}", "missing", "mappings", -EINVAL },
	{ true, "{\"mappings\":[],\"more\":1}", "unknown_field", "more", -EINVAL },
	{ true, "[1]", "invalid", "mappings[0]", -EINVAL },
	{ true, "[{\"port\":1," TARGET "},{\"port\":0," TARGET "}]", "out_of_range",
	  "mappings[1].port", -ERANGE },
	{ true, "[{\"port\":65536," TARGET "}]", "out_of_range", "mappings[0].port", -ERANGE },
	{ true, "[{\"port\":true," TARGET "}]", "invalid", "mappings[0].port", -EINVAL },
	{ true, "[{\"port\":1}]", "missing", "mappings[0].target", -EINVAL },
	{ true, "[{\"port\":1," TARGET6 "}]", "invalid", "mappings[0].target.address", -EINVAL },
	{ true, "[{\"port\":1,\"target\":{\"address\":\"127.0.0.1\",\"port\":1}}]", "invalid",
	  "mappings[0].target.address", -EINVAL },
	{ true, "[{\"port\":1,\"x\":1," TARGET "}]", "unknown_field", "mappings[0].x", -EINVAL },
	{ true, "[{\"port\":1,\"address\":\"192.0.2.1\"," TARGET "}]", "not_ours",
	  "mappings[0].address", -EINVAL },
	{ true, "[{\"port\":1,\"expires_at\":\"2020-01-01T00:00:00Z\"," TARGET "}]", "invalid",
	  "mappings[0].expires_at", -EINVAL },
	{ true, "[{\"port\":1,\"expires_at\":\"9999-01-01T00:00:00Z\"," TARGET "}]", "invalid",
	  "mappings[0].expires_at", -EINVAL },
	{ true, "[{\"port\":1,\"new_connections_per_minute\":0," TARGET "}]", "out_of_range",
	  "mappings[0].new_connections_per_minute", -ERANGE },
	{ true, "[{\"port\":1,\"max_connections\":0," TARGET "}]", "out_of_range",
	  "mappings[0].max_connections", -ERANGE },
	{ true, "[{\"port\":1,\"allow\":[\"198.51.100.1/24\"]," TARGET "}]", "invalid",
	  "mappings[0].allow[0]", -EINVAL },
	{ true, "[{\"port\":1,\"allow\":[\"10.0.0.0/8\",\"2001:db8::/32\"]," TARGET "}]", "invalid",
	  "mappings[0].allow[1]", -EINVAL },
	{ true, "[{\"port\":1," TARGET "},{\"port\":2," TARGET "},{\"port\":1," TARGET "}]",
	  "conflict", "mappings[2]", -EEXIST },
	{ false, "{}", "missing", "changes", -EINVAL },
	{ false, "{\"changes\":{}}", "invalid", "changes", -EINVAL },
	{ false, "{\"changes\":[5]}", "missing", "changes[0].op", -EINVAL },
	{ false, "{\"changes\":[{\"op\":\"move\"}]}", "invalid", "changes[0].op", -EINVAL },
	{ false, "{\"changes\":[{\"op\":1}]}", "invalid", "changes[0].op", -EINVAL },
	{ false, "{\"changes\":[{\"op\":\"put\"}]}", "missing", "changes[0].mapping", -EINVAL },
	{ false, "{\"changes\":[{\"op\":\"put\",\"mapping\":{},\"x\":1}]}", "unknown_field",
	  "changes[0].x", -EINVAL },
	{ false, "{\"changes\":[" PUT("\"port\":1") "]}", "missing", "changes[0].mapping.target",
	  -EINVAL },
	{ false, "{\"changes\":[{\"op\":\"delete\",\"port\":1,\"target\":{}}]}", "unknown_field",
	  "changes[0].target", -EINVAL },
	{ false, "{\"changes\":[{\"op\":\"delete\",\"port\":1,\"address\":\"192.0.2.1\"}]}",
	  "not_ours", "changes[0].address", -EINVAL },
	{ false, "{\"changes\":[" PUT("\"port\":1," TARGET) ",{\"op\":\"delete\",\"port\":1}]}",
	  "conflict", "changes[1]", -EEXIST },
};

Test(api_decode, what_is_not_right_is_refused_by_field)
{
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		int r = decode(rows[i].body, rows[i].replace);

		cr_assert_eq(r, rows[i].errnum, "%s: %d", rows[i].body, r);
		cr_assert_null(changeset, "%s", rows[i].body);
		cr_assert_str_eq(err.code, rows[i].code, "%s: %s", rows[i].body, err.code);
		cr_assert_str_eq(err.field, rows[i].field, "%s: %s", rows[i].body, err.field);
		cr_assert(strstr(err.message, rows[i].field), "%s: %s", rows[i].body, err.message);
	}
}

/* ---- very many ---- */

#define MANY 60000

/* Ports from 1 on; the text of item number index is another's. */
static char *many(size_t index, const char *instead)
{
	const size_t room = MANY * 96 + strlen(instead) + 16;
	char *text = malloc(room);
	size_t used = 0;

	cr_assert_not_null(text);
	for (size_t i = 0; i < MANY; i++) {
		used += (size_t)snprintf(text + used, room - used, "%c", i == 0 ? '[' : ',');
		used += (size_t)(i == index ? snprintf(text + used, room - used, "%s", instead)
					    : snprintf(text + used, room - used,
						       "{\"port\":%zu," TARGET "}", i + 1));
	}
	(void)snprintf(text + used, room - used, "]");
	return text;
}

Test(api_decode, very_many_are_read_in_their_order)
{
	_cleanup_free_ char *text = many(MANY, "");

	cr_assert_eq(decode(text, true), 0, "%s", err.message);
	cr_assert_eq(changeset->n_changes, MANY);
	for (size_t i = 0; i < MANY; i++)
		cr_assert_eq(changeset->changes[i].key.port, i + 1);
}

Test(api_decode, one_bad_among_very_many_is_named)
{
	static const struct {
		const char *instead, *code, *field, *message;
		int errnum;
	} cases[] = {
		{ "{\"port\":0," TARGET "}", "out_of_range", "mappings[50000].port",
		  "mappings[50000].port: 0 is outside 1…65535", -ERANGE },
		{ "5", "invalid", "mappings[50000]", "mappings[50000]: must be an object",
		  -EINVAL },
		{ "{\"port\":7," TARGET "}", "conflict", "mappings[50000]",
		  "mappings[50000]: 203.0.113.10:7/tcp is named more than once", -EEXIST },
		{ "\n\n{\"port\":7," TARGET, "malformed", "", "not valid JSON: ", -EINVAL },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		_cleanup_free_ char *text = many(50000, cases[i].instead);

		cr_assert_eq(decode(text, true), cases[i].errnum, "%s", err.message);
		cr_assert_null(changeset);
		cr_assert_str_eq(err.code, cases[i].code);
		cr_assert_str_eq(err.field, cases[i].field);
		cr_assert_eq(strncmp(err.message, cases[i].message, strlen(cases[i].message)), 0,
			     "%s", err.message);
	}
	/* Its place is one in the whole body. */
	cr_assert(strstr(err.message, "(line 3, "), "%s", err.message);
}

Test(api_decode, there_is_a_limit_of_changes)
{
	static const char item[] = "{\"op\":\"delete\",\"port\":1},";
	const size_t n = API_CHANGES_MAX + 1, begin = strlen("{\"changes\":["),
		     length = sizeof(item) - 1;
	_cleanup_free_ char *text = malloc(begin + n * length + 3);

	cr_assert_not_null(text);
	memcpy(text, "{\"changes\":[", begin);
	for (size_t i = 0; i < n; i++)
		memcpy(text + begin + i * length, item, length);
	memcpy(text + begin + n * length - 1, "]}", 3);
	cr_assert_eq(decode(text, false), -E2BIG);
	cr_assert_str_eq(err.code, "too_large");
	cr_assert_str_eq(err.field, "changes");
	cr_assert_str_eq(err.message, "more than 1000000 changes in one request");
}
