/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Strict reading of JSON objects: typed fields, paths in errors, no field unread. */
#include "lib/json.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "lib/clock.h"

static const char *type_name(const json_t *json)
{
	switch (json_typeof(json)) {
	case JSON_OBJECT:
		return "an object";
	case JSON_ARRAY:
		return "an array";
	case JSON_STRING:
		return "a string";
	case JSON_INTEGER:
		return "an integer";
	case JSON_REAL:
		return "a fraction";
	case JSON_TRUE:
	case JSON_FALSE:
		return "a boolean";
	case JSON_NULL:
		break;
	}
	return "null";
}

void json_reader_init(struct json_reader *reader, json_t *object, const char *path,
		      struct error *err)
{
	*reader = (struct json_reader){ .object = object, .path = path, .err = err };
	if (!json_is_object(object))
		reader->status = error_set(err, -EINVAL, "invalid", path, "%s%smust be an object",
					   path, *path ? ": " : "the body ");
}

const char *json_reader_path(const struct json_reader *reader, const char *field,
			     char buffer[ERROR_FIELD_MAX])
{
	snprintf(buffer, ERROR_FIELD_MAX, "%s%s%s", reader->path, *reader->path ? "." : "", field);
	return buffer;
}

int json_reader_fail(struct json_reader *reader, int errnum, const char *code, const char *field,
		     const char *format, ...)
{
	char path[ERROR_FIELD_MAX], text[ERROR_MESSAGE_MAX - ERROR_FIELD_MAX];
	va_list args;

	if (reader->status < 0)
		return reader->status;
	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	json_reader_path(reader, field, path);
	error_set(reader->err, errnum, code, path, "%s: %s", path, text);
	reader->status = errnum;
	return errnum;
}

/* Fields that are read are borrowed from string literals of the caller. */
static int note_seen(struct json_reader *reader, const char *field)
{
	if (reader->n_seen == JSON_READER_FIELDS_MAX)
		return json_reader_fail(reader, -EINVAL, "invalid", field, "more than %d fields",
					JSON_READER_FIELDS_MAX);
	reader->seen[reader->n_seen++] = field;
	return 0;
}

void json_reader_ignore(struct json_reader *reader, const char *const *names)
{
	for (; names && *names && reader->status == 0; names++)
		note_seen(reader, *names);
}

/* The value, or NULL where there is nothing to read: absent and optional, or an error. */
static json_t *take(struct json_reader *reader, const char *field, enum json_presence presence)
{
	json_t *value;

	if (reader->status < 0 || note_seen(reader, field) < 0)
		return NULL;
	value = json_object_get(reader->object, field);
	if (value && !json_is_null(value))
		return value;
	if (presence == JSON_REQUIRED)
		json_reader_fail(reader, -EINVAL, "missing", field, "is required");
	return NULL;
}

static int wrong_type(struct json_reader *reader, const char *field, const char *wanted,
		      const json_t *value)
{
	return json_reader_fail(reader, -EINVAL, "invalid", field, "must be %s, not %s", wanted,
				type_name(value));
}

int json_read_string(struct json_reader *reader, const char *field, enum json_presence presence,
		     size_t max_length, const char **ret)
{
	json_t *value = take(reader, field, presence);

	if (!value)
		return reader->status;
	if (!json_is_string(value))
		return wrong_type(reader, field, "a string", value);
	if (json_string_length(value) > max_length)
		return json_reader_fail(reader, -EINVAL, "invalid", field,
					"is longer than %zu bytes", max_length);
	if (strlen(json_string_value(value)) != json_string_length(value))
		return json_reader_fail(reader, -EINVAL, "invalid", field,
					"contains a NUL character");
	*ret = json_string_value(value);
	return 0;
}

int json_read_uint(struct json_reader *reader, const char *field, enum json_presence presence,
		   uint64_t min, uint64_t max, uint64_t *ret)
{
	json_t *value = take(reader, field, presence);
	json_int_t number;

	if (!value)
		return reader->status;
	if (!json_is_integer(value))
		return wrong_type(reader, field, "an integer", value);
	number = json_integer_value(value);
	if (number < 0 || (uint64_t)number < min || (uint64_t)number > max)
		return json_reader_fail(reader, -ERANGE, "out_of_range", field,
					"%" JSON_INTEGER_FORMAT " is outside %" PRIu64 "…%" PRIu64,
					number, min, max);
	*ret = (uint64_t)number;
	return 0;
}

