/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Findings about addresses, routes and sockets: public addresses that are missing, targets that
 * cannot be reached, and services of the gateway's own that are mapped away.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "gatewayd/findings.h"

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

static void report_unreachable(struct findings *findings, const struct survey_target *target,
			       int errnum)
{
	char text[ADDRESS_STRING_MAX];

	address_format(&target->address, text);
	finding_remedy(findings_add(findings, FINDING_WARNING, "no_route", text,
				    "there is no route to target %s of %zu mappings: %s", text,
				    target->mappings, strerror(-errnum)),
		       "ip route add %s via NEXT-HOP", text);
}

static void report_local(struct findings *findings, const struct survey_target *target)
{
	char text[ADDRESS_STRING_MAX];

	address_format(&target->address, text);
	finding_remedy(findings_add(findings, FINDING_WARNING, "target_local", text,
				    "target %s of %zu mappings is this gateway itself, and no host",
				    text, target->mappings),
		       "ip address show to %s", text);
}

static void find_route(const struct findings_view *view, struct survey_target *target)
{
	struct route route;

	if (target->looked_up || routes_find(view->routes, &target->address, &route) < 0)
		return;
	target->looked_up = true;
	target->kind = (uint8_t)route.kind;
	target->errnum = route.errnum;
}

bool findings_find_routes(const struct findings_view *view, size_t *index, size_t n)
{
	struct survey_target *target = NULL;

	while (n-- > 0 && (target = survey_next_target(view->survey, index)))
		find_route(view, target);
	return !target;
}

static void check_target(struct findings *findings, const struct survey_target *target,
			 size_t reported[2])
{
	if (!target->looked_up)
		return;
	switch ((enum route_kind)target->kind) {
	case ROUTE_NONE:
		if (reported[0]++ < SAME_MAX)
			report_unreachable(findings, target, target->errnum);
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
	size_t index = 0, reported[2] = { 0 };
	struct survey_target *target;

	while ((target = survey_next_target(view->survey, &index))) {
		find_route(view, target);
		check_target(findings, target, reported);
	}
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
	if (view->survey)
		check_targets(findings, view);
	if (view->ledger && view->listeners)
		check_listeners(findings, view);
}
