/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A public port as people name it. */
#include "schedctl/place.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

static int parse_protocol(const char *text, const char *slash, struct place *ret, struct error *err)
{
	ret->protocol = slash ? protocol_parse(slash + 1) : PROTOCOL_INVALID;
	if (slash && ret->protocol == PROTOCOL_INVALID)
		return error_set(err, -EINVAL, "usage", "port",
				 "port \"%s\": the protocol is neither tcp nor udp", text);
	return 0;
}

int place_parse(const char *text, struct place *ret, struct error *err)
{
	char rest[ENDPOINT_STRING_MAX];
	const char *slash = strrchr(text, '/');
	size_t length = slash ? (size_t)(slash - text) : strlen(text);
	struct place place = { 0 };
	struct endpoint endpoint;
	int r = parse_protocol(text, slash, &place, err);

	if (r < 0)
		return r;
	(void)snprintf(rest, sizeof(rest), "%.*s", (int)MIN(length, sizeof(rest)), text);
	if (*rest && strspn(rest, "0123456789") == length) {
		if (port_parse(rest, &place.port) < 0)
			return error_set(err, -EINVAL, "usage", "port",
					 "port \"%s\" is not in 1…65535", rest);
	} else if (length < sizeof(rest) && endpoint_parse(rest, &endpoint) == 0) {
		place.address = endpoint.address;
		place.port = endpoint.port;
	} else {
		return error_set(err, -EINVAL, "usage", "port",
				 "port \"%s\" is not PORT or ADDRESS:PORT, as in "
				 "203.0.113.10:30001/tcp",
				 text);
	}
	*ret = place;
	return 0;
}
