/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Links and addresses of this network namespace, followed with libnl's caches, and word that routes
 * have changed. It decides nothing. Routes are not kept: a gateway may have a million of them, and
 * route.h asks the kernel for the one that matters.
 */
#include "gatewayd/network.h"

#include <errno.h>
#include <linux/if_addr.h>
#include <linux/rtnetlink.h>
#include <netlink/cache.h>
#include <netlink/errno.h>
#include <netlink/msg.h>
#include <netlink/route/addr.h>
#include <netlink/route/link.h>
#include <netlink/socket.h>
#include <stdio.h>
#include <string.h>

#include "lib/loop.h"

/* A change is often one of several: an interface comes up with its addresses and routes. */
#define SETTLE_MS 50
#define RECEIVE_BYTES (1 << 20)
#define RETRY_MS 1000

/* What is known, as of when it was opened and of what was heard since. */
struct caches {
	struct nl_sock *socket;
	struct nl_cache_mngr *manager;
	struct nl_cache *links, *addresses; /* the manager's */
};

struct network {
	struct event_base *base;
	struct caches caches;
	struct event readable, settled, retry;
	unsigned changed; /* enum network_change, not told yet */
	void (*on_change)(unsigned what, void *userdata);
	void *userdata;
};

static void note_change(struct network *network, unsigned what)
{
	network->changed |= what;
	if (network->base && !evtimer_pending(&network->settled, NULL))
		(void)loop_timer_arm(&network->settled, SETTLE_MS);
}

static void on_settled(evutil_socket_t fd, short what, void *userdata)
{
	struct network *network = userdata;
	unsigned changed = network->changed;

	network->changed = 0;
	if (network->on_change && changed)
		network->on_change(changed, network->userdata);
}

static void on_link(struct nl_cache *cache, struct nl_object *object, int action, void *userdata)
{
	note_change(userdata, NETWORK_LINKS);
}

static void on_address(struct nl_cache *cache, struct nl_object *object, int action, void *userdata)
{
	note_change(userdata, NETWORK_ADDRESSES);
}

/* Every message, before the manager looks whether a cache wants it: none wants routes. */
static int on_message(struct nl_msg *message, void *userdata)
{
	uint16_t type = nlmsg_hdr(message)->nlmsg_type;

	if (type == RTM_NEWROUTE || type == RTM_DELROUTE)
		note_change(userdata, NETWORK_ROUTES);
	return NL_OK;
}

/* libnl has errors of its own, which do not lead back to the kernel's. */
static int errno_of(int error)
{
	if (error >= 0)
		return 0;
	if (error == -NLE_PERM)
		return -EPERM;
	return error == -NLE_NOMEM ? -ENOMEM : -EIO;
}

static void close_caches(struct caches *caches)
{
	if (caches->manager)
		nl_cache_mngr_free(caches->manager);
	nl_socket_free(caches->socket);
	*caches = (struct caches){ 0 };
}

static int fill_caches(struct caches *caches, struct network *network)
{
	int r;

	r = nl_cache_mngr_alloc(caches->socket, NETLINK_ROUTE, 0, &caches->manager);
	if (r == 0)
		r = nl_cache_mngr_add(caches->manager, "route/link", on_link, network,
				      &caches->links);
	if (r == 0)
		r = nl_cache_mngr_add(caches->manager, "route/addr", on_address, network,
				      &caches->addresses);
	if (r == 0)
		r = nl_socket_add_memberships(caches->socket, RTNLGRP_IPV4_ROUTE,
					      RTNLGRP_IPV6_ROUTE, 0);
	if (r == 0)
		r = nl_socket_modify_cb(caches->socket, NL_CB_MSG_IN, NL_CB_CUSTOM, on_message,
					network);
	/* A larger buffer is welcome and not needed: what is lost is read again. */
	if (r == 0)
		(void)nl_socket_set_buffer_size(caches->socket, RECEIVE_BYTES, 0);
	return errno_of(r);
}

static void on_readable(evutil_socket_t fd, short what, void *userdata);

static void stop_reading(struct network *network)
{
	if (network->base && event_initialized(&network->readable))
		event_del(&network->readable);
}

/* In the place of those that are there, which stay where it fails; nothing is read then. */
static int open_caches(struct network *network)
{
	struct caches caches = { .socket = nl_socket_alloc() };
	int r;

	stop_reading(network);
	if (!caches.socket)
		return -ENOMEM;
	r = fill_caches(&caches, network);
	if (r == 0 && network->base &&
	    (event_assign(&network->readable, network->base, nl_cache_mngr_get_fd(caches.manager),
			  EV_READ | EV_PERSIST, on_readable, network) < 0 ||
	     event_add(&network->readable, NULL) < 0))
		r = -ENOMEM;
	if (r < 0) {
		close_caches(&caches);
		return r;
	}
	close_caches(&network->caches);
	network->caches = caches;
	return 0;
}

