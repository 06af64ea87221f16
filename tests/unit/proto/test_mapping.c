/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Mappings: what is taken, what each error names, the round trip, the order, prefixes. */
#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>

#include "proto/mapping.h"

static const struct address gateway = { AF_INET, { 203, 0, 113, 10 } };

static json_t *parse(const char *text)
{
	json_t *json = json_loads(text, 0, NULL);

	cr_assert(json, "%s", text);
	return json;
}

Test(mapping, only_port_and_target_are_required)
{
	json_t *json = parse("{\"port\":30001,\"target\":{\"address\":\"10.0.0.5\",\"port\":22}}");
	struct mapping mapping;
	char text[MAPPING_STRING_MAX];

	cr_assert_eq(mapping_decode(json, "", &gateway, &mapping, NULL), 0);
	cr_expect_str_eq(mapping_key_format(&mapping.key, text), "203.0.113.10:30001/tcp");
	cr_expect_eq(mapping.target.port, 22);
	cr_expect_eq(mapping.on_remove, ON_REMOVE_REVOKE);
	cr_expect_null(mapping.environment);
	mapping_clear(&mapping);
	json_decref(json);
}

Test(mapping, all_fields_survive_the_round_trip)
{
	json_t *json = parse(
		"{\"address\":\"203.0.113.11\",\"protocol\":\"udp\",\"port\":65535,"
		"\"target\":{\"address\":\"10.0.0.5\",\"port\":1},\"environment\":\"env-1\","
		"\"service\":\"mosh\",\"revision\":1234,\"allow\":[\"198.51.100.0/24\",\"192.0.2.1/32\"],"
		"\"max_connections\":100,\"new_connections_per_minute\":60,"
		"\"expires_at\":\"2027-01-01T00:00:00Z\",\"on_remove\":\"drain\"}");
	struct mapping mapping, copy;
	json_t *again;

	cr_assert_eq(mapping_decode(json, "", NULL, &mapping, NULL), 0);
	again = mapping_encode(&mapping);
	cr_expect(json_equal(json, again));
	cr_assert_eq(mapping_copy(&mapping, &copy), 0);
	cr_expect(mapping_equal(&mapping, &copy));
	copy.allow[1].length = 31;
	cr_expect_not(mapping_equal(&mapping, &copy));
	copy.allow[1].length = 32;
	copy.revision++;
	cr_expect(mapping_equal(&mapping, &copy), "the revision is no difference");
	mapping_clear(&mapping);
	mapping_clear(&copy);
	json_decref(json);
	json_decref(again);
}

#define TARGET "\"target\":{\"address\":\"10.0.0.5\",\"port\":22}"

