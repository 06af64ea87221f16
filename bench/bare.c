/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The least that a change can cost: the nftables transaction that adds one element to a map of the
 * table that gatewayd left, sent as prepared bytes and awaited until its receipt. Nothing is
 * decoded, planned, kept or answered, and nobody is told of it. The receipt is the acknowledgement
 * of the transaction's end, which kernels send from 6.10 on.
 */
#include "bench/bare.h"

#include <netinet/in.h> /* before the kernel's own */

#include <libmnl/libmnl.h>
#include <libnftnl/common.h>
#include <libnftnl/set.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>

#include "bench/bench.h"

#define PORT 1000 /* below what the benchmark maps */
#define END_SEQUENCE 3

struct transaction {
	char bytes[1024];
	size_t length;
};

static struct nftnl_set *make_element(const char *map, struct in_addr address)
{
	struct nftnl_set *set = nftnl_set_alloc();
	struct nftnl_set_elem *element = nftnl_set_elem_alloc();
	uint8_t key[12] = { 0 }, data[8] = { 10, 0, 0, 5 };
	const uint16_t port = htons(PORT);

	if (!set || !element)
		errx(1, "out of memory");
	memcpy(key, &address, 4);
	key[4] = IPPROTO_TCP;
	memcpy(key + 8, &port, sizeof(port));
	memcpy(data + 4, &port, sizeof(port));
	if (nftnl_set_set_str(set, NFTNL_SET_TABLE, "portico") < 0 ||
	    nftnl_set_set_str(set, NFTNL_SET_NAME, map) < 0 ||
	    nftnl_set_elem_set(element, NFTNL_SET_ELEM_KEY, key, sizeof(key)) < 0 ||
	    nftnl_set_elem_set(element, NFTNL_SET_ELEM_DATA, data, sizeof(data)) < 0)
		errx(1, "out of memory");
	nftnl_set_elem_add(set, element);
	return set;
}

static void put_mark(struct mnl_nlmsg_batch *batch, uint16_t type, uint32_t sequence)
{
	struct nlmsghdr *header = mnl_nlmsg_put_header(mnl_nlmsg_batch_current(batch));
	struct nfgenmsg *nfgen = mnl_nlmsg_put_extra_header(header, sizeof(*nfgen));

	header->nlmsg_type = type;
	header->nlmsg_flags = NLM_F_REQUEST | (type == NFNL_MSG_BATCH_END ? NLM_F_ACK : 0);
	header->nlmsg_seq = sequence;
	nfgen->version = NFNETLINK_V0;
	nfgen->res_id = htons(NFNL_SUBSYS_NFTABLES);
	mnl_nlmsg_batch_next(batch);
}

static void prepare(struct transaction *ret, struct nftnl_set *set, uint16_t type, uint16_t flags)
{
	struct mnl_nlmsg_batch *batch = mnl_nlmsg_batch_start(ret->bytes, sizeof(ret->bytes) / 2);
	struct nlmsghdr *header;

	put_mark(batch, NFNL_MSG_BATCH_BEGIN, 1);
	header =
		nftnl_nlmsg_build_hdr(mnl_nlmsg_batch_current(batch), type, NFPROTO_INET, flags, 2);
	nftnl_set_elems_nlmsg_build_payload(header, set);
	mnl_nlmsg_batch_next(batch);
	put_mark(batch, NFNL_MSG_BATCH_END, END_SEQUENCE);
	ret->length = mnl_nlmsg_batch_size(batch);
	mnl_nlmsg_batch_stop(batch);
}

static double run(struct mnl_socket *socket, const struct transaction *transaction)
{
	uint64_t begin = now_ns();
	char answer[4096];
	const struct nlmsghdr *header = (const struct nlmsghdr *)answer;
	const struct nlmsgerr *error = mnl_nlmsg_get_payload(header);

	if (mnl_socket_sendto(socket, transaction->bytes, transaction->length) < 0)
		err(1, "netlink");
	if (mnl_socket_recvfrom(socket, answer, sizeof(answer)) < 0)
		err(1, "no receipt, which kernels send from 6.10 on");
	if (header->nlmsg_seq != END_SEQUENCE || error->error != 0)
		errx(1, "the kernel refuses the transaction: %s", strerror(-error->error));
	return (double)(now_ns() - begin) / 1e9;
}

int bare(char **argv)
{
	struct sockaddr_in address = address_argument(argv[1]);
	size_t n = argument(argv[2], "COUNT", 1, 1000000);
	double *samples = calloc(n, sizeof(*samples));
	struct mnl_socket *socket = mnl_socket_open(NETLINK_NETFILTER);
	const struct timeval patience = { .tv_sec = 1 };
	struct nftnl_set *set = make_element(argv[0], address.sin_addr);
	struct transaction add, removal;

	if (!samples || !socket || mnl_socket_bind(socket, 0, MNL_SOCKET_AUTOPID) < 0)
		err(1, "netlink socket");
	if (setsockopt(mnl_socket_get_fd(socket), SOL_SOCKET, SO_RCVTIMEO, &patience,
		       sizeof(patience)) < 0)
		err(1, "SO_RCVTIMEO");
	prepare(&add, set, NFT_MSG_NEWSETELEM, NLM_F_CREATE | NLM_F_EXCL);
	prepare(&removal, set, NFT_MSG_DELSETELEM, 0);
	for (size_t i = 0; i < n; i++) {
		samples[i] = run(socket, &add);
		(void)run(socket, &removal);
	}
	(void)printf("%.9f %.9f\n", quantile(samples, n, 0.5), quantile(samples, n, 0.99));
	nftnl_set_free(set);
	mnl_socket_close(socket);
	free(samples);
	return 0;
}
