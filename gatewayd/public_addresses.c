/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The gateway's public addresses: those of the configuration, or, where it names none, those that
 * are found on its links. It keeps the list that mappings are admitted by, and says which of them
 * the machine has just now.
 */
#include "gatewayd/public_addresses.h"

#include <errno.h>
#include <string.h>

#include "gatewayd/address_choice.h"
#include "lib/log.h"

/* Of one gateway. */
#define ADDRESSES_MAX 1024

struct public_addresses {
	const struct network *network;
	struct routes *routes;
	bool found;
	struct public_address list[ADDRESSES_MAX];
	struct address plain[ADDRESSES_MAX]; /* the same, as admission has them */
	size_t n;
	struct admission admission;
	struct metric *present;
};

static bool add(struct public_addresses *addresses, const struct address *address)
{
	if (addresses->n == ADDRESSES_MAX)
		return false;
	addresses->list[addresses->n++] = (struct public_address){ .address = *address };
	return true;
}

static struct public_address *find(struct public_addresses *addresses,
				   const struct address *address)
{
	for (size_t i = 0; i < addresses->n; i++)
		if (address_equal(&addresses->list[i].address, address))
			return &addresses->list[i];
	return NULL;
}

/* On a link, or by a local route as "ip route add local 203.0.113.0/24 dev lo" makes it. */
static bool is_present(const struct public_addresses *addresses, const struct address *address)
{
	struct route route;

	if (network_link_of(addresses->network, address) != 0)
		return true;
	return routes_find(addresses->routes, address, &route) == 0 && route.kind == ROUTE_LOCAL;
}

static void publish(struct public_addresses *addresses)
{
	for (size_t i = 0; i < addresses->n; i++)
		addresses->plain[i] = addresses->list[i].address;
	addresses->admission.addresses = addresses->plain;
	addresses->admission.n_addresses = addresses->n;
}

/* ---- what is found ---- */

static size_t count_mappings(const struct ledger *ledger, const struct address *address)
{
	const struct entry *entry;
	size_t index = 0, n = 0;

	while (ledger && (entry = ledger_next(ledger, &index)))
		n += (entry->flags & ENTRY_DESIRED) && address_equal(&entry->key.address, address);
	return n;
}

static size_t look(const struct public_addresses *addresses, struct address *ret)
{
	_cleanup_free_ struct network_address *all = calloc(NETWORK_ADDRESSES_MAX, sizeof(*all));
	const struct uplinks uplinks = { .v4 = routes_uplink(addresses->routes, AF_INET),
					 .v6 = routes_uplink(addresses->routes, AF_INET6) };
	size_t n;

	if (!all)
		return 0;
	n = network_addresses(addresses->network, all, NETWORK_ADDRESSES_MAX);
	return address_choose(all, n, &uplinks, ret);
}

static bool among(const struct address *list, size_t n, const struct address *address)
{
	for (size_t i = 0; i < n; i++)
		if (address_equal(&list[i], address))
			return true;
	return false;
}

/* Those that are there keep their order, and so the default address of mappings stays; new ones
 * come behind them, and last what is gone and still in use. */
static bool renew(struct public_addresses *addresses, const struct ledger *ledger)
{
	_cleanup_free_ struct address *now = calloc(NETWORK_ADDRESSES_MAX, sizeof(*now));
	_cleanup_free_ struct public_address *before = NULL;
	size_t n_before = addresses->n, n_now;
	char text[ADDRESS_STRING_MAX];
	bool changed = false;

	before = calloc(n_before + 1, sizeof(*before));
	if (!now || !before)
		return false;
	memcpy(before, addresses->list, n_before * sizeof(*before));
	n_now = look(addresses, now);
	addresses->n = 0;
	for (size_t i = 0; i < n_before; i++)
		if (among(now, n_now, &before[i].address)) {
			add(addresses, &before[i].address);
			addresses->list[addresses->n - 1].present = before[i].present;
		}
	for (size_t i = 0; i < n_now; i++)
		if (!find(addresses, &now[i]) && add(addresses, &now[i]))
			changed = true;
	for (size_t i = 0; i < n_before; i++) {
		if (find(addresses, &before[i].address))
			continue;
		if (count_mappings(ledger, &before[i].address) > 0 &&
		    add(addresses, &before[i].address)) {
			addresses->list[addresses->n - 1].present = before[i].present;
			continue;
		}
		changed = true;
		log_info(address_format(&before[i].address, text),
			 "is no public address of this gateway any more");
	}
	return changed;
}

