/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A netlink socket for requests: opened, sized, written and read with a deadline. It owns the
 * descriptor and the sequence numbers; it knows nothing of tables, connections or routes.
 */
#include "gatewayd/netlink.h"

#include <errno.h>
#include <libmnl/libmnl.h>
#include <linux/netfilter/nfnetlink.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>

#include "lib/clock.h"
#include "lib/random.h"

/* The kernel refuses a datagram longer than the send buffer less a few bytes of its own. */
#define SEND_SLACK ((size_t)4096)

static int buffer_size(int fd, int option)
{
	int value = 0;
	socklen_t length = sizeof(value);

	if (getsockopt(fd, SOL_SOCKET, option, &value, &length) < 0)
		return 0;
	return value;
}

/* The kernel doubles what is asked for, and getsockopt answers the doubled value. */
static size_t buffer_grow(int fd, int force_option, int option, size_t bytes)
{
	int wanted = (int)MIN(bytes, (size_t)1 << 30);
	int granted = buffer_size(fd, option);

	if (granted > 0 && (size_t)granted >= bytes)
		return (size_t)granted;
	if (setsockopt(fd, SOL_SOCKET, force_option, &wanted, sizeof(wanted)) < 0)
		(void)setsockopt(fd, SOL_SOCKET, option, &wanted, sizeof(wanted));
	granted = buffer_size(fd, option);
	return granted > 0 ? (size_t)granted : 0;
}

static int socket_set_up(struct netlink *netlink, size_t receive_bytes)
{
	struct sockaddr_nl address = { .nl_family = AF_NETLINK };
	socklen_t length = sizeof(address);
	int on = 1;

	if (bind(netlink->fd, (struct sockaddr *)&address, sizeof(address)) < 0)
		return -errno;
	if (getsockname(netlink->fd, (struct sockaddr *)&address, &length) < 0)
		return -errno;
	netlink->port_id = address.nl_pid;
	/* Errors without a copy of the request, but with the kernel's sentence. */
	(void)setsockopt(netlink->fd, SOL_NETLINK, NETLINK_CAP_ACK, &on, sizeof(on));
	(void)setsockopt(netlink->fd, SOL_NETLINK, NETLINK_EXT_ACK, &on, sizeof(on));
	if (receive_bytes > 0)
		netlink_grow_receive(netlink, receive_bytes);
	else
		netlink->receive_bytes = (size_t)buffer_size(netlink->fd, SO_RCVBUF);
	return random_bytes(&netlink->sequence, sizeof(netlink->sequence));
}

int netlink_open(struct netlink *ret, size_t receive_bytes)
{
	return netlink_open_protocol(ret, NETLINK_NETFILTER, receive_bytes);
}

int netlink_open_protocol(struct netlink *ret, int protocol, size_t receive_bytes)
{
	struct netlink netlink = NETLINK_INIT;
	int r;

	netlink.fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, protocol);
	if (netlink.fd < 0)
		return -errno;
	r = socket_set_up(&netlink, receive_bytes);
	if (r < 0) {
		netlink_close(&netlink);
		return r;
	}
	*ret = netlink;
	return 0;
}

void netlink_close(struct netlink *netlink)
{
	if (netlink->fd >= 0)
		close(netlink->fd);
	netlink->fd = -1;
}

uint32_t netlink_sequences(struct netlink *netlink, uint32_t n)
{
	uint32_t first = netlink->sequence;

	if (first == 0 || first > UINT32_MAX - n)
		first = 1;
	netlink->sequence = first + n;
	return first;
}

void netlink_grow_receive(struct netlink *netlink, size_t bytes)
{
	netlink->receive_bytes = buffer_grow(netlink->fd, SO_RCVBUFFORCE, SO_RCVBUF, bytes);
}

int netlink_send(struct netlink *netlink, const void *data, size_t length, struct error *err)
{
	struct sockaddr_nl kernel = { .nl_family = AF_NETLINK };
	ssize_t sent;

	if (netlink->send_bytes < length + SEND_SLACK)
		netlink->send_bytes =
			buffer_grow(netlink->fd, SO_SNDBUFFORCE, SO_SNDBUF, length + SEND_SLACK);
	do
		sent = sendto(netlink->fd, data, length, 0, (struct sockaddr *)&kernel,
			      sizeof(kernel));
	while (sent < 0 && errno == EINTR);
	if (sent < 0 && errno == EMSGSIZE)
		return error_set(err, -EMSGSIZE, "too_large", NULL,
				 "a transaction of %zu bytes does not fit a send buffer of %zu: "
				 "raise it with sysctl net.core.wmem_max=%zu",
				 length, netlink->send_bytes, length + SEND_SLACK);
	if (sent < 0)
		return error_set(err, -errno, "kernel", NULL, "cannot send to the kernel: %s",
				 strerror(errno));
	if ((size_t)sent != length)
		return error_set(err, -EIO, "kernel", NULL,
				 "the kernel took %zd of %zu bytes of a transaction", sent, length);
	return 0;
}

static int wait_readable(int fd, uint64_t deadline)
{
	struct pollfd poll_fd = { .fd = fd, .events = POLLIN };
	uint64_t now = clock_monotonic_ms();
	int r;

	r = poll(&poll_fd, 1, deadline > now ? (int)MIN(deadline - now, (uint64_t)60000) : 0);
	if (r < 0)
		return errno == EINTR ? 0 : -errno;
	return r == 0 ? -ETIMEDOUT : 0;
}

