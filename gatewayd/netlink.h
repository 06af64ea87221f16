/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A netlink socket for requests: opened, sized, written and read with a deadline. It owns the
 * descriptor and the sequence numbers; it knows nothing of tables, connections or routes.
 */
#pragma once

#include <linux/netlink.h>

#include "lib/error.h"
#include "lib/util.h"

/* Largest datagram that the kernel sends in answer to a dump, and for acknowledgements. */
#define NETLINK_DATAGRAM_MAX ((size_t)64 << 10)

struct netlink {
	int fd;               /* -1 while closed */
	uint32_t port_id;     /* what the kernel calls this socket */
	uint32_t sequence;    /* the next one; never 0 */
	size_t receive_bytes; /* receive buffer that was granted */
	size_t send_bytes;    /* and send buffer; 0: not asked for yet */
};

#define NETLINK_INIT ((struct netlink){ .fd = -1 })

/* Opens a NETLINK_NETFILTER socket with extended acknowledgements. receive_bytes is asked for by
 * SO_RCVBUFFORCE, then SO_RCVBUF; 0 asks for nothing. The first sequence number is random. */
int netlink_open(struct netlink *ret, size_t receive_bytes) _must_check_;
/* The same for another protocol: NETLINK_ROUTE, NETLINK_SOCK_DIAG. */
int netlink_open_protocol(struct netlink *ret, int protocol, size_t receive_bytes) _must_check_;
void netlink_close(struct netlink *netlink); /* closed already is fine */

/* Takes n consecutive sequence numbers, none of them 0; returns the first. */
uint32_t netlink_sequences(struct netlink *netlink, uint32_t n);

/* Asks for a receive buffer of at least this size; what was granted is in receive_bytes. */
void netlink_grow_receive(struct netlink *netlink, size_t bytes);

/* Sends all of data in one datagram. -EMSGSIZE where the kernel does not grant a send buffer of
 * that size; the sentence names the sysctl to raise. */
int netlink_send(struct netlink *netlink, const void *data, size_t length, struct error *err)
	_must_check_;

/* Reads one datagram of the kernel; others' are dropped. Waits until deadline (monotonic ms) at
 * most. -ETIMEDOUT, -ENOBUFS (the kernel had to drop answers), -EMSGSIZE (cut off), or
 * recvmsg(2)'s errors. */
int netlink_receive(struct netlink *netlink, void *buffer, size_t size, uint64_t deadline,
		    size_t *ret_length) _must_check_;

/* Sends one request and hands each answer of its sequence to on_message until the dump, or the
 * acknowledgement, is complete. Answers -EINTR where the dump was interrupted by a change (repeat
 * it), the error of the kernel, or what on_message returned. request is a complete message with
 * room for its sequence number, which is set here. */
int netlink_request(struct netlink *netlink, struct nlmsghdr *request, uint64_t timeout_ms,
		    int (*on_message)(const struct nlmsghdr *message, void *userdata),
		    void *userdata) _must_check_;

/* Whether a whole message is within the next bytes. mnl_nlmsg_ok alone takes a length of 2 GiB and
 * more for a negative one. */
bool netlink_message_ok(const struct nlmsghdr *message, int left);

/* The kernel's extended-ack text of an error message, NULL if it has none; *ret_offset is the
 * offset of the attribute that it blames, counted from the message's header, 0 if unknown. */
const char *netlink_error_text(const struct nlmsghdr *message, uint32_t *ret_offset);
