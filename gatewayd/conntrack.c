/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Connection tracking entries of our mappings: finding and deleting those that no longer lead where
 * their mapping does. It touches no entry of a port that it is not asked for.
 */
#include "gatewayd/conntrack.h"

#include <errno.h>

#include "gatewayd/ctnetlink.h"

#define TIMEOUT_MS 10000

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
	const struct sweep_list *sweeps;
	struct ct_entries *entries;
};

static int on_entry(const struct nlmsghdr *message, void *userdata)
{
	struct listing *listing = userdata;
	struct ct_entry entry;

	if (ct_entry_parse(message, &entry) < 0 || !sweep_list_hits(listing->sweeps, &entry))
		return 0;
	return add_entry(listing->entries, &entry);
}

static int list_family(struct netlink *netlink, struct listing *listing, uint8_t family)
{
	_Alignas(struct nlmsghdr) uint8_t buffer[CT_REQUEST_MAX] = { 0 };
	struct nlmsghdr *request;

	/* The kernel chooses the entries of one mapping; of several it is done here. */
	if (listing->sweeps->n == 1)
		request = ct_request_of_key(buffer, &listing->sweeps->items[0].key);
	else
		request = ct_request_of_family(buffer, family);
	return netlink_request(netlink, request, TIMEOUT_MS, on_entry, listing);
}

int conntrack_list(struct netlink *netlink, const struct sweep_list *sweeps,
		   struct ct_entries *entries)
{
	static const uint8_t families[] = { AF_INET, AF_INET6 };
	struct listing listing = { .sweeps = sweeps, .entries = entries };
	int r = 0;

	for (size_t f = 0; f < ARRAY_SIZE(families) && r == 0; f++) {
		bool any = false;

		for (size_t i = 0; i < sweeps->n && !any; i++)
			any = sweeps->items[i].key.address.family == families[f];
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
