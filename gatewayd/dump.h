/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Reading our table back from the kernel: its structure compared with our shape, and the elements
 * of its sets, all of one generation of the ruleset. It changes nothing in the kernel.
 */
#pragma once

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
