/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Connection tracking entries of our mappings: finding and deleting those that no longer lead where
 * their mapping does. It touches no entry of a port that it is not asked for.
 */
#include "gatewayd/conntrack.h"

#include <errno.h>

#include "gatewayd/ctnetlink.h"

#define TIMEOUT_MS 10000

static int compare_sweeps(const void *a, const void *b)
{
	return mapping_key_compare(&((const struct sweep *)a)->key,
				   &((const struct sweep *)b)->key);
}

size_t sweeps_sort(struct sweep *sweeps, size_t n)
{
	size_t kept = 0;

	if (n > 0)
		qsort(sweeps, n, sizeof(*sweeps), compare_sweeps);
	for (size_t i = 0; i < n; i++)
		if (i == 0 || compare_sweeps(&sweeps[kept - 1], &sweeps[i]) != 0)
			sweeps[kept++] = sweeps[i];
	return kept;
}

const struct sweep *sweeps_find(const struct sweep *sweeps, size_t n, const struct mapping_key *key)
{
	const struct sweep wanted = { .key = *key };

	return n > 0 ? bsearch(&wanted, sweeps, n, sizeof(wanted), compare_sweeps) : NULL;
}

bool sweeps_hit(const struct sweep *sweeps, size_t n, const struct ct_entry *entry)
{
	const struct mapping_key key = ct_entry_key(entry);
	const struct sweep *found = sweeps_find(sweeps, n, &key);

	if (!found)
		return false;
	if (!ct_entry_is_translated(entry))
		return found->key.protocol == PROTOCOL_UDP;
	/* The reply comes from where the connection was led to. */
	return !found->mapped || endpoint_compare(&entry->reply.source, &found->target) != 0;
}

void ct_entries_clear(struct ct_entries *entries)
{
	free(entries->items);
	*entries = (struct ct_entries){ 0 };
}

static int add_entry(struct ct_entries *entries, const struct ct_entry *entry)
{
	if (entries->n == entries->allocated) {
		size_t wanted = entries->allocated ? 2 * entries->allocated : 16;
		struct ct_entry *grown = reallocarray(entries->items, wanted, sizeof(*grown));

		if (!grown)
			return -ENOMEM;
		entries->items = grown;
		entries->allocated = wanted;
	}
	entries->items[entries->n++] = *entry;
	return 0;
}

struct listing {
	const struct sweep *sweeps;
	size_t n;
	struct ct_entries *entries;
};

static int on_entry(const struct nlmsghdr *message, void *userdata)
{
	struct listing *listing = userdata;
	struct ct_entry entry;

	if (ct_entry_parse(message, &entry) < 0 || !sweeps_hit(listing->sweeps, listing->n, &entry))
		return 0;
	return add_entry(listing->entries, &entry);
}

static int list_family(struct netlink *netlink, struct listing *listing, uint8_t family)
{
	_Alignas(struct nlmsghdr) uint8_t buffer[CT_REQUEST_MAX] = { 0 };
	struct nlmsghdr *request;

	/* The kernel chooses the entries of one mapping; of several it is done here. */
	if (listing->n == 1)
		request = ct_request_of_key(buffer, &listing->sweeps[0].key);
	else
		request = ct_request_of_family(buffer, family);
	return netlink_request(netlink, request, TIMEOUT_MS, on_entry, listing);
}

int conntrack_list(struct netlink *netlink, const struct sweep *sweeps, size_t n,
		   struct ct_entries *entries)
{
	static const uint8_t families[] = { AF_INET, AF_INET6 };
	struct listing listing = { .sweeps = sweeps, .n = n, .entries = entries };
	int r = 0;

	for (size_t f = 0; f < ARRAY_SIZE(families) && r == 0; f++) {
		bool any = false;

		for (size_t i = 0; i < n && !any; i++)
			any = sweeps[i].key.address.family == families[f];
		if (any)
			r = list_family(netlink, &listing, families[f]);
	}
	return r;
}

int conntrack_delete(struct netlink *netlink, const struct ct_entry *entry)
{
	_Alignas(struct nlmsghdr) uint8_t buffer[CT_REQUEST_MAX] = { 0 };

	return netlink_request(netlink, ct_request_delete(buffer, entry), TIMEOUT_MS, NULL, NULL);
}
