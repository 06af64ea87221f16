/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Asking the kernel for single things of our table: elements by their keys, and named counters. It
 * changes nothing in the kernel.
 */
#pragma once

#include "gatewayd/element.h"
#include "gatewayd/netlink.h"

/* Reads the named counters' packets; 0 for those that are not there. -EINTR where the table changed
 * meanwhile: it may be repeated. After any error the socket has to be closed. */
int lookup_counters(struct netlink *netlink, uint64_t ret_packets[SHAPE_COUNTER_MAX]) _must_check_;

/* Asks for the elements with these keys, at most so many and all of one set, and hands each that is
 * there to the callback: a cost that grows with the keys and not with the set. The kernel stops at
 * the first key that it does not have. */
#define LOOKUP_KEYS_MAX 64
int lookup_keys(struct netlink *netlink, const struct member_key *keys, size_t n,
		void (*on_element)(const struct element *element, void *userdata), void *userdata)
	_must_check_;

/* Whether the kernel has an element with this key. *ret is set where it has. */
int lookup_element(struct netlink *netlink, const struct member_key *key, bool *ret_exists,
		   struct element *ret) _must_check_;