/* Messages were lost: everything may have changed. While it cannot be read again, what was known
 * last is the best guess. */
static void reopen(struct network *network)
{
	if (open_caches(network) < 0)
		(void)loop_timer_arm(&network->retry, RETRY_MS);
	else
		note_change(network, NETWORK_LINKS | NETWORK_ADDRESSES | NETWORK_ROUTES);
}

static void on_retry(evutil_socket_t fd, short what, void *userdata)
{
	reopen(userdata);
}

static void on_readable(evutil_socket_t fd, short what, void *userdata)
{
	struct network *network = userdata;

	if (nl_cache_mngr_data_ready(network->caches.manager) < 0)
		reopen(network);
}

int network_new(struct network **ret, struct event_base *base,
		void (*on_change)(unsigned what, void *userdata), void *userdata)
{
	_cleanup_(cleanup_network) struct network *network = calloc(1, sizeof(*network));
	int r;

	if (!network)
		return -ENOMEM;
	network->base = base;
	network->on_change = on_change;
	network->userdata = userdata;
	if (base) {
		(void)evtimer_assign(&network->settled, base, on_settled, network);
		(void)evtimer_assign(&network->retry, base, on_retry, network);
	}
	r = open_caches(network);
	if (r < 0)
		return r;
	network->changed = 0;
	*ret = TAKE_PTR(network);
	return 0;
}

void network_free(struct network *network)
{
	if (!network)
		return;
	stop_reading(network);
	close_caches(&network->caches);
	if (network->base) {
		event_del(&network->settled);
		event_del(&network->retry);
	}
	free(network);
}

/* ---- looking ---- */

static void read_link(struct rtnl_link *link, struct network_link *ret)
{
	unsigned flags = rtnl_link_get_flags(link);
	const char *name = rtnl_link_get_name(link);

	*ret = (struct network_link){
		.index = rtnl_link_get_ifindex(link),
		.up = flags & IFF_UP,
		.loopback = flags & IFF_LOOPBACK,
	};
	(void)snprintf(ret->name, sizeof(ret->name), "%s", name ? name : "");
}

static int compare_links(const void *a, const void *b)
{
	const struct network_link *left = a, *right = b;

	return left->index < right->index ? -1 : left->index > right->index;
}

size_t network_links(const struct network *network, struct network_link *ret, size_t max)
{
	struct nl_object *object = nl_cache_get_first(network->caches.links);
	size_t n = 0;

	for (; object && n < max; object = nl_cache_get_next(object)) {
		struct rtnl_link *link = (struct rtnl_link *)object;

		/* A bridge's port has a second object, of the bridge's family. */
		if (rtnl_link_get_family(link) == AF_UNSPEC)
			read_link(link, &ret[n++]);
	}
	qsort(ret, n, sizeof(*ret), compare_links);
	return n;
}

bool network_find_link(const struct network *network, int index, struct network_link *ret)
{
	struct rtnl_link *link = rtnl_link_get(network->caches.links, index);

	if (!link)
		return false;
	read_link(link, ret);
	rtnl_link_put(link);
	return true;
}

static bool read_address(struct rtnl_addr *object, struct network_address *ret)
{
	const struct nl_addr *local = rtnl_addr_get_local(object);
	unsigned flags = rtnl_addr_get_flags(object);
	struct network_address address = { .link = rtnl_addr_get_ifindex(object) };

	if (!local)
		return false;
	address.address.family = (uint8_t)nl_addr_get_family(local);
	if (address_length(&address.address) == 0 ||
	    nl_addr_get_len(local) != address_length(&address.address))
		return false;
	memcpy(address.address.bytes, nl_addr_get_binary_addr(local),
	       address_length(&address.address));
	/* Deprecated ones count: keepalived marks its shared addresses so. */
	address.global = rtnl_addr_get_scope(object) == RT_SCOPE_UNIVERSE &&
			 !(flags & (IFA_F_TENTATIVE | IFA_F_DADFAILED));
	/* Of IPv4 the same bit says "not the first one of its network". */
	address.temporary = address.address.family == AF_INET6 && (flags & IFA_F_TEMPORARY);
	*ret = address;
	return true;
}

size_t network_addresses(const struct network *network, struct network_address *ret, size_t max)
{
	struct nl_object *object = nl_cache_get_first(network->caches.addresses);
	size_t n = 0;

	for (; object && n < max; object = nl_cache_get_next(object))
		n += read_address((struct rtnl_addr *)object, &ret[n]);
	return n;
}

int network_link_of(const struct network *network, const struct address *address)
{
	struct nl_object *object = nl_cache_get_first(network->caches.addresses);
	struct network_address found;

	for (; object; object = nl_cache_get_next(object))
		if (read_address((struct rtnl_addr *)object, &found) &&
		    address_equal(&found.address, address))
			return found.link;
	return 0;
}
