/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Links, addresses and routes of the test's own namespace, as they come and go: what is followed,
 * what is found, and what stays of an address that is gone.
 */
#include <criterion/criterion.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>

#include "gatewayd/network.h"
#include "gatewayd/public_addresses.h"
#include "gatewayd/route.h"
#include "lib/clock.h"
#include "tests/kernel/kernel.h"

#define PATIENCE_MS 20000

static struct event_base *base;
static struct network *network;
static struct routes routes = { .netlink.fd = -1 };
static struct public_addresses *addresses;
static struct ledger ledger;
static unsigned heard; /* enum network_change */
static bool different; /* the last refresh found a difference */

static void on_change(unsigned what, void *userdata)
{
	heard |= what;
	if (addresses)
		different |= public_addresses_refresh(addresses, &ledger);
}

static void open_all(void)
{
	enter_namespace();
	do_ip("link add up0 type veth peer name other0");
	do_ip("link set up0 up");
	do_ip("link set other0 up");
	base = event_base_new();
	cr_assert_eq(network_new(&network, base, on_change, NULL), 0);
	cr_assert_eq(routes_open(&routes), 0);
}

static void close_all(void)
{
	public_addresses_free(addresses);
	network_free(network);
	routes_close(&routes);
	ledger_clear(&ledger);
	event_base_free(base);
}

TestSuite(network, .init = open_all, .fini = close_all, .timeout = 60);

static void on_patience(evutil_socket_t fd, short what, void *userdata)
{
	*(bool *)userdata = true;
}

/* Runs the loop until all of these were told. */
static void await(unsigned what)
{
	const struct timeval patience = { .tv_sec = PATIENCE_MS / 1000 };
	bool over = false;
	struct event *timer = evtimer_new(base, on_patience, &over);

	cr_assert_eq(evtimer_add(timer, &patience), 0);
	while ((heard & what) != what && !over)
		cr_assert_eq(event_base_loop(base, EVLOOP_ONCE), 0);
	event_free(timer);
	cr_assert_eq(heard & what, what, "heard %u of %u", heard, what);
	heard = 0;
}

static int link_of(const char *text)
{
	struct endpoint endpoint = endpoint_of(text);

	return network_link_of(network, &endpoint.address);
}

static bool find_link(const char *name, struct network_link *ret)
{
	struct network_link links[8];
	size_t n = network_links(network, links, ARRAY_SIZE(links));

	for (size_t i = 0; i < n; i++)
		if (strcmp(links[i].name, name) == 0) {
			*ret = links[i];
			return true;
		}
	return false;
}

Test(network, follows_links)
{
	struct network_link link;

	cr_assert(find_link("lo", &link));
	cr_assert(link.loopback && link.up);
	cr_assert(find_link("up0", &link));
	cr_assert(link.up && !link.loopback);
	do_ip("link set up0 down");
	/* The kernel also tells of carriers, when it comes to it. */
	while (network_find_link(network, link.index, &link) && link.up)
		await(NETWORK_LINKS);
	cr_assert_not(link.up);
	do_ip("link delete up0");
	while (find_link("up0", &link))
		await(NETWORK_LINKS);
	do_ip("link add new0 type veth peer name new1");
	while (!find_link("new0", &link))
		await(NETWORK_LINKS);
}

Test(network, follows_addresses)
{
	cr_assert_eq(link_of("203.0.113.10:1"), 0);
	do_ip("address add 203.0.113.10/32 dev up0");
	await(NETWORK_ADDRESSES);
	cr_assert_neq(link_of("203.0.113.10:1"), 0);
	do_ip("address add 2001:db8::10/128 dev up0 nodad");
	await(NETWORK_ADDRESSES);
	cr_assert_eq(link_of("[2001:db8::10]:1"), link_of("203.0.113.10:1"));
	do_ip("address delete 203.0.113.10/32 dev up0");
	await(NETWORK_ADDRESSES);
	cr_assert_eq(link_of("203.0.113.10:1"), 0);
}

/* More than the socket holds, while nobody reads. */
static void lose_messages(void)
{
	const char *const argv[] = {
		"sh", "-c",
		"for i in $(seq 1 40); do for j in $(seq 1 250); do echo address add 10.$i.$j.1/32 dev "
		"up0; echo address delete 10.$i.$j.1/32 dev up0; done; done | ip -batch -",
		NULL
	};

	free(run(argv));
}

Test(network, reads_all_again_when_messages_were_lost)
{
	lose_messages();
	do_ip("address add 203.0.113.10/32 dev up0");
	await(NETWORK_ADDRESSES);
	while (link_of("203.0.113.10:1") == 0)
		await(NETWORK_ADDRESSES);
}

