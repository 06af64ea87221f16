/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Checks of the gateway itself: its address, its own services, connection tracking, forwarding, and
 * the forward chains of others.
 */
#include <inttypes.h>
#include <netinet/in.h> /* before the kernel's, which then leave out what it has */

#include <linux/netfilter.h>
#include <linux/netfilter/nf_conntrack_common.h>

#include "gatewayd/forward_chains.h"
#include "gatewayd/host_setting.h"
#include "gatewayd/why_checks.h"

void why_check_address(struct why_subject *subject, struct why_report *report)
{
	const struct findings_view *machine = &subject->view->machine;
	char text[ADDRESS_STRING_MAX];
	size_t n;
	const struct public_address *list = public_addresses_list(machine->addresses, &n);

	address_format(&subject->key.address, text);
	for (size_t i = 0; i < n; i++) {
		if (!address_equal(&list[i].address, &subject->key.address))
			continue;
		if (list[i].present)
			why_add(report, "address", WHY_OK, "%s is on this machine", text);
		else
			why_remedy(
				why_add(report, "address", WHY_WARN,
					"%s is not on this machine: packets come only where they "
					"are routed here all the same",
					text),
				"ip address add %s dev LINK", text);
		return;
	}
	why_remedy(why_add(report, "address", WHY_WARN,
			   "%s is no public address of this gateway any more", text),
		   "gatewayd --addresses, or ip address add %s dev LINK", text);
}

void why_check_listener(struct why_subject *subject, struct why_report *report)
{
	struct listeners *listeners = subject->view->machine.listeners;
	char who[LISTENER_STRING_MAX];
	struct listener found;
	bool exists = false;

	if (!listeners || listeners_find(listeners, &subject->key, &exists, &found) < 0)
		why_remedy(why_add(report, "listener", WHY_UNKNOWN,
				   "the kernel does not tell of sockets"),
			   "modprobe -a tcp_diag udp_diag");
	else if (exists)
		why_remedy(why_add(report, "listener", WHY_WARN,
				   "the gateway itself listens there, on %s: clients reach the "
				   "mapping's host and not that service",
				   listener_describe(&found, who)),
			   "close the mapping, or let the service listen elsewhere");
	else
		why_add(report, "listener", WHY_OK,
			"no service of the gateway's own is in the way");
}

void why_check_conntrack(struct why_subject *subject, struct why_report *report)
{
	uint64_t max = 0, count = 0;

	if (host_setting_read_uint("net.netfilter.nf_conntrack_max", &max) < 0 ||
	    host_setting_read_uint("net.netfilter.nf_conntrack_count", &count) < 0 || max == 0)
		why_add(report, "conntrack", WHY_UNKNOWN, "connection tracking cannot be read");
	else if (count >= max)
		why_remedy(why_add(report, "conntrack", WHY_FAIL,
				   "connection tracking is full (%" PRIu64 "): new connections are "
				   "dropped",
				   max),
			   "sysctl -w net.netfilter.nf_conntrack_max=%" PRIu64, 2 * max);
	else
		why_add(report, "conntrack", WHY_OK,
			"connection tracking has %" PRIu64 " of %" PRIu64 " entries", count, max);
}

/* Live ones of the mapping's account, as the last listing of the kernel has them. */
static size_t count_connections(const struct flow_table *table, const struct mapping_key *key,
				size_t *ret_answered)
{
	uint32_t account;
	size_t n = 0;

	*ret_answered = 0;
	if (!flow_table_account(table, key, &account))
		return 0;
	for (uint32_t i = 0; i < table->store.flow_pool.used; i++) {
		if (table->store.flows[i].account != account || !flow_table_is_live(table, i))
			continue;
		n++;
		*ret_answered += (table->flow_live[i].status & IPS_SEEN_REPLY) != 0;
	}
	return n;
}

void why_check_connections(struct why_subject *subject, struct why_report *report)
{
	size_t answered, n;

	if (!subject->view->flows)
		return;
	n = count_connections(subject->view->flows, &subject->key, &answered);
	if (n > 0 && answered == 0)
		why_remedy(why_add(report, "connections", WHY_WARN,
				   "%zu connections are open, and the host has answered none", n),
			   "schedctl --gateway SOCKET session list --port %u; look at the host",
			   subject->key.port);
	else
		why_add(report, "connections", WHY_OK,
			"%zu connections are open, of which the host has answered %zu", n,
			answered);
}

void why_check_forwarding(struct why_subject *subject, struct why_report *report)
{
	bool v6 = subject->key.address.family == AF_INET6;
	const char *setting = v6 ? "net.ipv6.conf.all.forwarding" : "net.ipv4.ip_forward";
	uint64_t on = 0;

	if (host_setting_read_uint(setting, &on) < 0)
		why_add(report, "forwarding", WHY_UNKNOWN, "%s cannot be read", setting);
	else if (on == 0)
		why_remedy(why_add(report, "forwarding", WHY_FAIL,
				   "%s forwarding is off: nothing is passed on to a host",
				   v6 ? "IPv6" : "IPv4"),
			   "sysctl -w %s=1", setting);
	else
		why_add(report, "forwarding", WHY_OK, "%s is on", setting);
}

/* A table of one family sees nothing of the other. */
static bool concerns(const struct forward_chain *chain, uint8_t family)
{
	return chain->family == NFPROTO_INET ||
	       chain->family == (family == AF_INET6 ? NFPROTO_IPV6 : NFPROTO_IPV4);
}

void why_check_others(struct why_subject *subject, struct why_report *report)
{
	struct forward_chain chains[FORWARD_CHAINS_MAX];
	char remedy[FORWARD_REMEDY_MAX];
	size_t n = 0, watched = 0;

	if (forward_chains_read(chains, &n) < 0) {
		why_remedy(why_add(report, "forward", WHY_UNKNOWN,
				   "the forward chains of other tables cannot be read"),
			   "nft list chains");
		return;
	}
	for (size_t i = 0; i < n; i++) {
		if (!concerns(&chains[i], subject->key.address.family))
			continue;
		watched++;
		if (!chains[i].drops || chains[i].admits)
			continue;
		why_remedy(why_add(report, "forward", WHY_FAIL,
				   "chain %s of table %s (%s) drops what its rules do not accept, "
				   "and none accepts translated connections as such",
				   chains[i].name, chains[i].table,
				   forward_owner_name(chains[i].owner)),
			   "%s", forward_remedy(&chains[i], remedy));
		return;
	}
	if (forward_has_legacy())
		why_remedy(
			why_add(report, "forward", WHY_UNKNOWN,
				"old iptables has a filter table, which cannot be read from here"),
			"iptables-legacy -S FORWARD");
	else
		why_add(report, "forward", WHY_OK, "%zu forward chains of other tables let it pass",
			watched);
}
