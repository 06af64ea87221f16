/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Paths and queries: the matching of a route's pattern, and percent-decoding. It knows no sockets.
 */
#pragma once

#include "lib/util.h"

#define HTTP_FIELDS_MAX 16

/* Decoded names and values, owned. */
struct http_fields {
	struct http_field {
		char *name, *value;
	} items[HTTP_FIELDS_MAX];
	size_t n;
};

/* NULL where there is no such field. */
const char *http_fields_get(const struct http_fields *fields, const char *name);
void http_fields_clear(struct http_fields *fields);

/* 1 and the decoded parameters where path fits the pattern (see struct http_route), 0 where it does
 * not; -EINVAL where a parameter is not valid percent-encoding, -ENOMEM. */
int http_route_match(const char *pattern, const char *path, struct http_fields *ret_params)
	_must_check_;

/* Parses "a=1&b&c=%20"; a name without '=' has the value "". NULL is an empty query. -EINVAL for a
 * bad encoding, a name given twice or an empty one, -E2BIG over HTTP_FIELDS_MAX, -ENOMEM. */
int http_query_parse(const char *query, struct http_fields *ret) _must_check_;