/* Those that are open stay. */
static void allow_descriptors(rlim_t n)
{
	struct rlimit limit;

	cr_assert_eq(getrlimit(RLIMIT_NOFILE, &limit), 0);
	limit.rlim_cur = MIN(n, limit.rlim_max);
	cr_assert_eq(setrlimit(RLIMIT_NOFILE, &limit), 0);
}

Test(network, keeps_what_it_knew_while_it_cannot_read_again)
{
	int known, new;

	do_ip("address add 203.0.113.10/32 dev up0");
	await(NETWORK_ADDRESSES);
	lose_messages();
	do_ip("address add 203.0.113.11/32 dev up0");
	allow_descriptors(0);
	cr_assert_eq(event_base_loop(base, EVLOOP_ONCE), 0);
	known = link_of("203.0.113.10:1");
	new = link_of("203.0.113.11:1");
	allow_descriptors(1024);
	cr_assert_neq(known, 0);
	cr_assert_eq(new, 0, "nothing was lost");
	while (link_of("203.0.113.11:1") == 0)
		await(NETWORK_ADDRESSES);
	cr_assert_neq(link_of("203.0.113.10:1"), 0);
}

Test(network, tells_of_routes)
{
	do_ip("address add 192.0.2.1/24 dev up0");
	await(NETWORK_ADDRESSES | NETWORK_ROUTES);
	do_ip("route add 10.9.0.0/16 via 192.0.2.2");
	await(NETWORK_ROUTES);
}

/* ---- routes ---- */

static struct route route_to(const char *text)
{
	struct endpoint endpoint = endpoint_of(text);
	struct route route;

	cr_assert_eq(routes_find(&routes, &endpoint.address, &route), 0, "%s", text);
	return route;
}

Test(network, knows_where_a_packet_would_go)
{
	struct route route;
	struct endpoint gateway = endpoint_of("192.0.2.2:1");

	cr_assert_eq(route_to("10.9.0.1:1").kind, ROUTE_NONE);
	cr_assert_eq(route_to("10.9.0.1:1").errnum, -ENETUNREACH);
	do_ip("address add 192.0.2.1/24 dev up0");
	do_ip("route add 10.9.0.0/16 via 192.0.2.2");
	do_ip("route add prohibit 10.8.0.0/16");
	do_ip("route add blackhole 10.7.0.0/16");
	route = route_to("10.9.0.1:1");
	cr_assert_eq(route.kind, ROUTE_FORWARD);
	cr_assert(address_equal(&route.gateway, &gateway.address));
	cr_assert_eq(route.link, (int)if_nametoindex("up0"));
	cr_assert_eq(route_to("192.0.2.9:1").gateway.family, AF_UNSPEC);
	cr_assert_eq(route_to("192.0.2.1:1").kind, ROUTE_LOCAL);
	cr_assert_eq(route_to("127.0.0.1:1").kind, ROUTE_LOCAL);
	cr_assert_eq(route_to("10.8.0.1:1").errnum, -EACCES);
	cr_assert_eq(route_to("10.7.0.1:1").errnum, -EINVAL);
	cr_assert_eq(routes_uplink(&routes, AF_INET), 0);
	do_ip("route add default via 192.0.2.3");
	cr_assert_eq(routes_uplink(&routes, AF_INET), (int)if_nametoindex("up0"));
	cr_assert_eq(routes_uplink(&routes, AF_INET6), 0);
	do_ip("address add 2001:db8::1/64 dev up0 nodad");
	do_ip("route add default via 2001:db8::2");
	cr_assert_eq(routes_uplink(&routes, AF_INET6), (int)if_nametoindex("up0"));
}

static enum neighbour_state neighbour(const char *text)
{
	struct endpoint endpoint = endpoint_of(text);
	enum neighbour_state state;

	cr_assert_eq(
		routes_neighbour(&routes, (int)if_nametoindex("up0"), &endpoint.address, &state),
		0);
	return state;
}

Test(network, knows_neighbours)
{
	do_ip("address add 192.0.2.1/24 dev up0");
	cr_assert_eq(neighbour("192.0.2.2:1"), NEIGHBOUR_UNKNOWN);
	do_ip("neighbour add 192.0.2.2 lladdr 02:00:00:00:00:01 dev up0");
	cr_assert_eq(neighbour("192.0.2.2:1"), NEIGHBOUR_KNOWN);
	do_ip("neighbour add 192.0.2.3 nud failed dev up0");
	cr_assert_eq(neighbour("192.0.2.3:1"), NEIGHBOUR_FAILED);
	do_ip("address add 2001:db8::1/64 dev up0 nodad");
	do_ip("neighbour add 2001:db8::2 lladdr 02:00:00:00:00:01 dev up0");
	cr_assert_eq(neighbour("[2001:db8::2]:1"), NEIGHBOUR_KNOWN);
}

