/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Checks of the way to the host: route, neighbour, the way back, and the service itself. */
#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "gatewayd/why_checks.h"

static const struct address *target_of(const struct why_subject *subject)
{
	return &subject->entry->target.address;
}

static void link_name(const struct why_subject *subject, char name[IF_NAMESIZE])
{
	struct network_link link = { .name = "?" };

	(void)network_find_link(subject->view->machine.network, subject->route.link, &link);
	memcpy(name, link.name, IF_NAMESIZE);
}

void why_check_route(struct why_subject *subject, struct why_report *report)
{
	char target[ADDRESS_STRING_MAX], gateway[ADDRESS_STRING_MAX], link[IF_NAMESIZE];
	struct route *route = &subject->route;

	address_format(target_of(subject), target);
	if (routes_find(subject->view->machine.routes, target_of(subject), route) < 0) {
		why_remedy(why_add(report, "route", WHY_UNKNOWN, "routes cannot be asked for"),
			   "ip route get %s", target);
		return;
	}
	link_name(subject, link);
	switch (route->kind) {
	case ROUTE_NONE:
		why_remedy(why_add(report, "route", WHY_FAIL, "there is no route to %s: %s", target,
				   strerror(-route->errnum)),
			   "ip route add %s via NEXT-HOP", target);
		return;
	case ROUTE_LOCAL:
		why_remedy(why_add(report, "route", WHY_WARN,
				   "%s is this gateway itself: it reaches a service here, and no "
				   "host",
				   target),
			   "ip address show to %s", target);
		return;
	case ROUTE_FORWARD:
		if (route->gateway.family == AF_UNSPEC)
			why_add(report, "route", WHY_OK, "%s is on link %s", target, link);
		else
			why_add(report, "route", WHY_OK, "%s is reached by %s on link %s", target,
				address_format(&route->gateway, gateway), link);
		return;
	case ROUTE_KIND_MAX:
		return;
	}
}

/* Links without neighbours (tunnels, loopback) have none to ask, and a probe that got through has
 * asked already. */
void why_check_neighbour(struct why_subject *subject, struct why_report *report)
{
	const struct route *route = &subject->route;
	const struct address *next =
		route->gateway.family == AF_UNSPEC ? target_of(subject) : &route->gateway;
	enum neighbour_state state = NEIGHBOUR_UNKNOWN;
	char text[ADDRESS_STRING_MAX], link[IF_NAMESIZE];

	if (route->kind != ROUTE_FORWARD)
		return;
	address_format(next, text);
	link_name(subject, link);
	if (routes_neighbour(subject->view->machine.routes, route->link, next, &state) < 0)
		state = NEIGHBOUR_UNKNOWN;
	switch (state) {
	case NEIGHBOUR_FAILED:
	case NEIGHBOUR_INCOMPLETE:
		why_remedy(why_add(report, "neighbour", WHY_FAIL,
				   "%s does not answer on link %s: it is down, or elsewhere", text,
				   link),
			   "ip neighbour show %s dev %s; look whether that machine is up", text,
			   link);
		return;
	case NEIGHBOUR_KNOWN:
		why_add(report, "neighbour", WHY_OK, "%s is known on link %s", text, link);
		return;
	case NEIGHBOUR_UNKNOWN:
	case NEIGHBOUR_STATE_MAX:
		why_add(report, "neighbour",
			subject->probed && subject->probe.errnum == 0 ? WHY_OK : WHY_UNKNOWN,
			"link %s has not asked for %s lately", link, text);
		return;
	}
}

void why_check_source(struct why_subject *subject, struct why_report *report)
{
	switch (subject->view->machine.shape->source) {
	case SOURCE_MASQUERADE:
	case SOURCE_SNAT:
		why_add(report, "source", WHY_OK,
			"the host sees an address of this gateway, so its replies come back here");
		return;
	case SOURCE_PRESERVE:
		why_remedy(why_add(report, "source", WHY_UNKNOWN,
				   "the host sees the client's address: whether its replies come "
				   "back by this gateway cannot be seen from here"),
			   "on the host: ip route get CLIENT");
		return;
	case SOURCE_MODE_MAX:
	case SOURCE_MODE_INVALID:
		return;
	}
}

/* ---- the service ---- */

static void report_refused(const struct why_subject *subject, struct why_report *report)
{
	char target[ENDPOINT_STRING_MAX];

	endpoint_format(&subject->entry->target, target);
	switch (-subject->probe.errnum) {
	case ECONNREFUSED:
		why_remedy(why_add(report, "connect", WHY_FAIL,
				   "%s refuses: nothing listens there on the host", target),
			   "on the host: ss -ltn sport = :%u; start the service",
			   subject->entry->target.port);
		return;
	case ETIMEDOUT:
		why_remedy(why_add(report, "connect", WHY_FAIL,
				   "%s does not answer within %d s: the host is down or drops it",
				   target, PROBE_CONNECT_MS / 1000),
			   "on the host: nft list ruleset; look for what drops port %u",
			   subject->entry->target.port);
		return;
	default:
		why_remedy(why_add(report, "connect", WHY_FAIL, "%s cannot be reached: %s", target,
				   strerror(-subject->probe.errnum)),
			   "mend the hops before it");
		return;
	}
}

static void check_greeting(const struct why_subject *subject, struct why_report *report)
{
	const struct probe_result *probe = &subject->probe;
	bool ssh = why_speaks_first(subject->entry);

	if (ssh && strncmp(probe->greeting, "SSH-", strlen("SSH-")) == 0)
		why_add(report, "greeting", WHY_OK, "it greets with %s", probe->greeting);
	else if (ssh && probe->closed)
		why_remedy(why_add(report, "greeting", WHY_FAIL,
				   "it closes the connection without an SSH greeting: sshd refuses "
				   "this gateway, or cannot start"),
			   "on the host: the log of sshd; MaxStartups and PerSourcePenalties count "
			   "all clients as this gateway");
	else if (ssh && probe->greeting[0])
		why_remedy(why_add(report, "greeting", WHY_FAIL, "it is no SSH server: it says %s",
				   probe->greeting),
			   "on the host: look what listens on the port");
	else if (ssh)
		why_remedy(why_add(report, "greeting", WHY_FAIL,
				   "it accepts and says nothing for %d s: no SSH server, or one "
				   "that hangs",
				   PROBE_GREETING_MS / 1000),
			   "on the host: the log of sshd, and whether it is sshd that listens");
	else if (probe->closed)
		why_add(report, "greeting", WHY_WARN, "it closes the connection without a word");
	else if (probe->greeting[0])
		why_add(report, "greeting", WHY_OK, "it greets with %s", probe->greeting);
}

void why_check_connect(struct why_subject *subject, struct why_report *report)
{
	char target[ENDPOINT_STRING_MAX];

	if (!subject->probed) {
		why_add(report, "connect", WHY_UNKNOWN,
			"UDP has no handshake: whether the service answers cannot be seen from "
			"here");
		return;
	}
	if (subject->probe.errnum != 0) {
		report_refused(subject, report);
		return;
	}
	why_add(report, "connect", WHY_OK, "%s accepts a connection from here, in %" PRIu64 " us",
		endpoint_format(&subject->entry->target, target), subject->probe.connect_us);
	check_greeting(subject, report);
}
