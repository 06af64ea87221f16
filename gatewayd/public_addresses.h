/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The gateway's public addresses: those of the configuration, or, where it names none, those that
 * are found on its links. It keeps the list that mappings are admitted by, and says which of them
 * the machine has just now.
 */
#pragma once

#include "gatewayd/admit.h"
#include "gatewayd/ledger.h"
#include "gatewayd/network.h"
#include "gatewayd/route.h"
#include "lib/metrics.h"

struct public_addresses;

struct public_address {
	struct address address;
	bool present; /* the machine has it: on a link, or by a local route */
};

/* Without configured addresses they are found. network and routes are borrowed. */
int public_addresses_new(struct public_addresses **ret, const struct address *configured,
			 size_t n_configured, const struct network *network, struct routes *routes)
	_must_check_;
void public_addresses_free(struct public_addresses *addresses); /* NULL is fine */

/* A family of its own: portico_gateway_address_present. */
int public_addresses_meter(struct public_addresses *addresses, struct metrics *metrics)
	_must_check_;

/* Looks again, after a change of the network, and logs what is new. An address that was found and
 * is gone stays in the list while mappings use it; so do addresses of adopted mappings. True where
 * something is different now. */
bool public_addresses_refresh(struct public_addresses *addresses, const struct ledger *ledger);

/* Whether they were found, and not configured. */
bool public_addresses_found(const struct public_addresses *addresses);
/* By which mappings are admitted; it stays where it is and changes with each refresh. */
const struct admission *public_addresses_admission(const struct public_addresses *addresses);
const struct public_address *public_addresses_list(const struct public_addresses *addresses,
						   size_t *ret_n);

DEFINE_CLEANUP(struct public_addresses *, public_addresses_free, cleanup_public_addresses)
