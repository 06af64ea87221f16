/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Where the kernel would send a packet: its own answer for one destination, and what it knows of
 * the next machine on the way. It reads rtnetlink and changes nothing.
 */
#include "gatewayd/route.h"

#include <errno.h>
#include <libmnl/libmnl.h>
#include <linux/neighbour.h>
#include <linux/rtnetlink.h>
#include <string.h>

#define TIMEOUT_MS 1000
#define REQUEST_MAX 256

int routes_open(struct routes *ret)
{
	struct routes routes = ROUTES_INIT;
	int r;

	r = netlink_open_protocol(&routes.netlink, NETLINK_ROUTE, 0);
	if (r < 0)
		return r;
	*ret = routes;
	return 0;
}

void routes_close(struct routes *routes)
{
	netlink_close(&routes->netlink);
}

/* An answer may still be under way where one did not come in time. */
static int ask(struct routes *routes, struct nlmsghdr *request,
	       int (*on_message)(const struct nlmsghdr *message, void *userdata), void *userdata)
{
	int r = netlink_request(&routes->netlink, request, TIMEOUT_MS, on_message, userdata);

	if (r == -ETIMEDOUT || r == -ENOBUFS || r == -EBADF) {
		routes_close(routes);
		(void)!netlink_open_protocol(&routes->netlink, NETLINK_ROUTE, 0);
	}
	return r;
}

/* ---- routes ---- */

static void copy_address(const struct nlattr *attr, uint8_t family, struct address *ret)
{
	struct address address = { .family = family };

	if (mnl_attr_get_payload_len(attr) != address_length(&address))
		return;
	memcpy(address.bytes, mnl_attr_get_payload(attr), address_length(&address));
	*ret = address;
}

/* An IPv4 destination may be reached by an IPv6 gateway, which is given with its family. */
static void copy_via(const struct nlattr *attr, struct address *ret)
{
	const struct rtvia *via = mnl_attr_get_payload(attr);
	struct address address = { 0 };

	if (mnl_attr_get_payload_len(attr) < sizeof(*via))
		return;
	address.family = (uint8_t)via->rtvia_family;
	if (address_length(&address) == 0 ||
	    mnl_attr_get_payload_len(attr) < sizeof(*via) + address_length(&address))
		return;
	memcpy(address.bytes, via->rtvia_addr, address_length(&address));
	*ret = address;
}

static int on_route(const struct nlmsghdr *message, void *userdata)
{
	const struct rtmsg *header = mnl_nlmsg_get_payload(message);
	struct route *route = userdata;
	const struct nlattr *attr;

	if (message->nlmsg_type != RTM_NEWROUTE ||
	    mnl_nlmsg_get_payload_len(message) < sizeof(*header))
		return 0;
	route->kind = header->rtm_type == RTN_LOCAL ? ROUTE_LOCAL : ROUTE_FORWARD;
	mnl_attr_for_each(attr, message, sizeof(*header))
	{
		switch (mnl_attr_get_type(attr)) {
		case RTA_OIF:
			if (mnl_attr_validate(attr, MNL_TYPE_U32) >= 0)
				route->link = (int)mnl_attr_get_u32(attr);
			break;
		case RTA_GATEWAY:
			copy_address(attr, header->rtm_family, &route->gateway);
			break;
		case RTA_VIA:
			copy_via(attr, &route->gateway);
			break;
		case RTA_PREFSRC:
			copy_address(attr, header->rtm_family, &route->source);
			break;
		}
	}
	return 0;
}

/* What the kernel answers in place of a route, where it has none. */
static bool is_no_route(int errnum)
{
	return errnum == -ENETUNREACH || errnum == -EHOSTUNREACH || errnum == -EACCES ||
	       errnum == -EINVAL || errnum == -ENETDOWN;
}

int routes_find(struct routes *routes, const struct address *to, struct route *ret)
{
	_Alignas(struct nlmsghdr) uint8_t buffer[REQUEST_MAX] = { 0 };
	struct nlmsghdr *header = mnl_nlmsg_put_header(buffer);
	struct route route = { 0 };
	struct rtmsg *request;
	int r;

	header->nlmsg_type = RTM_GETROUTE;
	header->nlmsg_flags = NLM_F_REQUEST;
	request = mnl_nlmsg_put_extra_header(header, sizeof(*request));
	request->rtm_family = to->family;
	request->rtm_dst_len = (uint8_t)(8 * address_length(to));
	mnl_attr_put(header, RTA_DST, address_length(to), to->bytes);
	r = ask(routes, header, on_route, &route);
	if (r < 0 && !is_no_route(r))
		return r;
	if (r < 0)
		route = (struct route){ .kind = ROUTE_NONE, .errnum = r };
	*ret = route;
	return 0;
}

int routes_uplink(struct routes *routes, uint8_t family)
{
	/* Any address of the internet does: it is looked up in the routing table, and nothing is
	 * sent. These are of root name servers, which nobody has a route of their own to. */
	static const struct address away[] = {
		{ .family = AF_INET, .bytes = { 198, 41, 0, 4 } },
		{ .family = AF_INET6,
		  .bytes = { 0x20, 0x01, 0x05, 0x03, 0xba, 0x3e, 0, 0, 0, 0, 0, 0, 0, 0x02, 0,
			     0x30 } },
	};
	struct route route;

	for (size_t i = 0; i < ARRAY_SIZE(away); i++)
		if (away[i].family == family && routes_find(routes, &away[i], &route) == 0 &&
		    route.kind == ROUTE_FORWARD)
			return route.link;
	return 0;
}

/* ---- neighbours ---- */

static int on_neighbour(const struct nlmsghdr *message, void *userdata)
{
	const struct ndmsg *header = mnl_nlmsg_get_payload(message);
	enum neighbour_state *state = userdata;

	if (message->nlmsg_type != RTM_NEWNEIGH ||
	    mnl_nlmsg_get_payload_len(message) < sizeof(*header))
		return 0;
	if (header->ndm_state & NUD_FAILED)
		*state = NEIGHBOUR_FAILED;
	else if (header->ndm_state & NUD_INCOMPLETE)
		*state = NEIGHBOUR_INCOMPLETE;
	else if (header->ndm_state != NUD_NONE)
		*state = NEIGHBOUR_KNOWN;
	return 0;
}

int routes_neighbour(struct routes *routes, int link, const struct address *address,
		     enum neighbour_state *ret)
{
	_Alignas(struct nlmsghdr) uint8_t buffer[REQUEST_MAX] = { 0 };
	struct nlmsghdr *header = mnl_nlmsg_put_header(buffer);
	enum neighbour_state state = NEIGHBOUR_UNKNOWN;
	struct ndmsg *request;
	int r;

	header->nlmsg_type = RTM_GETNEIGH;
	header->nlmsg_flags = NLM_F_REQUEST;
	request = mnl_nlmsg_put_extra_header(header, sizeof(*request));
	request->ndm_family = address->family;
	request->ndm_ifindex = link;
	mnl_attr_put(header, NDA_DST, address_length(address), address->bytes);
	r = ask(routes, header, on_neighbour, &state);
	if (r < 0 && r != -ENOENT)
		return r;
	*ret = state;
	return 0;
}
