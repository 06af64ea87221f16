/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Lists of mappings whose connections are to be looked through, and the judgement by which one of
 * connection tracking's entries has to go. Memory only.
 */
#include "gatewayd/sweep_list.h"

#include <errno.h>
#include <string.h>

#include "lib/array.h"

void sweep_list_clear(struct sweep_list *list)
{
	free(list->items);
	memset(list, 0, sizeof(*list));
}

int sweep_list_add(struct sweep_list *list, const struct sweep *sweep)
{
	struct sweep *grown = array_grow(list->items, sizeof(*grown), list->n, &list->allocated);

	if (!grown)
		return -ENOMEM;
	list->items = grown;
	list->items[list->n++] = *sweep;
	return 0;
}

int sweep_list_move(struct sweep_list *to, struct sweep_list *from)
{
	int r = 0;

	if (to->n == 0) {
		struct sweep_list empty = *to;

		*to = *from;
		*from = empty;
		return 0;
	}
	for (size_t i = 0; r == 0 && i < from->n; i++)
		r = sweep_list_add(to, &from->items[i]);
	from->n = 0;
	return r;
}

static int compare(const void *a, const void *b)
{
	const struct sweep *left = a, *right = b;
	int order = mapping_key_compare(&left->key, &right->key);

	if (order == 0)
		order = endpoint_compare(&left->led, &right->led);
	return order != 0 ? order : (int)left->kept - (int)right->kept;
}

void sweep_list_sort(struct sweep_list *list)
{
	size_t kept = 0;

	if (list->n > 0)
		qsort(list->items, list->n, sizeof(*list->items), compare);
	for (size_t i = 0; i < list->n; i++)
		if (i == 0 || compare(&list->items[kept - 1], &list->items[i]) != 0)
			list->items[kept++] = list->items[i];
	list->n = kept;
}

/* The first of this mapping; list->n where there is none. */
static size_t find(const struct sweep_list *list, const struct mapping_key *key)
{
	size_t low = 0, high = list->n;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (mapping_key_compare(&list->items[middle].key, key) < 0)
			low = middle + 1;
		else
			high = middle;
	}
	return low < list->n && mapping_key_compare(&list->items[low].key, key) == 0 ? low
										     : list->n;
}

bool sweep_list_has(const struct sweep_list *sorted, const struct mapping_key *key)
{
	return find(sorted, key) < sorted->n;
}

void sweep_list_remove(struct sweep_list *list, const struct sweep_list *sorted)
{
	size_t kept = 0;

	for (size_t i = 0; i < list->n; i++)
		if (!sweep_list_has(sorted, &list->items[i].key))
			list->items[kept++] = list->items[i];
	list->n = kept;
}

static bool hits(const struct sweep *sweep, const struct ct_entry *entry)
{
	/* The reply comes from where the connection was led to. */
	const struct endpoint *leads = &entry->reply.source;

	if (!ct_entry_is_translated(entry))
		return sweep->key.protocol == PROTOCOL_UDP && (sweep->mapped || !sweep->kept);
	if (sweep->mapped && endpoint_compare(leads, &sweep->target) == 0)
		return false;
	return !sweep->kept || endpoint_compare(leads, &sweep->led) == 0;
}

bool sweep_list_hits(const struct sweep_list *sorted, const struct ct_entry *entry)
{
	const struct mapping_key key = ct_entry_key(entry);

	for (size_t i = find(sorted, &key);
	     i < sorted->n && mapping_key_compare(&sorted->items[i].key, &key) == 0; i++)
		if (hits(&sorted->items[i], entry))
			return true;
	return false;
}
