/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Where the kernel would send a packet: its own answer for one destination, and what it knows of
 * the next machine on the way. It reads rtnetlink and changes nothing.
 */
#pragma once

#include "gatewayd/netlink.h"
#include "lib/address.h"

enum route_kind {
	ROUTE_NONE, /* there is no way: see errnum */
	ROUTE_FORWARD,
	ROUTE_LOCAL, /* this machine itself */
	ROUTE_KIND_MAX,
};

struct route {
	enum route_kind kind;
	int errnum; /* NONE: -ENETUNREACH, -EACCES (prohibit), -EINVAL (blackhole), … */
	int link;   /* by which it leaves */
	struct address gateway; /* the next machine; none: the destination itself */
	struct address source;  /* that the kernel would choose */
};

enum neighbour_state {
	NEIGHBOUR_UNKNOWN,    /* nobody has asked lately */
	NEIGHBOUR_INCOMPLETE, /* asked, no answer so far */
	NEIGHBOUR_FAILED,     /* asked, no answer */
	NEIGHBOUR_KNOWN,
	NEIGHBOUR_STATE_MAX,
};

struct routes {
	struct netlink netlink;
};

#define ROUTES_INIT ((struct routes){ .netlink = NETLINK_INIT })

int routes_open(struct routes *ret) _must_check_;
void routes_close(struct routes *routes); /* closed already is fine */

/* The route to an address, for a packet of this machine's own. An error only where the kernel
 * cannot be asked; the socket has then been opened anew. */
int routes_find(struct routes *routes, const struct address *to, struct route *ret) _must_check_;

/* The link by which the internet of that family is reached: the default route's, 0 where there is
 * none. */
int routes_uplink(struct routes *routes, uint8_t family);

int routes_neighbour(struct routes *routes, int link, const struct address *address,
		     enum neighbour_state *ret) _must_check_;
