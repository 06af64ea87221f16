/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Strict reading of JSON: the field each error names, the error that stays, the limits. */
#include "lib/json.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>

static json_t *decode(const char *text)
{
	json_t *json = NULL;

	cr_assert_eq(json_decode(text, strlen(text), &json, NULL), 0, "%s", text);
	return json;
}

/* Reads one of every type below the path "spec". */
static int read_all(const char *text, struct error *err)
{
	_cleanup_json_ json_t *json = decode(text);
	json_t *object = NULL, *array = NULL;
	struct json_reader reader;
	const char *string = NULL;
	uint64_t number = 0;
	int64_t when = 0;
	bool flag = false;

	json_reader_init(&reader, json, "spec", err);
	json_read_string(&reader, "name", JSON_REQUIRED, 4, &string);
	json_read_uint(&reader, "port", JSON_OPTIONAL, 1, 65535, &number);
	json_read_bool(&reader, "queue", JSON_OPTIONAL, &flag);
	json_read_object(&reader, "labels", JSON_OPTIONAL, &object);
	json_read_array(&reader, "services", JSON_OPTIONAL, 2, &array);
	json_read_time(&reader, "until", JSON_OPTIONAL, &when);
	return json_reader_finish(&reader);
}

Test(json, every_error_names_its_field)
{
	static const struct {
		const char *text, *code, *field;
		int result;
	} cases[] = {
		{ "[]", "invalid", "spec", -EINVAL },
		{ "{}", "missing", "spec.name", -EINVAL },
		{ "{\"name\":null}", "missing", "spec.name", -EINVAL },
		{ "{\"name\":1}", "invalid", "spec.name", -EINVAL },
		{ "{\"name\":\"abcde\"}", "invalid", "spec.name", -EINVAL },
		{ "{\"name\":\"äöü\"}", "invalid", "spec.name", -EINVAL },
		{ "{\"name\":\"a\",\"port\":\"1\"}", "invalid", "spec.port", -EINVAL },
		{ "{\"name\":\"a\",\"port\":1.0}", "invalid", "spec.port", -EINVAL },
		{ "{\"name\":\"a\",\"port\":true}", "invalid", "spec.port", -EINVAL },
		{ "{\"name\":\"a\",\"port\":0}", "out_of_range", "spec.port", -ERANGE },
		{ "{\"name\":\"a\",\"port\":65536}", "out_of_range", "spec.port", -ERANGE },
		{ "{\"name\":\"a\",\"port\":-1}", "out_of_range", "spec.port", -ERANGE },
		{ "{\"name\":\"a\",\"queue\":1}", "invalid", "spec.queue", -EINVAL },
		{ "{\"name\":\"a\",\"labels\":[]}", "invalid", "spec.labels", -EINVAL },
		{ "{\"name\":\"a\",\"services\":{}}", "invalid", "spec.services", -EINVAL },
		{ "{\"name\":\"a\",\"services\":[1,2,3]}", "too_large", "spec.services", -EINVAL },
		{ "{\"name\":\"a\",\"until\":\"now\"}", "invalid", "spec.until", -EINVAL },
		{ "{\"name\":\"a\",\"until\":7}", "invalid", "spec.until", -EINVAL },
		{ "{\"name\":\"a\",\"Port\":1}", "unknown_field", "spec.Port", -EINVAL },
		{ "{\"port\":0,\"queue\":1}", "missing", "spec.name", -EINVAL },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct error err = ERROR_INIT;

		cr_expect_eq(read_all(cases[i].text, &err), cases[i].result, "%s", cases[i].text);
		cr_expect_eq(err.errnum, cases[i].result, "%s", cases[i].text);
		cr_assert_not_null(err.code, "%s", cases[i].text);
		cr_expect_str_eq(err.code, cases[i].code, "%s", cases[i].text);
		cr_expect_str_eq(err.field, cases[i].field, "%s", cases[i].text);
		cr_expect_eq(read_all(cases[i].text, NULL), cases[i].result, "%s", cases[i].text);
	}
}

Test(json, what_is_good)
{
	struct error err = ERROR_INIT;

	cr_expect_eq(read_all("{\"name\":\"äö\",\"port\":65535,\"queue\":false,\"labels\":{},"
			      "\"services\":[1,2],\"until\":\"2027-01-01T00:00:00Z\"}",
			      &err),
		     0, "%s", err.message);
	cr_expect_eq(read_all("{\"name\":\"\",\"port\":null,\"queue\":null,\"labels\":null}", &err),
		     0, "%s", err.message);
	cr_expect_eq(err.errnum, 0);
}

Test(json, text_that_is_refused)
{
	static const char *const bad[] = {
		"",
		" ",
		"{",
		"{\"a\":1,\"a\":2}",
		"{\"a\":1} x",
		"{\"a\":01}",
		"{'a':1}",
		"{\"a\":\"\xff\"}",
		"{\"a\":NaN}",
		"{\"a\":\"\\u0000\"}",
		"{\"a\":99999999999999999999}",
		"{\"a\":\"\\ud800\"}",
		"[1,]",
	};

	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		struct error err = ERROR_INIT;
		json_t *json = NULL;

		cr_expect_eq(json_decode(bad[i], strlen(bad[i]), &json, &err), -EINVAL, "%s",
			     bad[i]);
		cr_expect_null(json);
		cr_expect_eq(err.errnum, -EINVAL, "%s", bad[i]);
	}
}

static int decode_nested(unsigned depth)
{
	_cleanup_json_ json_t *json = NULL;
	char text[256];

	memset(text, '[', depth);
	memset(text + depth, ']', depth);
	return json_decode(text, (size_t)depth * 2, &json, NULL);
}

Test(json, depth)
{
	_cleanup_json_ json_t *json = decode("[\"[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[\\\"[[\"]");

	cr_expect(json_is_array(json)); /* brackets in a string are no levels */
	cr_expect_eq(decode_nested(JSON_DEPTH_MAX), 0);
	cr_expect_eq(decode_nested(JSON_DEPTH_MAX + 1), -EINVAL);
}

Test(json, any_bytes_make_a_string)
{
	static const struct {
		const char *bytes, *text;
	} cases[] = {
		{ "", "" },
		{ "plain\t\"x\"", "plain\t\"x\"" },
		{ "gr\xc3\xbc\xc3\x9f", "gr\xc3\xbc\xc3\x9f" },
		{ "cut \xc3", "cut ?" },
		{ "\xff/\xc3\xbc", "?/??" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		_cleanup_json_ json_t *json = json_text(cases[i].bytes);

		cr_assert(json);
		cr_assert_str_eq(json_string_value(json), cases[i].text);
	}
}