/* Mappings that were adopted from the kernel may use an address that is not there yet, as after a
 * reboot. */
static bool take_adopted(struct public_addresses *addresses, const struct ledger *ledger)
{
	const struct entry *entry;
	size_t index = 0;
	bool changed = false;

	while (ledger && (entry = ledger_next(ledger, &index)))
		if ((entry->flags & ENTRY_DESIRED) && !find(addresses, &entry->key.address))
			changed |= add(addresses, &entry->key.address);
	return changed;
}

/* ---- what the machine has ---- */

static void tell(const struct public_address *address, const struct ledger *ledger)
{
	size_t mappings = count_mappings(ledger, &address->address);
	char text[ADDRESS_STRING_MAX];

	address_format(&address->address, text);
	if (address->present)
		log_info(text, "public address is there mappings=%zu", mappings);
	else
		log_warning(text,
			    "public address is not on this machine: its mappings stay, and get no "
			    "connection until it is back mappings=%zu",
			    mappings);
}

bool public_addresses_refresh(struct public_addresses *addresses, const struct ledger *ledger)
{
	bool changed = false;

	if (addresses->found) {
		changed |= renew(addresses, ledger);
		changed |= take_adopted(addresses, ledger);
	}
	for (size_t i = 0; i < addresses->n; i++) {
		struct public_address *address = &addresses->list[i];
		bool present = is_present(addresses, &address->address);

		if (present == address->present)
			continue;
		address->present = present;
		changed = true;
		tell(address, ledger);
	}
	publish(addresses);
	return changed;
}

int public_addresses_new(struct public_addresses **ret, const struct address *configured,
			 size_t n_configured, const struct network *network, struct routes *routes)
{
	struct public_addresses *addresses = calloc(1, sizeof(*addresses));

	if (!addresses)
		return -ENOMEM;
	addresses->network = network;
	addresses->routes = routes;
	addresses->found = n_configured == 0;
	for (size_t i = 0; i < n_configured; i++) {
		if (!add(addresses, &configured[i])) {
			public_addresses_free(addresses);
			return -E2BIG;
		}
		addresses->list[i].present = true; /* so that the first look tells what is not */
	}
	(void)public_addresses_refresh(addresses, NULL);
	*ret = addresses;
	return 0;
}

void public_addresses_free(struct public_addresses *addresses)
{
	free(addresses);
}

bool public_addresses_found(const struct public_addresses *addresses)
{
	return addresses->found;
}

const struct admission *public_addresses_admission(const struct public_addresses *addresses)
{
	return &addresses->admission;
}

const struct public_address *public_addresses_list(const struct public_addresses *addresses,
						   size_t *ret_n)
{
	*ret_n = addresses->n;
	return addresses->list;
}

/* ---- metrics ---- */

static void collect(void *userdata)
{
	struct public_addresses *addresses = userdata;
	char text[ADDRESS_STRING_MAX];

	metric_clear(addresses->present);
	for (size_t i = 0; i < addresses->n; i++) {
		const char *const values[] = { address_format(&addresses->list[i].address, text),
					       NULL };

		metric_set(addresses->present, values, addresses->list[i].present);
	}
}

int public_addresses_meter(struct public_addresses *addresses, struct metrics *metrics)
{
	static const char *const by_address[] = { "address", NULL };

	addresses->present =
		metrics_register(metrics, METRIC_GAUGE, "portico_gateway_address_present",
				 "1 where the machine has this public address", by_address);
	return metrics_on_write(metrics, collect, addresses);
}
