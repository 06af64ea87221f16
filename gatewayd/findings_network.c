/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Findings about addresses, routes and sockets: public addresses that are missing, targets that
 * cannot be reached, and services of the gateway's own that are mapped away.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "gatewayd/findings.h"

/* Targets that are looked up in one round, some microseconds each. */
#define TARGETS_MAX 4096
#define TARGET_SLOTS (4 * TARGETS_MAX)
/* Findings of one kind; further ones are left to be seen once these are mended. */
#define SAME_MAX 8

/* ---- public addresses ---- */

static void report_missing(struct findings *findings, const struct findings_view *view,
			   const struct address *address)
{
	int uplink = routes_uplink(view->routes, address->family);
	struct network_link link = { .name = "lo" };
	char text[ADDRESS_STRING_MAX];

	if (uplink != 0)
		(void)network_find_link(view->network, uplink, &link);
	address_format(address, text);
	finding_remedy(findings_add(findings, FINDING_WARNING, "address_missing", text,
				    "public address %s is not on this machine: its ports work only "
				    "where its packets are routed here all the same",
				    text),
		       "ip address add %s/%d dev %s", text, address->family == AF_INET ? 32 : 128,
		       link.name);
}

/* Hosts answer the address that they see. */
static void check_sources(struct findings *findings, const struct findings_view *view)
{
	const struct source *source = &view->source;
	char text[ADDRESS_STRING_MAX];

	for (size_t i = 0; i < source->n_addresses; i++) {
		const struct address *address = &source->addresses[i];

		if (network_link_of(view->network, address) != 0)
			continue;
		address_format(address, text);
		finding_remedy(findings_add(findings, FINDING_ERROR, "source_missing", text,
					    "source address %s is not on this machine: answers to "
					    "connections that take it do not come back",
					    text),
			       "ip address add %s/%d dev lo", text,
			       address->family == AF_INET ? 32 : 128);
	}
}

static void check_addresses(struct findings *findings, const struct findings_view *view)
{
	size_t n, missing = 0;
	const struct public_address *list = public_addresses_list(view->addresses, &n);

	if (n == 0)
		finding_remedy(findings_add(findings, FINDING_ERROR, "no_address", "",
					    "no public address is configured and none is found on "
					    "a link, so no port can be mapped"),
			       "gatewayd --addresses ADDRESS, or ip address add ADDRESS dev LINK");
	for (size_t i = 0; i < n && missing < SAME_MAX; i++)
		if (!list[i].present) {
			report_missing(findings, view, &list[i].address);
			missing++;
		}
}

/* ---- targets ---- */

/* The distinct target addresses, each with the number of its mappings. */
struct targets {
	struct target {
		struct address address;
		size_t mappings;
	} slots[TARGET_SLOTS];
	size_t n;
};

static uint32_t hash_address(const struct address *address)
{
	uint32_t hash = 2166136261u;

	for (size_t i = 0; i < address_length(address); i++)
		hash = (hash ^ address->bytes[i]) * 16777619u;
	return hash;
}

static void note_target(struct targets *targets, const struct address *address)
{
	size_t at = hash_address(address) % TARGET_SLOTS;

	while (targets->slots[at].mappings > 0 &&
	       !address_equal(&targets->slots[at].address, address))
		at = (at + 1) % TARGET_SLOTS;
	if (targets->slots[at].mappings == 0) {
		if (targets->n == TARGETS_MAX)
			return;
		targets->n++;
		targets->slots[at].address = *address;
	}
	targets->slots[at].mappings++;
}

static void report_unreachable(struct findings *findings, const struct target *target, int errnum)
{
	char text[ADDRESS_STRING_MAX];

	address_format(&target->address, text);
	finding_remedy(findings_add(findings, FINDING_WARNING, "no_route", text,
				    "there is no route to target %s of %zu mappings: %s", text,
				    target->mappings, strerror(-errnum)),
		       "ip route add %s via NEXT-HOP", text);
}

static void report_local(struct findings *findings, const struct target *target)
{
	char text[ADDRESS_STRING_MAX];

	address_format(&target->address, text);
	finding_remedy(findings_add(findings, FINDING_WARNING, "target_local", text,
				    "target %s of %zu mappings is this gateway itself, and no host",
				    text, target->mappings),
		       "ip address show to %s", text);
}

static void check_target(struct findings *findings, const struct findings_view *view,
			 const struct target *target, size_t reported[2])
{
	struct route route;

	if (routes_find(view->routes, &target->address, &route) < 0)
		return;
	switch (route.kind) {
	case ROUTE_NONE:
		if (reported[0]++ < SAME_MAX)
			report_unreachable(findings, target, route.errnum);
		return;
	case ROUTE_LOCAL:
		if (reported[1]++ < SAME_MAX)
			report_local(findings, target);
		return;
	case ROUTE_FORWARD:
	case ROUTE_KIND_MAX:
		return;
	}
}

static void check_targets(struct findings *findings, const struct findings_view *view)
{
	_cleanup_free_ struct targets *targets = calloc(1, sizeof(*targets));
	size_t index = 0, reported[2] = { 0 };
	const struct entry *entry;

	if (!targets)
		return;
	while ((entry = ledger_next(view->ledger, &index)))
		if (entry->flags & ENTRY_DESIRED)
			note_target(targets, &entry->target.address);
	for (size_t i = 0; i < TARGET_SLOTS; i++)
		if (targets->slots[i].mappings > 0)
			check_target(findings, view, &targets->slots[i], reported);
}

/* ---- services of the gateway's own ---- */

static bool report_listener(struct findings *findings, const struct findings_view *view,
			    const struct listener *listener, const struct mapping_key *key)
{
	const struct entry *entry = ledger_find(view->ledger, key);
	char name[MAPPING_STRING_MAX], address[ADDRESS_STRING_MAX], who[LISTENER_STRING_MAX];

	if (!entry || !(entry->flags & ENTRY_DESIRED))
		return false;
	mapping_key_format(key, name);
	finding_remedy(findings_add(findings, FINDING_WARNING, "listener_mapped", name,
				    "%s is mapped, and the gateway itself listens there, on %s: "
				    "that service gets no connection from outside",
				    name, listener_describe(listener, who)),
		       "schedctl --gateway /run/portico/gatewayd.sock port close %u --protocol %s "
		       "--address %s",
		       key->port, protocol_name(key->protocol),
		       address_format(&key->address, address));
	return true;
}

/* One listing, and a look into the ledger for each socket and public address: what it costs does
 * not grow with the mappings. */
static void check_listeners(struct findings *findings, const struct findings_view *view)
{
	_cleanup_free_ struct listener *list = NULL;
	size_t n_addresses, n, reported = 0;
	const struct public_address *addresses =
		public_addresses_list(view->addresses, &n_addresses);

	if (listeners_list(view->listeners, &list, &n) < 0)
		return;
	for (size_t i = 0; i < n; i++)
		for (size_t j = 0; j < n_addresses && reported < SAME_MAX; j++) {
			const struct mapping_key key = {
				.address = addresses[j].address,
				.protocol = list[i].protocol,
				.port = list[i].local.port,
			};

			if (listener_takes(&list[i], &key))
				reported += report_listener(findings, view, &list[i], &key);
		}
}

void findings_network(struct findings *findings, const struct findings_view *view)
{
	check_addresses(findings, view);
	check_sources(findings, view);
	if (!view->ledger)
		return;
	check_targets(findings, view);
	if (view->listeners)
		check_listeners(findings, view);
}
