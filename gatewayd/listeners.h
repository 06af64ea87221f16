/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Sockets of the gateway itself that wait for strangers: TCP that listens, UDP that is bound and
 * not connected. A mapping of their port would take it away from them. It reads sock_diag and
 * changes nothing.
 */
#pragma once

#include "gatewayd/netlink.h"
#include "proto/mapping.h"

struct listener {
	struct endpoint local; /* the unspecified address: on every one of its family */
	uint8_t protocol;      /* enum protocol */
	bool v6_only;          /* an unspecified IPv6 address does not mean IPv4 too */
	uint32_t inode;        /* of the socket, for socket_owner_find */
};

struct listeners {
	struct netlink netlink;
};

#define LISTENERS_INIT ((struct listeners){ .netlink = NETLINK_INIT })

/* -ENOENT where the kernel cannot tell of TCP or UDP sockets (inet_diag, tcp_diag, udp_diag). */
int listeners_open(struct listeners *ret) _must_check_;
void listeners_close(struct listeners *listeners); /* closed already is fine */

/* Asks the kernel for the one socket that would get a packet to this key, as its own lookup does.
 * One message there and one back, whatever the number of sockets. */
int listeners_find(struct listeners *listeners, const struct mapping_key *key, bool *ret_found,
		   struct listener *ret) _must_check_;

/* All of them, in the order of listener_compare; the caller frees *ret. */
int listeners_list(struct listeners *listeners, struct listener **ret, size_t *ret_n) _must_check_;

/* By protocol and port, then by address. */
int listener_compare(const struct listener *a, const struct listener *b);
/* The first of a sorted list that would get a packet to this key; NULL if there is none. */
const struct listener *listeners_search(const struct listener *list, size_t n,
					const struct mapping_key *key);
/* Whether it would get a packet to this key. */
bool listener_takes(const struct listener *listener, const struct mapping_key *key);

/* "0.0.0.0:22 (sshd, pid 812)"; without the process where that cannot be read. Returns buffer. */
#define LISTENER_STRING_MAX (ENDPOINT_STRING_MAX + 56)
const char *listener_describe(const struct listener *listener, char buffer[LISTENER_STRING_MAX]);
