/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the local API's requests have in common in their queries. A parameter that is not known is
 * refused, since to pass over it would answer, or do, more than was asked for. */
#pragma once

#include "lib/error.h"
#include "lib/http_server.h"

/* -EINVAL where the query has a parameter that is not in known (NULL-terminated; NULL: none). */
int api_check_query(const struct http_request *request, const char *const *known, struct error *err)
	_must_check_;
/* "port" into *ret, which stays as it is without one. -EINVAL. */
int api_read_port(const struct http_request *request, uint16_t *ret, struct error *err)
	_must_check_;
/* "environment", or NULL without one. -EINVAL where it is empty. */
int api_read_environment(const struct http_request *request, const char **ret, struct error *err)
	_must_check_;