/* ---- public addresses ---- */

/* The list, with "-" before what the machine does not have. */
static void expect(const char *expected)
{
	size_t n, length = 0;
	const struct public_address *list = public_addresses_list(addresses, &n);
	const struct admission *admission = public_addresses_admission(addresses);
	char said[512] = "", text[ADDRESS_STRING_MAX];

	cr_assert_eq(admission->n_addresses, n);
	for (size_t i = 0; i < n; i++) {
		cr_assert(address_equal(&admission->addresses[i], &list[i].address));
		length += (size_t)snprintf(said + length, sizeof(said) - length, "%s%s%s",
					   i > 0 ? " " : "", list[i].present ? "" : "-",
					   address_format(&list[i].address, text));
	}
	cr_assert_str_eq(said, expected);
}

static void find_addresses(void)
{
	cr_assert_eq(public_addresses_new(&addresses, NULL, 0, network, &routes), 0);
	cr_assert(public_addresses_found(addresses));
}

Test(network, public_addresses_are_found_and_new_ones_admitted)
{
	find_addresses();
	expect("");
	do_ip("address add 203.0.113.20/24 dev other0");
	await(NETWORK_ADDRESSES);
	cr_assert(different);
	expect("203.0.113.20");
	do_ip("address add 10.0.0.1/24 dev up0");
	do_ip("address add 203.0.113.10/32 dev up0");
	do_ip("address add 2001:db8::10/128 dev up0 nodad");
	await(NETWORK_ADDRESSES);
	expect("203.0.113.20 203.0.113.10 2001:db8::10"); /* the default stays the default */
}

Test(network, an_address_without_mappings_goes_and_one_with_mappings_stays)
{
	do_ip("address add 203.0.113.10/32 dev up0");
	do_ip("address add 203.0.113.11/32 dev up0");
	await(NETWORK_ADDRESSES);
	find_addresses();
	desire(&ledger, "203.0.113.10:30001", "10.0.0.5:22", NULL);
	do_ip("address delete 203.0.113.10/32 dev up0");
	await(NETWORK_ADDRESSES);
	expect("203.0.113.11 -203.0.113.10");
	do_ip("address delete 203.0.113.11/32 dev up0");
	await(NETWORK_ADDRESSES);
	expect("-203.0.113.10");
	do_ip("address add 203.0.113.10/32 dev up0");
	await(NETWORK_ADDRESSES);
	expect("203.0.113.10");
}

Test(network, an_address_of_adopted_mappings_is_taken_before_it_is_there)
{
	desire(&ledger, "203.0.113.10:30001", "10.0.0.5:22", NULL);
	find_addresses();
	cr_assert(public_addresses_refresh(addresses, &ledger));
	expect("-203.0.113.10");
}

Test(network, the_uplinks_private_address_serves_until_there_is_a_public_one)
{
	do_ip("address add 10.1.0.5/24 dev up0");
	do_ip("address add 172.17.0.1/16 dev other0");
	do_ip("route add default via 10.1.0.1");
	await(NETWORK_ADDRESSES);
	find_addresses();
	expect("10.1.0.5");
	desire(&ledger, "10.1.0.5:30001", "10.0.0.5:22", NULL);
	do_ip("address add 203.0.113.10/32 dev other0");
	await(NETWORK_ADDRESSES);
	expect("203.0.113.10 10.1.0.5");
}

Test(network, configured_addresses_are_told_missing_and_back)
{
	struct address configured[] = { endpoint_of("203.0.113.10:1").address,
					endpoint_of("203.0.113.11:1").address };

	do_ip("address add 203.0.113.11/32 dev up0");
	await(NETWORK_ADDRESSES);
	cr_assert_eq(public_addresses_new(&addresses, configured, 2, network, &routes), 0);
	cr_assert_not(public_addresses_found(addresses));
	expect("-203.0.113.10 203.0.113.11");
	do_ip("address add 203.0.113.10/32 dev up0");
	await(NETWORK_ADDRESSES);
	expect("203.0.113.10 203.0.113.11");
	do_ip("address delete 203.0.113.11/32 dev up0");
	await(NETWORK_ADDRESSES);
	expect("203.0.113.10 -203.0.113.11");
	do_ip("route add local 203.0.113.8/29 dev lo"); /* AnyIP: on no link, and ours all the same
							 */
	await(NETWORK_ROUTES);
	expect("203.0.113.10 203.0.113.11");
}
