/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Links and addresses of this network namespace, followed with libnl's caches, and word that routes
 * have changed. It decides nothing. Routes are not kept: a gateway may have a million of them, and
 * route.h asks the kernel for the one that matters.
 */
#pragma once

#include <event2/event.h>
#include <net/if.h>

#include "lib/address.h"

struct network;

enum network_change {
	NETWORK_LINKS = 1 << 0,
	NETWORK_ADDRESSES = 1 << 1,
	NETWORK_ROUTES = 1 << 2,
};

struct network_link {
	int index;
	char name[IF_NAMESIZE];
	bool up;
	bool loopback;
};

struct network_address {
	struct address address;
	int link;
	bool global;    /* of global scope, and the kernel has found no other machine with it */
	bool temporary; /* of IPv6's privacy extensions: gone tomorrow */
};

#define NETWORK_LINKS_MAX 1024
#define NETWORK_ADDRESSES_MAX 4096

/* Reads links and addresses. With a base it follows them and tells of changes (enum network_change,
 * those of a moment at once) from the loop; on_change may be NULL. With base NULL it is what it
 * was. */
int network_new(struct network **ret, struct event_base *base,
		void (*on_change)(unsigned what, void *userdata), void *userdata) _must_check_;
void network_free(struct network *network); /* NULL is fine */

/* Fills ret, by index; returns how many, up to max. */
size_t network_links(const struct network *network, struct network_link *ret, size_t max);
/* Fills ret, by link and then as the kernel has them; returns how many, up to max. */
size_t network_addresses(const struct network *network, struct network_address *ret, size_t max);

/* False where there is none of that index. */
bool network_find_link(const struct network *network, int index, struct network_link *ret);
/* The link of an address, 0 where none has it. */
int network_link_of(const struct network *network, const struct address *address);

DEFINE_CLEANUP(struct network *, network_free, cleanup_network)
