/* SPDX-License-Identifier: GPL-2.0-or-later */
/* IP addresses, endpoints, protocols and ports: plain values with parse, format and compare. */
#pragma once

#include <netinet/in.h>
#include <sys/socket.h>

#include "lib/error.h"
#include "lib/util.h"

/* An IPv4 or IPv6 address in network byte order; family AF_UNSPEC (0) means "none". For IPv4
 * only the first four bytes are used and the rest are zero, so that memcmp compares. */
struct address {
	uint8_t family;
	uint8_t bytes[16];
};

struct endpoint {
	struct address address;
	uint16_t port; /* host byte order */
};

enum protocol {
	PROTOCOL_TCP = IPPROTO_TCP,
	PROTOCOL_UDP = IPPROTO_UDP,
	PROTOCOL_INVALID = -1,
};

#define ADDRESS_STRING_MAX INET6_ADDRSTRLEN          /* with the terminating zero */
#define ENDPOINT_STRING_MAX (ADDRESS_STRING_MAX + 8) /* "[v6]:65535" */

/* Bytes of an address of this family: 4 or 16; 0 for AF_UNSPEC. */
size_t address_length(const struct address *address);

/* Parses dotted IPv4 or IPv6 text (no zone, no brackets). -EINVAL otherwise. */
int address_parse(const char *text, struct address *ret) _must_check_;

/* Writes the canonical text; "" for AF_UNSPEC. Returns buffer. */
const char *address_format(const struct address *address, char buffer[ADDRESS_STRING_MAX]);

/* <0, 0, >0: by family, then by bytes. A total order. */
int address_compare(const struct address *a, const struct address *b);
bool address_equal(const struct address *a, const struct address *b);
bool address_is_loopback(const struct address *address);

/* False for what no packet may be sent to as one host: unspecified, multicast, broadcast. */
bool address_is_unicast(const struct address *address);

/* "10.0.0.5:22" or "[2001:db8::5]:22"; the port is required and in 1…65535. -EINVAL otherwise. */
int endpoint_parse(const char *text, struct endpoint *ret) _must_check_;
const char *endpoint_format(const struct endpoint *endpoint, char buffer[ENDPOINT_STRING_MAX]);
int endpoint_compare(const struct endpoint *a, const struct endpoint *b);
bool endpoint_equal(const struct endpoint *a, const struct endpoint *b);

/* Fills *ret for connect() or bind(); returns its length. */
socklen_t endpoint_to_sockaddr(const struct endpoint *endpoint, struct sockaddr_storage *ret);

/* "tcp" and "udp"; PROTOCOL_INVALID, and NULL the other way, for anything else. */
enum protocol protocol_parse(const char *text);
const char *protocol_name(enum protocol protocol);

/* Decimal port in 1…65535, nothing around it. -EINVAL, or -ERANGE outside the range. */
int port_parse(const char *text, uint16_t *ret) _must_check_;
