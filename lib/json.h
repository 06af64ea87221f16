/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Reading JSON objects strictly, on top of jansson: every error names the field, and a field
 * that nobody asked for is an error.
 *
 *	struct json_reader reader;
 *	json_reader_init(&reader, object, "target", err);
 *	json_read_string(&reader, "address", JSON_REQUIRED, 64, &text);
 *	json_read_uint(&reader, "port", JSON_REQUIRED, 1, 65535, &port);
 *	r = json_reader_finish(&reader);
 *
 * Errors are sticky: after the first one the calls do nothing and finish returns it.
 * What they return is borrowed from the object.
 */
#pragma once

#include <jansson.h>

#include "lib/error.h"
#include "lib/util.h"

static inline void cleanup_json(json_t **json)
{
	json_decref(*json);
}
#define _cleanup_json_ _cleanup_(cleanup_json)

/* json_decode's limit on nesting; jansson's own is 2048. */
#define JSON_DEPTH_MAX 32
/* Fields of one object that a reader can follow. */
#define JSON_READER_FIELDS_MAX 64

enum json_presence {
	JSON_REQUIRED,
	JSON_OPTIONAL, /* absent or null leaves *ret as it was */
};

struct json_reader {
	json_t *object;   /* borrowed */
	const char *path; /* borrowed; "" at the top */
	struct error *err;
	int status;
	unsigned n_seen;
	const char *seen[JSON_READER_FIELDS_MAX];
};

/* Starts reading. path is the object's own path, used as prefix in errors; err may be NULL.
 * Where object is not a JSON object the reader starts in the error state. */
void json_reader_init(struct json_reader *reader, json_t *object, const char *path,
		      struct error *err);

/* Each gives 0 or the sticky error. A wrong type is -EINVAL "invalid"; a missing required
 * field -EINVAL "missing"; a number outside [min, max] -ERANGE "out_of_range"; a string
 * longer than max_length bytes or with a NUL inside -EINVAL "invalid". */
int json_read_string(struct json_reader *reader, const char *field, enum json_presence presence,
		     size_t max_length, const char **ret);
int json_read_uint(struct json_reader *reader, const char *field, enum json_presence presence,
		   uint64_t min, uint64_t max, uint64_t *ret);
int json_read_bool(struct json_reader *reader, const char *field, enum json_presence presence,
		   bool *ret);
int json_read_object(struct json_reader *reader, const char *field, enum json_presence presence,
		     json_t **ret);
int json_read_array(struct json_reader *reader, const char *field, enum json_presence presence,
		    size_t max_items, json_t **ret);
/* RFC 3339 in UTC ("2027-01-01T00:00:00Z") to seconds since the epoch. */
int json_read_time(struct json_reader *reader, const char *field, enum json_presence presence,
		   int64_t *ret);

/* Sets the sticky error for a field that has the right type and a wrong value. code is
 * static. Returns errnum. */
int json_reader_fail(struct json_reader *reader, int errnum, const char *code, const char *field,
		     const char *format, ...) _printf_(5, 6);

/* Takes fields as read without looking at them. names is NULL-terminated and outlives the reader;
 * NULL names none. */
void json_reader_ignore(struct json_reader *reader, const char *const *names);

/* Joins the reader's path and a field: "target" + "port" -> "target.port". Returns buffer. */
const char *json_reader_path(const struct json_reader *reader, const char *field,
			     char buffer[ERROR_FIELD_MAX]);

/* The sticky error, or -EINVAL "unknown_field" for the first field that was not read, or 0. */
int json_reader_finish(struct json_reader *reader) _must_check_;

/* Parses one JSON text (object or array at the top, UTF-8, no duplicate keys, at most
 * JSON_DEPTH_MAX deep). -EINVAL "malformed" with line and column, -ENOMEM. The caller owns *ret. */
int json_decode(const char *text, size_t length, json_t **ret, struct error *err) _must_check_;

/* Compact text of json, without a newline. The caller frees it. NULL when out of memory. */
char *json_encode(const json_t *json);

/* A string of any bytes, such as what a client sent or a sentence that was cut: where it is not
 * UTF-8, each byte beyond ASCII becomes a "?". NULL: out of memory. */
json_t *json_text(const char *text);

/* A JSON string in RFC 3339 UTC; a new reference, NULL when out of memory. */
json_t *json_time(int64_t seconds);
