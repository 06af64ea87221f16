/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A pairing heap: of items that come and go, the one of the lowest order is at hand. */
#include "lib/min_heap.h"

/* The root of both; each is a root without siblings, or NULL. */
static struct min_heap_node *meld(struct min_heap_node *a, struct min_heap_node *b)
{
	struct min_heap_node *first, *second;

	if (!a || !b)
		return a ?: b;
	first = b->order < a->order ? b : a;
	second = first == a ? b : a;
	second->next = first->child;
	if (second->next)
		second->next->previous = second;
	second->previous = first;
	first->child = second;
	return first;
}

/* Takes the first of siblings out of their list. */
static struct min_heap_node *take(struct min_heap_node **siblings)
{
	struct min_heap_node *node = *siblings;

	if (!node)
		return NULL;
	*siblings = node->next;
	node->next = node->previous = NULL;
	return node;
}

/* The root of all siblings: melded in pairs first, and the pairs with each other from the last on,
 * by which they become fewer and the heap flat. */
static struct min_heap_node *meld_all(struct min_heap_node *siblings)
{
	struct min_heap_node *pairs = NULL, *root = NULL, *pair;

	while (siblings) {
		struct min_heap_node *a = take(&siblings), *b = take(&siblings);

		pair = meld(a, b);
		pair->next = pairs;
		pairs = pair;
	}
	while ((pair = take(&pairs)))
		root = meld(root, pair);
	return root;
}

void min_heap_add(struct min_heap *heap, struct min_heap_node *node, int64_t order)
{
	*node = (struct min_heap_node){ .order = order };
	heap->first = meld(heap->first, node);
}

void min_heap_remove(struct min_heap *heap, struct min_heap_node *node)
{
	struct min_heap_node *children = meld_all(node->child);

	if (node == heap->first) {
		heap->first = children;
	} else {
		if (node->previous->child == node)
			node->previous->child = node->next;
		else
			node->previous->next = node->next;
		if (node->next)
			node->next->previous = node->previous;
		heap->first = meld(heap->first, children);
	}
	*node = (struct min_heap_node){ 0 };
}
