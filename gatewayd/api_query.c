/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the local API's requests have in common in their queries. */
#include "gatewayd/api_query.h"

#include <errno.h>

#include "lib/address.h"

int api_check_query(const struct http_request *request, const char *const *known, struct error *err)
{
	static const char *const none[] = { NULL };
	const char *unknown = http_request_unknown_query(request, known ? known : none);

	if (!unknown)
		return 0;
	return error_set(err, -EINVAL, "unknown_field", unknown, "there is no parameter %s",
			 unknown);
}

int api_read_port(const struct http_request *request, uint16_t *ret, struct error *err)
{
	const char *text = http_request_query(request, "port");

	if (text && port_parse(text, ret) < 0)
		return error_set(err, -EINVAL, "invalid", "port",
				 "port: \"%s\" is not in 1 to 65535", text);
	return 0;
}

int api_read_environment(const struct http_request *request, const char **ret, struct error *err)
{
	const char *text = http_request_query(request, "environment");

	if (text && !*text)
		return error_set(err, -EINVAL, "invalid", "environment", "environment: is empty");
	*ret = text;
	return 0;
}
