/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Route patterns and query strings. */
#include "lib/http_route.h"

#include <errno.h>
#include <string.h>

const char *http_fields_get(const struct http_fields *fields, const char *name)
{
	for (size_t i = 0; i < fields->n; i++)
		if (strcmp(fields->items[i].name, name) == 0)
			return fields->items[i].value;
	return NULL;
}

void http_fields_clear(struct http_fields *fields)
{
	for (size_t i = 0; i < fields->n; i++) {
		free(fields->items[i].name);
		free(fields->items[i].value);
	}
	fields->n = 0;
}

static int hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return -1;
}

/* A new string from length encoded characters; an encoded NUL is refused. */
static int decode(const char *text, size_t length, bool plus_is_space, char **ret)
{
	_cleanup_free_ char *decoded = malloc(length + 1);
	char *end = decoded;

	if (!decoded)
		return -ENOMEM;
	for (size_t i = 0; i < length; i++) {
		if (text[i] == '+' && plus_is_space) {
			*end++ = ' ';
		} else if (text[i] != '%') {
			*end++ = text[i];
		} else {
			int high = length - i > 2 ? hex_digit(text[i + 1]) : -1;
			int low = high >= 0 ? hex_digit(text[i + 2]) : -1;

			if (low < 0 || high * 16 + low == 0)
				return -EINVAL;
			*end++ = (char)(high * 16 + low);
			i += 2;
		}
	}
	*end = '\0';
	*ret = TAKE_PTR(decoded);
	return 0;
}

static int add_param(struct http_fields *params, const char *name, size_t name_length,
		     const char *text, size_t length)
{
	_cleanup_free_ char *key = strndup(name, name_length), *value = NULL;
	int r;

	if (!key)
		return -ENOMEM;
	if (params->n == HTTP_FIELDS_MAX)
		return -E2BIG;
	r = decode(text, length, false, &value);
	if (r < 0)
		return r;
	params->items[params->n++] = (struct http_field){ TAKE_PTR(key), TAKE_PTR(value) };
	return 0;
}

static int match(const char *pattern, const char *path, struct http_fields *params)
{
	while (*pattern) {
		const char *name, *close;
		size_t length;
		int r;

		if (*pattern != '{') {
			if (*pattern++ != *path++)
				return 0;
			continue;
		}
		name = pattern + 1;
		close = strchr(name, '}');
		if (!close)
			return -EINVAL;
		pattern = close + 1;
		length = strcspn(path, (char[]){ '/', *pattern, '\0' });
		if (length == 0)
			return 0;
		r = add_param(params, name, (size_t)(close - name), path, length);
		if (r < 0)
			return r;
		path += length;
	}
	return !*path;
}

int http_route_match(const char *pattern, const char *path, struct http_fields *ret_params)
{
	struct http_fields params = { .n = 0 };
	int r = match(pattern, path, &params);

	if (r == 1)
		*ret_params = params;
	else
		http_fields_clear(&params);
	return r;
}

static int add_query(struct http_fields *fields, const char *text, size_t length)
{
	const char *equals = memchr(text, '=', length);
	size_t name_length = equals ? (size_t)(equals - text) : length;
	_cleanup_free_ char *name = NULL, *value = NULL;
	int r;

	if (fields->n == HTTP_FIELDS_MAX)
		return -E2BIG;
	r = decode(text, name_length, true, &name);
	if (r < 0)
		return r;
	if (!*name || http_fields_get(fields, name))
		return -EINVAL;
	r = equals ? decode(equals + 1, length - name_length - 1, true, &value)
		   : decode("", 0, true, &value);
	if (r < 0)
		return r;
	fields->items[fields->n++] = (struct http_field){ TAKE_PTR(name), TAKE_PTR(value) };
	return 0;
}

int http_query_parse(const char *query, struct http_fields *ret)
{
	struct http_fields fields = { .n = 0 };
	int r = 0;

	while (query && *query && r == 0) {
		size_t length = strcspn(query, "&");

		if (length > 0)
			r = add_query(&fields, query, length);
		query += length + (query[length] == '&');
	}
	if (r < 0)
		http_fields_clear(&fields);
	else
		*ret = fields;
	return r;
}
