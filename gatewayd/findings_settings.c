/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Findings about host settings: forwarding, reverse path filters, routes to loopback, and the ports
 * of the gateway's own outgoing connections.
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "gatewayd/findings.h"
#include "gatewayd/host_setting.h"
#include "lib/number.h"

bool findings_has_family(const struct findings_view *view, uint8_t family)
{
	size_t n;
	const struct public_address *list = public_addresses_list(view->addresses, &n);

	for (size_t i = 0; i < n; i++)
		if (list[i].address.family == family)
			return true;
	return false;
}

static void check_forwarding(struct findings *findings, const struct findings_view *view)
{
	uint64_t v4 = 1, v6 = 1;

	if (findings_has_family(view, AF_INET) &&
	    host_setting_read_uint("net.ipv4.ip_forward", &v4) == 0 && v4 == 0)
		finding_setting(findings_add(findings, FINDING_ERROR, "ip_forward", "ipv4",
					     "IPv4 forwarding is off: no connection reaches a "
					     "host"),
				"net.ipv4.ip_forward", "1");
	if (findings_has_family(view, AF_INET6) &&
	    host_setting_read_uint("net.ipv6.conf.all.forwarding", &v6) == 0 && v6 == 0)
		finding_setting(findings_add(findings, FINDING_ERROR, "ip_forward", "ipv6",
					     "IPv6 forwarding is off: no connection reaches a "
					     "host"),
				"net.ipv6.conf.all.forwarding", "1");
}

/* ---- by link ---- */

#define STRICT 1
#define LOOSE 2

/* What the kernel goes by is the larger one of the link's and of "all"'s. */
static bool is_strict(const char *link)
{
	char name[HOST_SETTING_MAX];
	uint64_t all = 0, own = 0;

	if (host_setting_read_uint("net.ipv4.conf.all.rp_filter", &all) < 0 ||
	    host_setting_read_uint(host_setting_of_link(link, "rp_filter", name), &own) < 0)
		return false;
	return MAX(all, own) == STRICT;
}

static bool has_public_address(const struct findings_view *view, int link)
{
	size_t n;
	const struct public_address *list = public_addresses_list(view->addresses, &n);

	for (size_t i = 0; i < n; i++)
		if (list[i].address.family == AF_INET &&
		    network_link_of(view->network, &list[i].address) == link)
			return true;
	return false;
}

/* A strict filter drops what comes by another link than the way back would take. */
static void check_rp_filter(struct findings *findings, const struct findings_view *view,
			    const struct network_link *link, int uplink)
{
	bool asymmetric =
		uplink != 0 && uplink != link->index && has_public_address(view, link->index);
	char name[HOST_SETTING_MAX];
	const char *why;

	if (link->loopback || !is_strict(link->name))
		return;
	if (asymmetric)
		why = "it has a public address and the default route is elsewhere, so packets from "
		      "the internet are dropped";
	else if (view->shape->source == SOURCE_PRESERVE)
		why = "with source preserve a host that answers by another link is not heard";
	else
		return;
	finding_setting(findings_add(findings, FINDING_WARNING, "rp_filter", link->name,
				     "rp_filter of %s is strict: %s", link->name, why),
			host_setting_of_link(link->name, "rp_filter", name), "%d", LOOSE);
}

/* Only ever said: what needs it on this machine may be somebody else's. */
static void check_route_localnet(struct findings *findings, const char *link)
{
	char name[HOST_SETTING_MAX];
	uint64_t value = 0;

	if (host_setting_read_uint(host_setting_of_link(link, "route_localnet", name), &value) <
		    0 ||
	    value == 0)
		return;
	finding_remedy(findings_add(findings, FINDING_WARNING, "route_localnet", link,
				    "route_localnet of %s is on: neighbours reach services that "
				    "listen on loopback only; gatewayd never needs it",
				    link),
		       "sysctl -w %s=0", name);
}

