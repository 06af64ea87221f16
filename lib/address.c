/* SPDX-License-Identifier: GPL-2.0-or-later */
/* IP addresses, endpoints, protocols and ports as text and as values. */
#include "lib/address.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

size_t address_length(const struct address *address)
{
	switch (address->family) {
	case AF_INET:
		return sizeof(struct in_addr);
	case AF_INET6:
		return sizeof(struct in6_addr);
	}
	return 0;
}

int address_parse(const char *text, struct address *ret)
{
	struct address address = { .family = strchr(text, ':') ? AF_INET6 : AF_INET };

	if (inet_pton(address.family, text, address.bytes) != 1)
		return -EINVAL;
	*ret = address;
	return 0;
}

const char *address_format(const struct address *address, char buffer[ADDRESS_STRING_MAX])
{
	buffer[0] = '\0';
	if (address->family != AF_UNSPEC)
		(void)!inet_ntop(address->family, address->bytes, buffer, ADDRESS_STRING_MAX);
	return buffer;
}

int address_compare(const struct address *a, const struct address *b)
{
	if (a->family != b->family)
		return a->family < b->family ? -1 : 1;
	return memcmp(a->bytes, b->bytes, sizeof(a->bytes));
}

bool address_equal(const struct address *a, const struct address *b)
{
	return address_compare(a, b) == 0;
}

bool address_is_loopback(const struct address *address)
{
	if (address->family == AF_INET)
		return address->bytes[0] == 127;
	return address->family == AF_INET6 &&
	       memcmp(address->bytes, &in6addr_loopback, sizeof(in6addr_loopback)) == 0;
}

bool address_is_unicast(const struct address *address)
{
	if (address->family == AF_INET) /* 0.0.0.0/8, and 224.0.0.0/4 up to the broadcast address */
		return address->bytes[0] != 0 && address->bytes[0] < 224;
	return address->family == AF_INET6 && address->bytes[0] != 0xff &&
	       memcmp(address->bytes, &in6addr_any, sizeof(in6addr_any)) != 0;
}

int endpoint_parse(const char *text, struct endpoint *ret)
{
	char host[ADDRESS_STRING_MAX];
	const char *colon = strrchr(text, ':'), *start = text, *end = colon;
	struct endpoint endpoint = { 0 };
	int r;

	if (!colon)
		return -EINVAL;
	if (*text == '[') {
		start = text + 1;
		end = colon - 1;
		if (end <= start || *end != ']')
			return -EINVAL;
	}
	if ((size_t)(end - start) >= sizeof(host))
		return -EINVAL;
	memcpy(host, start, (size_t)(end - start));
	host[end - start] = '\0';
	r = address_parse(host, &endpoint.address);
	if (r < 0)
		return r;
	if ((endpoint.address.family == AF_INET6) != (*text == '['))
		return -EINVAL;
	if (port_parse(colon + 1, &endpoint.port) < 0)
		return -EINVAL;
	*ret = endpoint;
	return 0;
}

const char *endpoint_format(const struct endpoint *endpoint, char buffer[ENDPOINT_STRING_MAX])
{
	char address[ADDRESS_STRING_MAX];

	snprintf(buffer, ENDPOINT_STRING_MAX,
		 endpoint->address.family == AF_INET6 ? "[%s]:%u" : "%s:%u",
		 address_format(&endpoint->address, address), endpoint->port);
	return buffer;
}

int endpoint_compare(const struct endpoint *a, const struct endpoint *b)
{
	int order = address_compare(&a->address, &b->address);

	if (order != 0)
		return order;
	return (a->port > b->port) - (a->port < b->port);
}

bool endpoint_equal(const struct endpoint *a, const struct endpoint *b)
{
	return a->port == b->port && address_equal(&a->address, &b->address);
}

socklen_t endpoint_to_sockaddr(const struct endpoint *endpoint, struct sockaddr_storage *ret)
{
	struct sockaddr_in *v4 = (struct sockaddr_in *)ret;
	struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)ret;

	memset(ret, 0, sizeof(*ret));
	ret->ss_family = endpoint->address.family;
	if (endpoint->address.family == AF_INET) {
		v4->sin_port = htons(endpoint->port);
		memcpy(&v4->sin_addr, endpoint->address.bytes, sizeof(v4->sin_addr));
		return sizeof(*v4);
	}
	v6->sin6_port = htons(endpoint->port);
	memcpy(&v6->sin6_addr, endpoint->address.bytes, sizeof(v6->sin6_addr));
	return sizeof(*v6);
}

enum protocol protocol_parse(const char *text)
{
	if (strcmp(text, "tcp") == 0)
		return PROTOCOL_TCP;
	if (strcmp(text, "udp") == 0)
		return PROTOCOL_UDP;
	return PROTOCOL_INVALID;
}

const char *protocol_name(enum protocol protocol)
{
	switch (protocol) {
	case PROTOCOL_TCP:
		return "tcp";
	case PROTOCOL_UDP:
		return "udp";
	case PROTOCOL_INVALID:
		break;
	}
	return NULL;
}

int port_parse(const char *text, uint16_t *ret)
{
	uint32_t value = 0;

	if (!*text)
		return -EINVAL;
	for (; *text; text++) {
		if (*text < '0' || *text > '9')
			return -EINVAL;
		value = value * 10 + (uint32_t)(*text - '0');
		if (value > UINT16_MAX)
			return -ERANGE;
	}
	if (value == 0)
		return -ERANGE;
	*ret = (uint16_t)value;
	return 0;
}