int netlink_receive(struct netlink *netlink, void *buffer, size_t size, uint64_t deadline,
		    size_t *ret_length)
{
	for (;;) {
		struct sockaddr_nl sender = { 0 };
		struct iovec iov = { .iov_base = buffer, .iov_len = size };
		struct msghdr header = {
			.msg_name = &sender,
			.msg_namelen = sizeof(sender),
			.msg_iov = &iov,
			.msg_iovlen = 1,
		};
		ssize_t n = recvmsg(netlink->fd, &header, 0);

		if (n < 0 && errno == EAGAIN) {
			int r = wait_readable(netlink->fd, deadline);

			if (r < 0)
				return r;
			continue;
		}
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		if (header.msg_namelen != sizeof(sender) || sender.nl_pid != 0)
			continue; /* any process may write to our port id; only the kernel counts */
		if (header.msg_flags & MSG_TRUNC)
			return -EMSGSIZE;
		*ret_length = (size_t)n;
		return 0;
	}
}

bool netlink_message_ok(const struct nlmsghdr *message, int left)
{
	return mnl_nlmsg_ok(message, left) && message->nlmsg_len <= (uint32_t)left;
}

const char *netlink_error_text(const struct nlmsghdr *message, uint32_t *ret_offset)
{
	const struct nlmsgerr *error = mnl_nlmsg_get_payload(message);
	size_t skip = sizeof(*error);
	const struct nlattr *attr;
	const char *text = NULL;

	*ret_offset = 0;
	if (!(message->nlmsg_flags & NLM_F_ACK_TLVS))
		return NULL;
	if (!(message->nlmsg_flags & NLM_F_CAPPED)) {
		/* The request's payload stands between the error and its attributes. */
		if (error->msg.nlmsg_len < sizeof(error->msg))
			return NULL;
		skip += MNL_ALIGN(error->msg.nlmsg_len) - sizeof(error->msg);
	}
	if (skip > mnl_nlmsg_get_payload_len(message))
		return NULL;
	mnl_attr_for_each(attr, message, skip)
	{
		if (mnl_attr_get_type(attr) == NLMSGERR_ATTR_MSG &&
		    mnl_attr_validate(attr, MNL_TYPE_NUL_STRING) >= 0)
			text = mnl_attr_get_str(attr);
		else if (mnl_attr_get_type(attr) == NLMSGERR_ATTR_OFFS &&
			 mnl_attr_validate(attr, MNL_TYPE_U32) >= 0)
			*ret_offset = mnl_attr_get_u32(attr);
	}
	return text;
}

struct answers {
	uint32_t sequence;
	bool interrupted;
	int (*on_message)(const struct nlmsghdr *message, void *userdata);
	void *userdata;
};

/* 1: more to come, 0: complete, or an error. */
static int take_message(struct answers *answers, const struct nlmsghdr *message)
{
	int r;

	if (message->nlmsg_seq != answers->sequence)
		return 1; /* of an older request that was given up */
	if (message->nlmsg_flags & NLM_F_DUMP_INTR)
		answers->interrupted = true;
	if (message->nlmsg_type == NLMSG_ERROR) {
		const struct nlmsgerr *error = mnl_nlmsg_get_payload(message);

		if (mnl_nlmsg_get_payload_len(message) < sizeof(*error))
			return -EBADMSG;
		return error->error;
	}
	if (message->nlmsg_type == NLMSG_DONE) {
		if (mnl_nlmsg_get_payload_len(message) >= sizeof(int)) {
			r = *(const int *)mnl_nlmsg_get_payload(message);
			if (r < 0)
				return r;
		}
		return answers->interrupted ? -EINTR : 0;
	}
	if (message->nlmsg_type < NLMSG_MIN_TYPE)
		return 1;
	if (answers->on_message) {
		r = answers->on_message(message, answers->userdata);
		if (r < 0)
			return r;
	}
	return 1;
}

static int take_datagram(struct answers *answers, const void *data, size_t length)
{
	const struct nlmsghdr *message = data;
	int left = (int)length;

	while (netlink_message_ok(message, left)) {
		int r = take_message(answers, message);

		if (r <= 0)
			return r;
		message = mnl_nlmsg_next(message, &left);
	}
	return 1;
}

int netlink_request(struct netlink *netlink, struct nlmsghdr *request, uint64_t timeout_ms,
		    int (*on_message)(const struct nlmsghdr *message, void *userdata),
		    void *userdata)
{
	_cleanup_free_ uint8_t *buffer = malloc(NETLINK_DATAGRAM_MAX);
	struct answers answers = { .on_message = on_message, .userdata = userdata };
	uint64_t deadline = clock_monotonic_ms() + timeout_ms;
	int r;

	if (!buffer)
		return -ENOMEM;
	/* A request that is no dump ends with its acknowledgement. */
	if ((request->nlmsg_flags & NLM_F_DUMP) != NLM_F_DUMP)
		request->nlmsg_flags |= NLM_F_ACK;
	answers.sequence = netlink_sequences(netlink, 1);
	request->nlmsg_seq = answers.sequence;
	r = netlink_send(netlink, request, request->nlmsg_len, NULL);
	while (r == 0) {
		size_t length;

		r = netlink_receive(netlink, buffer, NETLINK_DATAGRAM_MAX, deadline, &length);
		if (r < 0)
			return r;
		r = take_datagram(&answers, buffer, length);
		if (r <= 0)
			return r;
		r = 0;
	}
	return r;
}
