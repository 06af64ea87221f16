/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The pool of external ports: which of (address, protocol, port) are free, and which one is next.
 * It knows numbers only; who owns a port and why is in the port rows.
 */
#pragma once

#include "lib/address.h"
#include "lib/error.h"
#include "proto/mapping.h"

#define PORT_POOL_ADDRESSES_MAX 256

struct port_pool {
	struct address *addresses; /* in the order in which they are used; owned */
	size_t n_addresses;
	uint16_t first, last; /* of each address and protocol */
	uint64_t *taken;      /* bits by address, protocol, port; owned */
	size_t words;         /* of one address and protocol */
};

/* Copies addresses (unicast, no duplicates; at least one) and starts with all ports free. -EINVAL
 * names the option. */
int port_pool_init(struct port_pool *pool, const struct address *addresses, size_t n_addresses,
		   uint16_t first, uint16_t last, struct error *err) _must_check_;
void port_pool_clear(struct port_pool *pool);

/* "30001-30999" or "30001". -EINVAL names the value. */
int port_range_parse(const char *text, uint16_t *ret_first, uint16_t *ret_last, struct error *err)
	_must_check_;

bool port_pool_contains(const struct port_pool *pool, const struct mapping_key *key);
/* Marks a port as owned or free; a key outside the pool, as a row from before a change of the
 * configuration may have, is ignored. */
void port_pool_take(struct port_pool *pool, const struct mapping_key *key);
void port_pool_give(struct port_pool *pool, const struct mapping_key *key);

/* The first free port in order of address and number; wanted != 0 asks for that number on any
 * address. Takes nothing. -ERANGE: wanted is outside the range; -EEXIST: wanted is owned, or was a
 * moment ago, on all addresses; -ENOSPC: no port is free. */
int port_pool_find(const struct port_pool *pool, enum protocol protocol, uint16_t wanted,
		   struct mapping_key *ret) _must_check_;

/* Ports in the pool and how many of them are owned, for metrics. */
size_t port_pool_size(const struct port_pool *pool);
size_t port_pool_taken(const struct port_pool *pool);
/* Ports of one protocol that nobody owns. */
size_t port_pool_free(const struct port_pool *pool, enum protocol protocol);
