/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Which of a machine's addresses are public: the rule by which they are found where none is
 * configured. It is pure.
 */
#pragma once

#include "gatewayd/network.h"

/* The links by which the internet is reached, 0: none. */
struct uplinks {
	int v4, v6;
};

/* Whether the internet could reach it: not of a private network, nor link-local, loopback,
 * multicast, of a provider's own network (100.64.0.0/10), or reserved. */
bool address_is_public(const struct address *address);

/* Chooses for each family the public addresses, or, where that family has none of them, the private
 * ones of its uplink, since something before it may translate. Temporary IPv6 addresses never
 * count. ret has room for n. In order: IPv4 before IPv6, those of the uplink first, then by link
 * and address. Returns how many. */
size_t address_choose(const struct network_address *all, size_t n, const struct uplinks *uplinks,
		      struct address *ret);