Test(mapping, bad_input_names_its_field)
{
	const struct {
		const char *text;
		int error;
		const char *field;
	} samples[] = {
		{ "[]", -EINVAL, "m" },
		{ "{" TARGET "}", -EINVAL, "m.port" },
		{ "{\"port\":0," TARGET "}", -ERANGE, "m.port" },
		{ "{\"port\":65536," TARGET "}", -ERANGE, "m.port" },
		{ "{\"port\":-1," TARGET "}", -ERANGE, "m.port" },
		{ "{\"port\":1.5," TARGET "}", -EINVAL, "m.port" },
		{ "{\"port\":\"1\"," TARGET "}", -EINVAL, "m.port" },
		{ "{\"port\":1}", -EINVAL, "m.target" },
		{ "{\"port\":1,\"target\":{\"port\":1}}", -EINVAL, "m.target.address" },
		{ "{\"port\":1,\"target\":{\"address\":\"10.0.0.5\"}}", -EINVAL, "m.target.port" },
		{ "{\"port\":1,\"target\":{\"address\":\"host\",\"port\":1}}", -EINVAL,
		  "m.target.address" },
		{ "{\"port\":1,\"target\":{\"address\":\"224.0.0.1\",\"port\":1}}", -EINVAL,
		  "m.target.address" },
		{ "{\"port\":1,\"target\":{\"address\":\"2001:db8::5\",\"port\":1}}", -EINVAL,
		  "m.target.address" },
		{ "{\"port\":1,\"target\":{\"address\":\"10.0.0.5\",\"port\":1,\"x\":1}}", -EINVAL,
		  "m.target.x" },
		{ "{\"port\":1,\"address\":\"0.0.0.0\"," TARGET "}", -EINVAL, "m.address" },
		{ "{\"port\":1,\"protocol\":\"sctp\"," TARGET "}", -EINVAL, "m.protocol" },
		{ "{\"port\":1,\"environment\":\"Env 1\"," TARGET "}", -EINVAL, "m.environment" },
		{ "{\"port\":1,\"service\":\"\"," TARGET "}", -EINVAL, "m.service" },
		{ "{\"port\":1,\"allow\":\"all\"," TARGET "}", -EINVAL, "m.allow" },
		{ "{\"port\":1,\"allow\":[\"198.51.100.1/24\"]," TARGET "}", -EINVAL,
		  "m.allow[0]" },
		{ "{\"port\":1,\"allow\":[\"192.0.2.1\",\"2001:db8::/32\"]," TARGET "}", -EINVAL,
		  "m.allow[1]" },
		{ "{\"port\":1,\"allow\":[7]," TARGET "}", -EINVAL, "m.allow[0]" },
		{ "{\"port\":1,\"max_connections\":0," TARGET "}", -ERANGE, "m.max_connections" },
		{ "{\"port\":1,\"expires_at\":\"soon\"," TARGET "}", -EINVAL, "m.expires_at" },
		{ "{\"port\":1,\"on_remove\":\"keep\"," TARGET "}", -EINVAL, "m.on_remove" },
		{ "{\"port\":1,\"bogus\":1," TARGET "}", -EINVAL, "m.bogus" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(samples); i++) {
		struct error err = ERROR_INIT;
		struct mapping mapping;
		json_t *json = parse(samples[i].text);

		cr_expect_eq(mapping_decode(json, "m", &gateway, &mapping, &err), samples[i].error,
			     "%s: %s", samples[i].text, err.message);
		cr_expect_str_eq(err.field, samples[i].field, "%s: %s", samples[i].text,
				 err.message);
		json_decref(json);
	}
}

Test(mapping, the_address_is_required_without_a_default)
{
	json_t *json = parse("{\"port\":1," TARGET "}");
	struct error err = ERROR_INIT;
	struct mapping mapping;

	cr_expect_eq(mapping_decode(json, "", NULL, &mapping, &err), -EINVAL);
	cr_expect_str_eq(err.field, "address");
	json_decref(json);
}

Test(mapping, a_key_allows_only_what_it_is_told_to)
{
	static const char *const ignore[] = { "op", NULL };
	json_t *json = parse("{\"op\":\"delete\",\"port\":1}");
	struct mapping_key key;

	cr_expect_eq(mapping_key_decode(json, "", &gateway, ignore, &key, NULL), 0);
	cr_expect_eq(mapping_key_decode(json, "", &gateway, NULL, &key, NULL), -EINVAL);
	json_decref(json);
}

Test(mapping, a_key_reads_as_it_is_written_and_as_others_write_it)
{
	static const char *const same[] = {
		"{\"address\":\"203.0.113.10\",\"protocol\":\"udp\",\"port\":65535}",
		"{\"port\": 65535, \"protocol\": \"udp\", \"address\": \"203.0.113.10\"}",
	};
	static const char *const bad[] = {
		"{\"address\":\"203.0.113.10\",\"protocol\":\"udp\",\"port\":65536}",
		"{\"address\":\"203.0.113.10\",\"protocol\":\"udp\",\"port\":0}",
		"{\"address\":\"203.0.113.10\",\"protocol\":\"udp\",\"port\":1}x",
		"{\"address\":\"203.0.113.10\",\"protocol\":\"udp\",\"port\":1,\"x\":1}",
		"{\"address\":\"224.0.0.1\",\"protocol\":\"udp\",\"port\":1}",
		"{\"protocol\":\"udp\",\"port\":1}",
		"",
	};
	char text[MAPPING_TEXT_MAX];
	struct error err = ERROR_INIT;
	struct mapping_key key;

	for (size_t i = 0; i < ARRAY_SIZE(same); i++) {
		cr_assert_eq(mapping_key_read(same[i], &key, &err), 0, "%s", err.message);
		(void)mapping_key_write(&key, text);
		cr_assert_str_eq(text, same[0]);
	}
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		err = ERROR_INIT;
		cr_assert_lt(mapping_key_read(bad[i], &key, &err), 0, "%s", bad[i]);
		cr_assert(err.message[0]);
	}
}

Test(mapping, keys_have_a_total_order)
{
	const struct mapping_key sorted[] = {
		{ { AF_INET, { 10, 0, 0, 1 } }, 1, PROTOCOL_TCP },
		{ { AF_INET, { 10, 0, 0, 1 } }, 65535, PROTOCOL_TCP },
		{ { AF_INET, { 10, 0, 0, 1 } }, 1, PROTOCOL_UDP },
		{ { AF_INET, { 10, 0, 0, 2 } }, 1, PROTOCOL_TCP },
		{ { AF_INET6, { 0x20, 1 } }, 1, PROTOCOL_TCP },
	};

	for (size_t i = 0; i < ARRAY_SIZE(sorted); i++)
		for (size_t j = 0; j < ARRAY_SIZE(sorted); j++) {
			int r = mapping_key_compare(&sorted[i], &sorted[j]);

			cr_expect((i < j && r < 0) || (i == j && r == 0) || (i > j && r > 0),
				  "%zu and %zu: %d", i, j, r);
		}
}

Test(mapping, prefixes)
{
	static const char *const good[] = { "0.0.0.0/0", "198.51.100.0/24", "192.0.2.1/32",
					    "2001:db8::/32", "::/0" };
	static const char *const bad[] = { "",
					   "/",
					   "192.0.2.1/",
					   "192.0.2.1/33",
					   "192.0.2.1/24",
					   "192.0.2.0/024x",
					   "192.0.2.0/-1",
					   "::/129",
					   "2001:db8::1/32",
					   "192.0.2.0/24/8",
					   "host/24" };
	char text[PREFIX_STRING_MAX];
	struct prefix prefix;

	for (size_t i = 0; i < ARRAY_SIZE(good); i++) {
		cr_assert_eq(prefix_parse(good[i], &prefix), 0, "%s", good[i]);
		cr_expect_str_eq(prefix_format(&prefix, text), good[i]);
	}
	cr_assert_eq(prefix_parse("192.0.2.1", &prefix), 0);
	cr_expect_eq(prefix.length, 32);
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		cr_expect_eq(prefix_parse(bad[i], &prefix), -EINVAL, "%s", bad[i]);
}
