/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What one small packet of a live flow costs on its way through a gateway: connections are opened
 * as anybody opens them, then bare acknowledgements of theirs are sent through a packet socket on
 * the client's link. A veth delivers within the sender's call, so the call's time is the packet's
 * path; all of it stays on one CPU. The host drops them at its link (see bench/gateway), since its
 * own TCP is not what is measured.
 */
#include <errno.h>
#include <linux/if_packet.h>
#include <net/ethernet.h>
#include <net/if.h>
#include <net/if_arp.h>
#include <netinet/ip.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "bench/bench.h"
#include "bench/traffic.h"

/* Short enough that most bursts are not interrupted: the median is of those. */
#define BURST 64
#define LINK "eth0"

struct segment {
	struct ethhdr ethernet;
	struct iphdr ip;
	struct tcphdr tcp;
} __attribute__((packed));

static uint16_t fold(uint32_t sum)
{
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	return (uint16_t)~sum;
}

static uint32_t add_words(const void *data, size_t length, uint32_t sum)
{
	const uint8_t *bytes = data;

	for (size_t i = 0; i < length; i += 2)
		sum += (uint32_t)(bytes[i] << 8 | bytes[i + 1]);
	return sum;
}

static void fill_sums(struct segment *segment)
{
	uint32_t pseudo = add_words(&segment->ip.saddr, 8, IPPROTO_TCP + sizeof(segment->tcp));

	segment->ip.check = htons(fold(add_words(&segment->ip, sizeof(segment->ip), 0)));
	segment->tcp.check = htons(fold(add_words(&segment->tcp, sizeof(segment->tcp), pseudo)));
}

/* The next sequence number of one direction; TCP tells it in repair mode only. */
static uint32_t queue_sequence(int fd, int queue)
{
	uint32_t sequence = 0;
	socklen_t length = sizeof(sequence);

	if (setsockopt(fd, IPPROTO_TCP, TCP_REPAIR_QUEUE, &queue, sizeof(queue)) < 0 ||
	    getsockopt(fd, IPPROTO_TCP, TCP_QUEUE_SEQ, &sequence, &length) < 0)
		err(1, "TCP_QUEUE_SEQ");
	return sequence;
}

static void fill_sequences(int fd, struct tcphdr *tcp)
{
	int on = TCP_REPAIR_ON, off = TCP_REPAIR_OFF_NO_WP;

	if (setsockopt(fd, IPPROTO_TCP, TCP_REPAIR, &on, sizeof(on)) < 0)
		err(1, "TCP_REPAIR");
	tcp->seq = htonl(queue_sequence(fd, TCP_SEND_QUEUE));
	tcp->ack_seq = htonl(queue_sequence(fd, TCP_RECV_QUEUE));
	if (setsockopt(fd, IPPROTO_TCP, TCP_REPAIR, &off, sizeof(off)) < 0)
		err(1, "TCP_REPAIR");
}

static void open_flow(struct sockaddr_in address, uint16_t port, struct segment *ret)
{
	struct tcphdr tcp = { .doff = 5, .ack = 1, .window = htons(500) };
	struct sockaddr_in own;
	socklen_t length = sizeof(own);
	int fd = tcp_socket(0);
	char greeting[2];

	address.sin_port = htons(port);
	if (connect(fd, (struct sockaddr *)&address, sizeof(address)) < 0 ||
	    recv(fd, greeting, sizeof(greeting), MSG_WAITALL) != sizeof(greeting) ||
	    getsockname(fd, (struct sockaddr *)&own, &length) < 0)
		err(1, "cannot open a flow to port %u", port);
	ret->ip = (struct iphdr){
		.version = 4,
		.ihl = 5,
		.tot_len = htons(sizeof(ret->ip) + sizeof(ret->tcp)),
		.frag_off = htons(IP_DF),
		.ttl = 64,
		.protocol = IPPROTO_TCP,
		.saddr = own.sin_addr.s_addr,
		.daddr = address.sin_addr.s_addr,
	};
	fill_sequences(fd, &tcp);
	tcp.source = own.sin_port;
	tcp.dest = address.sin_port;
	ret->tcp = tcp;
	fill_sums(ret);
	/* The connection stays open for as long as this process. */
}

/* The link that leads to an address, and the neighbour there. */
static int open_link(const struct sockaddr_in *address, const char *gateway, struct ethhdr *ret)
{
	struct sockaddr_ll link = { .sll_family = AF_PACKET, .sll_protocol = 0 };
	struct arpreq neighbour = { 0 };
	struct sockaddr_in hop = address_argument(gateway);
	const char *name = getenv("BENCH_LINK");
	struct ifreq request = { 0 };
	int fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0), on = 1;

	(void)snprintf(request.ifr_name, sizeof(request.ifr_name), "%s", name ? name : LINK);
	if (fd < 0 || ioctl(fd, SIOCGIFHWADDR, &request) < 0)
		err(1, "%s", request.ifr_name);
	memcpy(ret->h_source, request.ifr_hwaddr.sa_data, ETH_ALEN);
	memcpy(&neighbour.arp_pa, &hop, sizeof(hop));
	(void)snprintf(neighbour.arp_dev, sizeof(neighbour.arp_dev), "%s", request.ifr_name);
	if (ioctl(tcp_socket(0), SIOCGARP, &neighbour) < 0)
		err(1, "neighbour %s", gateway);
	memcpy(ret->h_dest, neighbour.arp_ha.sa_data, ETH_ALEN);
	ret->h_proto = htons(ETH_P_IP);
	link.sll_ifindex = (int)if_nametoindex(request.ifr_name);
	if (setsockopt(fd, SOL_PACKET, PACKET_QDISC_BYPASS, &on, sizeof(on)) < 0 ||
	    bind(fd, (struct sockaddr *)&link, sizeof(link)) < 0)
		err(1, "packet socket");
	return fd;
}

static double time_burst(int fd, const struct segment *segments, size_t n, size_t *next)
{
	uint64_t begin = now_ns();

	for (int i = 0; i < BURST; i++) {
		if (send(fd, &segments[*next], sizeof(*segments), 0) < 0 && errno != ENOBUFS)
			err(1, "send");
		*next = (*next + 1) % n;
	}
	return (double)(now_ns() - begin) / BURST;
}

int inject(char **argv)
{
	struct sockaddr_in address = address_argument(argv[0]);
	uint16_t first = (uint16_t)argument(argv[1], "FIRST", 1, 65535);
	size_t n = argument(argv[2], "N", 1, 65536ul - first);
	size_t bursts = argument(argv[3], "BURSTS", 1, 1000000), next = 0;
	struct segment *segments = calloc(n, sizeof(*segments));
	double *samples = calloc(bursts, sizeof(*samples));
	const char *gateway = getenv("BENCH_GATEWAY");
	struct ethhdr ethernet;
	int fd;

	if (!segments || !samples || !gateway)
		errx(1, "out of memory, or BENCH_GATEWAY does not name the next hop");
	pin_to_cpu(0);
	for (size_t i = 0; i < n; i++)
		open_flow(address, (uint16_t)(first + i), &segments[i]);
	fd = open_link(&address, gateway, &ethernet);
	for (size_t i = 0; i < n; i++)
		segments[i].ethernet = ethernet;
	for (size_t i = 0; i < bursts; i++)
		samples[i] = time_burst(fd, segments, n, &next);
	(void)printf("%.1f %.1f\n", quantile(samples, bursts, 0.5), quantile(samples, bursts, 0.1));
	return 0;
}
