/* SPDX-License-Identifier: GPL-2.0-or-later */
/* GET /v1/mappings/ADDRESS/PROTOCOL/PORT:why: reads the path and the query, and answers when the
 * walk has come to its end.
 */
#include "gatewayd/api_why.h"

#include <errno.h>

#include "gatewayd/api_query.h"

static int read_address(const char *text, const char *field, struct address *ret, struct error *err)
{
	if (text && address_parse(text, ret) == 0)
		return 0;
	return error_set(err, -EINVAL, "invalid", field, "%s: \"%s\" is not an IP address", field,
			 text ? text : "");
}

static int read_key(const struct http_request *request, struct mapping_key *ret, struct error *err)
{
	const char *protocol = http_request_param(request, "protocol");
	const char *port = http_request_param(request, "port");
	int r;

	r = read_address(http_request_param(request, "address"), "address", &ret->address, err);
	if (r < 0)
		return r;
	if (!protocol || protocol_parse(protocol) == PROTOCOL_INVALID)
		return error_set(err, -EINVAL, "invalid", "protocol",
				 "protocol: \"%s\" is neither tcp nor udp",
				 protocol ? protocol : "");
	ret->protocol = (uint8_t)protocol_parse(protocol);
	if (!port || port_parse(port, &ret->port) < 0)
		return error_set(err, -EINVAL, "invalid", "port",
				 "port: \"%s\" is not in 1 to 65535", port ? port : "");
	return 0;
}

static int read_source(const struct http_request *request, const struct mapping_key *key,
		       struct address *ret, struct error *err)
{
	const char *text = http_request_query(request, "source");
	int r;

	if (!text)
		return 0;
	r = read_address(text, "source", ret, err);
	if (r < 0)
		return r;
	if (ret->family != key->address.family)
		return error_set(err, -EINVAL, "invalid", "source",
				 "source: \"%s\" is not of the family of the port's address", text);
	return 0;
}

static void on_walked(json_t *answer, const struct error *err, void *userdata)
{
	struct http_request *request = userdata;

	if (answer)
		http_reply_json(request, 200, answer);
	else
		http_reply_error(request, err);
}

void api_why(struct http_request *request, struct why *why)
{
	static const char *const known[] = { "source", NULL };
	struct mapping_key key = { 0 };
	struct address source = { 0 };
	struct error err = ERROR_INIT;
	int r;

	r = api_check_query(request, known, &err);
	if (r == 0)
		r = read_key(request, &key, &err);
	if (r == 0)
		r = read_source(request, &key, &source, &err);
	if (r < 0) {
		http_reply_error(request, &err);
		return;
	}
	why_walk(why, &key, &source, on_walked, request);
}