int json_read_bool(struct json_reader *reader, const char *field, enum json_presence presence,
		   bool *ret)
{
	json_t *value = take(reader, field, presence);

	if (!value)
		return reader->status;
	if (!json_is_boolean(value))
		return wrong_type(reader, field, "true or false", value);
	*ret = json_is_true(value);
	return 0;
}

int json_read_object(struct json_reader *reader, const char *field, enum json_presence presence,
		     json_t **ret)
{
	json_t *value = take(reader, field, presence);

	if (!value)
		return reader->status;
	if (!json_is_object(value))
		return wrong_type(reader, field, "an object", value);
	*ret = value;
	return 0;
}

int json_read_array(struct json_reader *reader, const char *field, enum json_presence presence,
		    size_t max_items, json_t **ret)
{
	json_t *value = take(reader, field, presence);

	if (!value)
		return reader->status;
	if (!json_is_array(value))
		return wrong_type(reader, field, "an array", value);
	if (json_array_size(value) > max_items)
		return json_reader_fail(reader, -EINVAL, "too_large", field,
					"has %zu items, more than %zu", json_array_size(value),
					max_items);
	*ret = value;
	return 0;
}

int json_read_time(struct json_reader *reader, const char *field, enum json_presence presence,
		   int64_t *ret)
{
	const char *text = NULL;

	if (json_read_string(reader, field, presence, 64, &text) < 0 || !text)
		return reader->status;
	if (time_parse(text, ret) < 0)
		return json_reader_fail(reader, -EINVAL, "invalid", field,
					"\"%s\" is not a time like 2027-01-01T00:00:00Z", text);
	return 0;
}

static bool was_read(const struct json_reader *reader, const char *field)
{
	for (unsigned i = 0; i < reader->n_seen; i++)
		if (strcmp(reader->seen[i], field) == 0)
			return true;
	return false;
}

int json_reader_finish(struct json_reader *reader)
{
	const char *field;
	json_t *value;

	if (reader->status < 0)
		return reader->status;
	json_object_foreach (reader->object, field, value) {
		if (!was_read(reader, field))
			return json_reader_fail(reader, -EINVAL, "unknown_field", field,
						"is not a known field");
	}
	return 0;
}

/* jansson allows 2,048 levels; nothing of ours needs more than a few. Counts outside strings. */
static bool too_deep(const char *text, size_t length)
{
	bool in_string = false;
	unsigned depth = 0;

	for (size_t i = 0; i < length; i++) {
		char c = text[i];

		if (in_string) {
			if (c == '\\')
				i++;
			else if (c == '"')
				in_string = false;
		} else if (c == '"') {
			in_string = true;
		} else if (c == '{' || c == '[') {
			if (++depth > JSON_DEPTH_MAX)
				return true;
		} else if ((c == '}' || c == ']') && depth > 0) {
			depth--;
		}
	}
	return false;
}

int json_decode(const char *text, size_t length, json_t **ret, struct error *err)
{
	json_error_t detail;
	json_t *json;

	if (too_deep(text, length))
		return error_set(err, -EINVAL, "malformed", NULL,
				 "the JSON text is nested deeper than %d levels", JSON_DEPTH_MAX);
	json = json_loadb(text, length, JSON_REJECT_DUPLICATES, &detail);
	if (!json) {
		if (json_error_code(&detail) == json_error_out_of_memory)
			return error_set(err, -ENOMEM, "internal", NULL, "out of memory");
		return error_set(err, -EINVAL, "malformed", NULL,
				 "not valid JSON: %s (line %d, column %d)", detail.text,
				 detail.line, detail.column);
	}
	*ret = json;
	return 0;
}

char *json_encode(const json_t *json)
{
	return json_dumps(json, JSON_COMPACT);
}

json_t *json_text(const char *text)
{
	json_t *json = json_string(text);
	_cleanup_free_ char *plain = NULL;

	if (json)
		return json;
	plain = strdup(text);
	if (!plain)
		return NULL;
	for (char *c = plain; *c; c++)
		if ((unsigned char)*c >= 0x80)
			*c = '?';
	return json_string(plain);
}

json_t *json_time(int64_t seconds)
{
	char text[TIME_STRING_MAX];

	return json_string(time_format(seconds, text));
}
