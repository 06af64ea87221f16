/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A min-heap: of items that come and go, the one of the lowest order is at hand. The node lies
 * within the item, so that nothing is allocated and nothing can fail. It is a pairing heap: to add
 * costs a comparison, to remove the logarithm of their number, on the average over many.
 */
#pragma once

#include "lib/util.h"

/* All zero, while it is in no heap. */
struct min_heap_node {
	int64_t order;
	struct min_heap_node *child;    /* the first of those behind it */
	struct min_heap_node *next;     /* its sibling */
	struct min_heap_node *previous; /* its sibling before it, or of a first child the parent */
};

struct min_heap {
	struct min_heap_node *first; /* of the lowest order; NULL: it is empty */
};

/* The order stays as it is until the node is removed. */
void min_heap_add(struct min_heap *heap, struct min_heap_node *node, int64_t order);
/* A node of this heap. */
void min_heap_remove(struct min_heap *heap, struct min_heap_node *node);
