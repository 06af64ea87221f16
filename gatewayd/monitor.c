/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The monitor hears of changes to our table that we did not make, on a socket of its own. It only
 * says so: what is true is read from the kernel by others.
 */
#include "gatewayd/monitor.h"

#include <arpa/inet.h>
#include <errno.h>
#include <libmnl/libmnl.h>
#include <linux/filter.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include "gatewayd/netlink.h"
#include "gatewayd/shape.h"
#include "lib/loop.h"

/* A foreign flush of a large map is one event per element. */
#define RECEIVE_BYTES ((size_t)4 << 20)
#define WHO_MAX 64
/* Datagrams in one turn of the loop; the rest waits for the next. */
#define TURN_MAX 64

struct monitor {
	struct netlink netlink;
	struct event event;
	void (*on_change)(const char *who, void *userdata);
	void *userdata;
	bool touched; /* our table, by the transaction whose events are being read */
	_Alignas(struct nlmsghdr) uint8_t buffer[NETLINK_DATAGRAM_MAX];
};

/* In all of nftables' messages that belong to a table, attribute 1 is the table's name. */
static bool is_about_us(const struct nlmsghdr *message)
{
	const struct nfgenmsg *nfgen = mnl_nlmsg_get_payload(message);
	const struct nlattr *attr;

	if (mnl_nlmsg_get_payload_len(message) < sizeof(*nfgen) ||
	    nfgen->nfgen_family != NFPROTO_INET)
		return false;
	mnl_attr_for_each(attr, message, sizeof(*nfgen))
	{
		if (mnl_attr_get_type(attr) == NFTA_TABLE_NAME)
			return mnl_attr_validate(attr, MNL_TYPE_NUL_STRING) >= 0 &&
			       strcmp(mnl_attr_get_str(attr), SHAPE_TABLE) == 0;
	}
	return false;
}

/* NEWGEN ends a transaction's events and names the process. */
static void describe(const struct nlmsghdr *message, char who[WHO_MAX])
{
	const char *name = "unknown";
	const struct nlattr *attr;
	uint32_t pid = 0;

	mnl_attr_for_each(attr, message, sizeof(struct nfgenmsg))
	{
		if (mnl_attr_get_type(attr) == NFTA_GEN_PROC_NAME &&
		    mnl_attr_validate(attr, MNL_TYPE_NUL_STRING) >= 0)
			name = mnl_attr_get_str(attr);
		else if (mnl_attr_get_type(attr) == NFTA_GEN_PROC_PID &&
			 mnl_attr_validate(attr, MNL_TYPE_U32) >= 0)
			pid = ntohl(mnl_attr_get_u32(attr));
	}
	(void)snprintf(who, WHO_MAX, "%s (pid %u)", name, pid);
}

static void take_message(struct monitor *monitor, const struct nlmsghdr *message)
{
	char who[WHO_MAX];

	if (message->nlmsg_type >> 8 != NFNL_SUBSYS_NFTABLES)
		return;
	if ((message->nlmsg_type & 0xff) != NFT_MSG_NEWGEN) {
		monitor->touched |= is_about_us(message);
		return;
	}
	if (!monitor->touched)
		return;
	monitor->touched = false;
	describe(message, who);
	monitor->on_change(who, monitor->userdata);
}

static void take_datagram(struct monitor *monitor, size_t length)
{
	const struct nlmsghdr *message = (const struct nlmsghdr *)monitor->buffer;
	int left = (int)length;

	while (netlink_message_ok(message, left)) {
		take_message(monitor, message);
		message = mnl_nlmsg_next(message, &left);
	}
}

static void on_readable(evutil_socket_t fd, short what, void *userdata)
{
	struct monitor *monitor = userdata;

	for (int i = 0; i < TURN_MAX; i++) {
		size_t length;
		int r = netlink_receive(&monitor->netlink, monitor->buffer, sizeof(monitor->buffer),
					0, &length);

		if (r == -ETIMEDOUT)
			return;
		if (r < 0) {
			monitor->touched = false;
			monitor->on_change("events were lost", monitor->userdata);
			return;
		}
		take_datagram(monitor, length);
	}
}

void monitor_ignore(struct monitor *monitor, uint32_t port_id)
{
	/* Loads are in network byte order; nlmsg_pid is in the host's. */
	struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct nlmsghdr, nlmsg_pid)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, htonl(port_id), 0, 1),
		BPF_STMT(BPF_RET | BPF_K, 0),
		BPF_STMT(BPF_RET | BPF_K, UINT32_MAX),
	};
	struct sock_fprog program = { .len = ARRAY_SIZE(code), .filter = code };

	/* Without the filter our own commits lead to a needless look, and no more. */
	(void)setsockopt(monitor->netlink.fd, SOL_SOCKET, SO_ATTACH_FILTER, &program,
			 sizeof(program));
}

static int set_membership(const struct monitor *monitor, int option)
{
	int group = NFNLGRP_NFTABLES;

	return setsockopt(monitor->netlink.fd, SOL_NETLINK, option, &group, sizeof(group)) < 0
		       ? -errno
		       : 0;
}

void monitor_listen(struct monitor *monitor, bool listen)
{
	int r = set_membership(monitor, listen ? NETLINK_ADD_MEMBERSHIP : NETLINK_DROP_MEMBERSHIP);

	/* What was joined once can be joined again; else everything counts as missed. */
	if (r < 0 && listen)
		monitor->on_change("events are not to be had", monitor->userdata);
}

int monitor_new(struct monitor **ret, struct event_base *base,
		void (*on_change)(const char *who, void *userdata), void *userdata)
{
	_cleanup_(cleanup_monitor) struct monitor *monitor = calloc(1, sizeof(*monitor));
	int r;

	if (!monitor)
		return -ENOMEM;
	monitor->on_change = on_change;
	monitor->userdata = userdata;
	monitor->netlink = NETLINK_INIT;
	r = netlink_open(&monitor->netlink, RECEIVE_BYTES);
	if (r < 0)
		return r;
	r = set_membership(monitor, NETLINK_ADD_MEMBERSHIP);
	if (r < 0)
		return r;
	if (event_assign(&monitor->event, base, monitor->netlink.fd, EV_READ | EV_PERSIST,
			 on_readable, monitor) < 0 ||
	    event_add(&monitor->event, NULL) < 0)
		return -ENOMEM;
	*ret = TAKE_PTR(monitor);
	return 0;
}

void monitor_free(struct monitor *monitor)
{
	if (!monitor)
		return;
	if (event_initialized(&monitor->event))
		event_del(&monitor->event);
	netlink_close(&monitor->netlink);
	free(monitor);
}
