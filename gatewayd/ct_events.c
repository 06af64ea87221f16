/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The socket on which the kernel tells of ended connections, with their last counts. It loses none:
 * what finds no room in its buffer stays in the kernel and comes again, and the socket itself
 * outlives a killed process in systemd's file descriptor store.
 */
#include "gatewayd/ct_events.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/netfilter/nf_conntrack_common.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netfilter/nfnetlink_compat.h>
#include <linux/netfilter/nfnetlink_conntrack.h>
#include <linux/netlink.h>
#include <string.h>
#include <sys/socket.h>

#include "lib/loop.h"

#define STORED_NAME "conntrack-events"
#define MESSAGES_MAX 64

/* Only connections whose destination was translated; all others cost us nothing. */
static int attach_filter(int fd)
{
	struct sock_filter code[] = {
		/* A = where the attributes begin, X = which one, A = where it is or 0 */
		BPF_STMT(BPF_LD | BPF_IMM, sizeof(struct nlmsghdr) + sizeof(struct nfgenmsg)),
		BPF_STMT(BPF_LDX | BPF_IMM, CTA_STATUS),
		BPF_STMT(BPF_LD | BPF_B | BPF_ABS, (uint32_t)(SKF_AD_OFF + SKF_AD_NLATTR)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, 0, 3, 0),
		BPF_STMT(BPF_MISC | BPF_TAX, 0),
		BPF_STMT(BPF_LD | BPF_W | BPF_IND, sizeof(struct nlattr)),
		BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K, IPS_DST_NAT, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, UINT32_MAX),
		BPF_STMT(BPF_RET | BPF_K, 0),
	};
	const struct sock_fprog program = { .len = ARRAY_SIZE(code), .filter = code };

	return setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof(program)) < 0 ? -errno
											   : 0;
}

static uint64_t namespace_of(int fd)
{
	uint64_t cookie = 0;
	socklen_t length = sizeof(cookie);

	(void)getsockopt(fd, SOL_SOCKET, SO_NETNS_COOKIE, &cookie, &length);
	return cookie;
}

static int option(int fd, int name)
{
	int value = -1;
	socklen_t length = sizeof(value);

	return getsockopt(fd, SOL_SOCKET, name, &value, &length) < 0 ? -1 : value;
}

/* A copy of what the service manager kept for us, if that is what it should be. */
static int take_stored(int fresh)
{
	int stored = loop_stored_fd(STORED_NAME);

	if (stored < 0 || option(stored, SO_DOMAIN) != AF_NETLINK ||
	    option(stored, SO_PROTOCOL) != NETLINK_NETFILTER ||
	    namespace_of(stored) != namespace_of(fresh))
		return -1;
	return fcntl(stored, F_DUPFD_CLOEXEC, 3);
}

static int join(int fd)
{
	const struct sockaddr_nl address = { .nl_family = AF_NETLINK };
	int group = NFNLGRP_CONNTRACK_DESTROY;

	if (bind(fd, (const struct sockaddr *)&address, sizeof(address)) < 0)
		return -errno;
	if (setsockopt(fd, SOL_NETLINK, NETLINK_ADD_MEMBERSHIP, &group, sizeof(group)) < 0)
		return -errno;
	return 0;
}

static void set_buffer(struct ct_events *events, size_t bytes)
{
	int wanted = (int)MIN(bytes, (size_t)1 << 30);

	if (setsockopt(events->fd, SOL_SOCKET, SO_RCVBUFFORCE, &wanted, sizeof(wanted)) < 0)
		(void)setsockopt(events->fd, SOL_SOCKET, SO_RCVBUF, &wanted, sizeof(wanted));
	events->receive_bytes = (size_t)MAX(option(events->fd, SO_RCVBUF), 0);
}

static int refuse(int r, struct error *err)
{
	if (r == -EPERM)
		return error_set(err, r, "privilege", NULL,
				 "CAP_NET_ADMIN is missing: the kernel does not tell of ended "
				 "connections; run as root, or with "
				 "AmbientCapabilities=CAP_NET_ADMIN");
	return error_set(err, r, "kernel", NULL, "cannot listen for ended connections: %s",
			 strerror(-r));
}

int ct_events_open(struct ct_events *ret, size_t buffer, struct error *err)
{
	struct ct_events events = CT_EVENTS_INIT;
	_cleanup_close_ int fresh =
		socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, NETLINK_NETFILTER);
	int r = 0;

	if (fresh < 0)
		return error_set(err, -errno, "kernel", NULL, "cannot open a conntrack socket: %s",
				 strerror(errno));
	events.fd = take_stored(fresh);
	events.restored = events.fd >= 0;
	if (!events.restored) {
		events.fd = TAKE_FD(fresh);
		r = join(events.fd);
	}
	if (r == 0)
		r = attach_filter(events.fd);
	if (r < 0) {
		ct_events_close(&events);
		return refuse(r, err);
	}
	set_buffer(&events, buffer);
	ct_events_set_reliable(&events, false);
	if (!events.restored)
		loop_store_fd(STORED_NAME, events.fd);
	*ret = events;
	return 0;
}

void ct_events_close(struct ct_events *events)
{
	if (events->fd < 0)
		return;
	ct_events_set_reliable(events, false);
	close(events->fd);
	events->fd = -1;
}

void ct_events_set_reliable(struct ct_events *events, bool reliable)
{
	int on = reliable;

	(void)setsockopt(events->fd, SOL_NETLINK, NETLINK_BROADCAST_ERROR, &on, sizeof(on));
}

int ct_events_read(struct ct_events *events, uint8_t *slots, size_t slot_size, unsigned n)
{
	struct mmsghdr messages[MESSAGES_MAX] = { 0 };
	struct iovec parts[MESSAGES_MAX];
	int got;

	n = MIN(n, (unsigned)MESSAGES_MAX);
	for (unsigned i = 0; i < n; i++) {
		parts[i] = (struct iovec){ slots + i * slot_size, slot_size };
		messages[i].msg_hdr = (struct msghdr){ .msg_iov = &parts[i], .msg_iovlen = 1 };
	}
	for (;;) {
		got = recvmmsg(events->fd, messages, n, MSG_DONTWAIT, NULL);
		if (got >= 0)
			return got;
		if (errno == EAGAIN)
			return 0;
		if (errno == ENOBUFS)
			events->overruns++; /* nothing is lost where it is reliable */
		else if (errno != EINTR)
			return -errno;
	}
}
