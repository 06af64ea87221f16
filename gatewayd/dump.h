/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Reading our table back from the kernel: its structure compared with our shape, and the elements
 * of its sets, all of one generation of the ruleset. It changes nothing in the kernel.
 */
#pragma once

#include "gatewayd/element.h"
#include "gatewayd/netlink.h"
#include "gatewayd/plan.h"

/* A mapping's element as the kernel has it. */
struct dump_element {
	struct mapping_key key;
	struct endpoint target;
	char *comment;      /* owned; NULL if none */
	int64_t expires_at; /* Unix seconds; 0: never */
};

/* An element of any other set. */
struct dump_member {
	struct member_key key;
	struct member_terms terms; /* its comment is owned */
	uint64_t packets;
};

struct dump {
	uint32_t generation;
	struct structure structure;
	struct dump_element *elements;
	size_t n_elements, elements_allocated;
	struct dump_member *members;
	size_t n_members, members_allocated;
	unsigned repeats; /* times that it was interrupted and begun again */
};
void dump_clear(struct dump *dump);

/* The generation of this network namespace's ruleset. */
int dump_generation(struct netlink *netlink, uint32_t *ret) _must_check_;

/* Reads the whole table. Where structure.stale, elements are those of sets whose keys and values
 * can be read all the same. -EAGAIN where the ruleset kept changing; after any error the socket
 * has to be closed, since a dump may still be under way on it. */
int dump_table(struct netlink *netlink, const struct shape *shape, struct dump *ret) _must_check_;

/* Reads the named counters' packets; 0 for those that are not there. -EINTR where the table changed
 * meanwhile: it may be repeated. After any error the socket has to be closed. */
int dump_counters(struct netlink *netlink, uint64_t ret_packets[SHAPE_COUNTER_MAX]) _must_check_;

/* Asks for the elements with these keys, all of one set, and hands each that is there to the
 * callback: a cost that grows with the keys and not with the set. The kernel stops at the first key
 * that it does not have. */
#define DUMP_KEYS_MAX 64
int dump_keys(struct netlink *netlink, const struct member_key *keys, size_t n,
	      void (*on_element)(const struct element *element, void *userdata), void *userdata)
	_must_check_;

/* Whether the kernel has an element with this key. *ret is set where it has. */
int dump_element(struct netlink *netlink, const struct member_key *key, bool *ret_exists,
		 struct element *ret) _must_check_;