static void check_links(struct findings *findings, const struct findings_view *view)
{
	_cleanup_free_ struct network_link *links = calloc(NETWORK_LINKS_MAX, sizeof(*links));
	int uplink = routes_uplink(view->routes, AF_INET);
	size_t n = links ? network_links(view->network, links, NETWORK_LINKS_MAX) : 0;

	check_route_localnet(findings, "all");
	for (size_t i = 0; i < n; i++) {
		if (!links[i].up)
			continue;
		check_rp_filter(findings, view, &links[i], uplink);
		check_route_localnet(findings, links[i].name);
	}
}

/* ---- ports of outgoing connections ---- */

/* Ports that the kernel may give to the gateway's own outgoing connections. */
struct port_ranges {
	uint64_t low, high;
	char *reserved; /* "8080,9148-9150" */
};

/* The ports of a list, one byte for each port; what cannot be read of it has none. */
static void read_reserved(const char *at, uint8_t reserved[SURVEY_PORTS])
{
	uint64_t low, high;

	while (at && *at) {
		if (number_parse(at, &low, &at) < 0)
			return;
		high = low;
		if (*at == '-' && number_parse(at + 1, &high, &at) < 0)
			return;
		for (uint64_t port = low; port <= MIN(high, (uint64_t)SURVEY_PORTS - 1); port++)
			reserved[port] = 1;
		at = *at == ',' ? at + 1 : NULL;
	}
}

/* "32768\t60999" */
static bool read_range(const char *text, struct port_ranges *ranges)
{
	if (!text || number_parse(text, &ranges->low, &text) < 0)
		return false;
	text += strspn(text, " \t");
	return number_parse(text, &ranges->high, NULL) == 0;
}

static void report_ports(struct findings *findings, const struct port_ranges *ranges, size_t count,
			 uint16_t lowest, uint16_t highest)
{
	struct finding *finding =
		findings_add(findings, FINDING_WARNING, "local_ports", "",
			     "%zu mapped ports lie within ip_local_port_range (%" PRIu64
			     " to %" PRIu64 "): connections of the gateway itself may use them",
			     count, ranges->low, ranges->high);
	const char *reserved = ranges->reserved ? ranges->reserved : "";

	/* What is reserved already must stay so: a list that does not fit is left to a person. */
	if (finding && strlen(reserved) + 16 < sizeof(finding->value))
		finding_setting(finding, "net.ipv4.ip_local_reserved_ports", "%s%s%u-%u", reserved,
				*reserved ? "," : "", lowest, highest);
	else
		finding_remedy(finding,
			       "sysctl -w net.ipv4.ip_local_reserved_ports=$(sysctl -n "
			       "net.ipv4.ip_local_reserved_ports),%u-%u",
			       lowest, highest);
}

static void check_port_range(struct findings *findings, const uint32_t *mappings)
{
	_cleanup_free_ char *range = host_setting_read("net.ipv4.ip_local_port_range");
	_cleanup_free_ char *list = host_setting_read("net.ipv4.ip_local_reserved_ports");
	_cleanup_free_ uint8_t *reserved = calloc(SURVEY_PORTS, 1);
	struct port_ranges ranges = { .reserved = list };
	uint64_t lowest = UINT16_MAX, highest = 0;
	size_t count = 0;

	if (!reserved || !read_range(range, &ranges))
		return;
	read_reserved(list, reserved);
	for (uint64_t port = ranges.low; port <= MIN(ranges.high, (uint64_t)SURVEY_PORTS - 1);
	     port++) {
		if (mappings[port] == 0 || reserved[port])
			continue;
		count += mappings[port];
		lowest = MIN(lowest, port);
		highest = MAX(highest, port);
	}
	if (count > 0)
		report_ports(findings, &ranges, count, (uint16_t)lowest, (uint16_t)highest);
}

void findings_settings(struct findings *findings, const struct findings_view *view)
{
	check_forwarding(findings, view);
	check_links(findings, view);
	if (view->survey && survey_ports(view->survey))
		check_port_range(findings, survey_ports(view->survey));
}
