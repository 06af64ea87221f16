/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Connection tracking entries of our mappings: finding and deleting those that no longer lead where
 * their mapping does. It touches no entry of a port that it is not asked for.
 */
#include "gatewayd/conntrack.h"

#include <errno.h>

#include "gatewayd/ctnetlink.h"

#define TIMEOUT_MS 10000

/* An entry that is to be deleted once the listing has ended. */
struct victim {
	struct victim *next;
	struct ct_entry entry;
};

struct sweeper {
	const struct sweep *sweeps;
	size_t n_sweeps;
	struct victim *victims;
	const struct sweep_observer *observer; /* NULL: nobody */
};

static int compare_sweeps(const void *a, const void *b)
{
	return mapping_key_compare(&((const struct sweep *)a)->key,
				   &((const struct sweep *)b)->key);
}

static bool is_stale(const struct sweep *sweep, const struct ct_entry *entry)
{
	if (!ct_entry_is_translated(entry))
		return sweep->key.protocol == PROTOCOL_UDP;
	/* The reply comes from where the connection was led to. */
	return !sweep->mapped || endpoint_compare(&entry->reply.source, &sweep->target) != 0;
}

static int add_victim(struct sweeper *sweeper, const struct ct_entry *entry)
{
	struct victim *victim = malloc(sizeof(*victim));

	if (!victim)
		return -ENOMEM;
	*victim = (struct victim){ sweeper->victims, *entry };
	sweeper->victims = victim;
	return 0;
}

static int on_entry(const struct nlmsghdr *message, void *userdata)
{
	struct sweeper *sweeper = userdata;
	struct sweep wanted = { 0 };
	const struct sweep *found;
	struct ct_entry entry;

	if (ct_entry_parse(message, &entry) < 0)
		return 0;
	wanted.key = ct_entry_key(&entry);
	found = bsearch(&wanted, sweeper->sweeps, sweeper->n_sweeps, sizeof(wanted),
			compare_sweeps);
	if (!found || !is_stale(found, &entry))
		return 0;
	return add_victim(sweeper, &entry);
}

static int list_family(struct netlink *netlink, struct sweeper *sweeper, uint8_t family)
{
	_Alignas(struct nlmsghdr) uint8_t buffer[CT_REQUEST_MAX] = { 0 };
	struct nlmsghdr *request;

	/* The kernel chooses the entries of one mapping; of several it is done here. */
	if (sweeper->n_sweeps == 1)
		request = ct_request_of_key(buffer, &sweeper->sweeps[0].key);
	else
		request = ct_request_of_family(buffer, family);
	return netlink_request(netlink, request, TIMEOUT_MS, on_entry, sweeper);
}

int conntrack_delete(struct netlink *netlink, const struct ct_entry *entry)
{
	_Alignas(struct nlmsghdr) uint8_t buffer[CT_REQUEST_MAX] = { 0 };

	return netlink_request(netlink, ct_request_delete(buffer, entry), TIMEOUT_MS, NULL, NULL);
}

static int delete_victims(struct netlink *netlink, struct sweeper *sweeper, size_t *ret_deleted)
{
	int result = 0;

	while (sweeper->victims) {
		struct victim *victim = sweeper->victims;
		int r = result;

		sweeper->victims = victim->next;
		if (r == 0 && sweeper->observer)
			sweeper->observer->on_victim(&victim->entry, sweeper->observer->userdata);
		if (r == 0)
			r = conntrack_delete(netlink, &victim->entry);
		if (r == 0)
			(*ret_deleted)++;
		else if (r != -ENOENT) /* it ended by itself meanwhile */
			result = r;
		free(victim);
	}
	return result;
}

int conntrack_sweep(struct netlink *netlink, struct sweep *sweeps, size_t n_sweeps,
		    const struct sweep_observer *observer, size_t *ret_deleted)
{
	static const uint8_t families[] = { AF_INET, AF_INET6 };
	struct sweeper sweeper = { .sweeps = sweeps, .n_sweeps = n_sweeps, .observer = observer };
	int result = 0;

	*ret_deleted = 0;
	qsort(sweeps, n_sweeps, sizeof(*sweeps), compare_sweeps);
	for (size_t f = 0; f < ARRAY_SIZE(families) && result == 0; f++) {
		bool any = false;
		int r;

		for (size_t i = 0; i < n_sweeps && !any; i++)
			any = sweeps[i].key.address.family == families[f];
		if (!any)
			continue;
		result = list_family(netlink, &sweeper, families[f]);
		r = delete_victims(netlink, &sweeper, ret_deleted);
		if (result == 0)
			result = r;
	}
	return result;
}
