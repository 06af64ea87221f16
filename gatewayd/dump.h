/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Reading our table back from the kernel: its structure compared with our shape, and the elements
 * of its maps, all of one generation of the ruleset. It changes nothing in the kernel.
 */
#pragma once

#include "gatewayd/netlink.h"
#include "gatewayd/plan.h"

/* An element as the kernel has it. */
struct dump_element {
	struct mapping_key key;
	struct endpoint target;
	char *comment; /* owned; NULL if none */
};

struct dump {
	uint32_t generation;
	struct structure structure;
	struct dump_element *elements;
	size_t n_elements, allocated;
	unsigned repeats; /* times that it was interrupted and begun again */
};
void dump_clear(struct dump *dump);

/* The generation of this network namespace's ruleset. */
int dump_generation(struct netlink *netlink, uint32_t *ret) _must_check_;

/* Reads the whole table. Where structure.stale, elements are those of maps whose keys and values
 * can be read all the same. -EAGAIN where the ruleset kept changing; after any error the socket
 * has to be closed, since a dump may still be under way on it. */
int dump_table(struct netlink *netlink, const struct shape *shape, struct dump *ret) _must_check_;

/* Whether the kernel has this element. *ret_target is set where it has. */
int dump_element(struct netlink *netlink, const struct mapping_key *key, bool *ret_exists,
		 struct endpoint *ret_target) _must_check_;
