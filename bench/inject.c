/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What one small packet costs on its way through a gateway: of a live flow, or the first one of a
 * connection that nobody has seen. Flows are opened as anybody opens them, then bare
 * acknowledgements of theirs are sent through a packet socket on the client's link; first packets
 * are bare SYNs. A veth delivers within the sender's call, so the call's time is the packet's path;
 * all of it stays on one CPU. The host drops them at its link (see lab.py), since its own TCP is
 * not what is measured.
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
#include <time.h>
#include <unistd.h>

#include "bench/bench.h"
#include "bench/traffic.h"
#include "lib/util.h"

/* Short enough that most bursts are not interrupted: the median is of those. */
#define BURST 64
#define LINK "eth0"
#define SOURCE_PORT_MIN 1024
/* Each live connection has a packet so often. */
#define LIVE_INTERVAL_NS (UINT64_C(5) * 1000000000)

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

	segment->ip.check = 0;
	segment->tcp.check = 0;
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

static struct iphdr make_ip(struct in_addr source, struct in_addr destination)
{
	return (struct iphdr){
		.version = 4,
		.ihl = 5,
		.tot_len = htons(sizeof(struct iphdr) + sizeof(struct tcphdr)),
		.frag_off = htons(IP_DF),
		.ttl = 64,
		.protocol = IPPROTO_TCP,
		.saddr = source.s_addr,
		.daddr = destination.s_addr,
	};
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
	ret->ip = make_ip(own.sin_addr, address.sin_addr);
	fill_sequences(fd, &tcp);
	tcp.source = own.sin_port;
	tcp.dest = address.sin_port;
	ret->tcp = tcp;
	fill_sums(ret);
	/* The connection stays open for as long as this process. */
}

/* The link that leads to the next hop, and the neighbour there. */
static int open_link(struct ethhdr *ret)
{
	struct sockaddr_ll link = { .sll_family = AF_PACKET, .sll_protocol = 0 };
	struct arpreq neighbour = { 0 };
	const char *name = getenv("BENCH_LINK"), *gateway = getenv("BENCH_GATEWAY");
	struct sockaddr_in hop = address_argument(gateway ? gateway : "");
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
	struct ethhdr ethernet;
	int fd;

	if (!segments || !samples)
		errx(1, "out of memory");
	pin_to_cpu(0);
	for (size_t i = 0; i < n; i++)
		open_flow(address, (uint16_t)(first + i), &segments[i]);
	fd = open_link(&ethernet);
	for (size_t i = 0; i < n; i++)
		segments[i].ethernet = ethernet;
	for (size_t i = 0; i < bursts; i++)
		samples[i] = time_burst(fd, segments, n, &next);
	(void)printf("%.1f %.1f\n", quantile(samples, bursts, 0.5), quantile(samples, bursts, 0.1));
	return 0;
}

/* The address that the kernel sends from to this one. */
static struct in_addr own_address(const struct sockaddr_in *address)
{
	struct sockaddr_in own = { 0 };
	socklen_t length = sizeof(own);
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	if (fd < 0 || connect(fd, (const struct sockaddr *)address, sizeof(*address)) < 0 ||
	    getsockname(fd, (struct sockaddr *)&own, &length) < 0)
		err(1, "no way to the address");
	close(fd);
	return own.sin_addr;
}

static void sleep_until(uint64_t ns)
{
	const struct timespec until = { .tv_sec = (time_t)(ns / 1000000000),
					.tv_nsec = (long)(ns % 1000000000) };

	while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &until, NULL) == EINTR)
		;
}

/* SYNs from one address to N ports from FIRST on; number i has its own pair of ports. */
struct opening {
	struct segment segment;
	uint16_t first;
	size_t n;
	int fd;
};

static struct opening prepare_opening(char **argv)
{
	struct sockaddr_in address = address_argument(argv[0]);
	struct opening opening = {
		.segment.tcp = { .doff = 5, .syn = 1, .seq = htonl(1), .window = htons(500) },
		.first = (uint16_t)argument(argv[1], "FIRST", 1, 65535),
	};

	opening.n = argument(argv[2], "N", 1, 65536ul - opening.first);
	address.sin_port = htons(opening.first);
	opening.segment.ip = make_ip(own_address(&address), address.sin_addr);
	opening.fd = open_link(&opening.segment.ethernet);
	pin_to_cpu(0);
	return opening;
}

static size_t openings_max(const struct opening *opening)
{
	return opening->n * (65536 - SOURCE_PORT_MIN);
}

static double time_openings(struct opening *opening, size_t begin)
{
	struct segment segments[BURST];
	size_t next = 0;

	for (size_t i = 0; i < BURST; i++) {
		struct segment *segment = &segments[i];

		*segment = opening->segment;
		segment->tcp.source = htons((uint16_t)(SOURCE_PORT_MIN + (begin + i) / opening->n));
		segment->tcp.dest = htons((uint16_t)(opening->first + (begin + i) % opening->n));
		fill_sums(segment);
	}
	return time_burst(opening->fd, segments, BURST, &next);
}

int inject_first(char **argv)
{
	struct opening opening = prepare_opening(argv);
	size_t bursts = argument(argv[3], "BURSTS", 1, openings_max(&opening) / BURST);
	double *samples = calloc(bursts, sizeof(*samples));

	if (!samples)
		errx(1, "out of memory");
	for (size_t i = 0; i < bursts; i++)
		samples[i] = time_openings(&opening, i * BURST);
	(void)printf("%.1f %.1f\n", quantile(samples, bursts, 0.5), quantile(samples, bursts, 0.1));
	return 0;
}

/* As many at the same time as no limit of open files lets sockets be. */
int inject_live(char **argv)
{
	struct opening opening = prepare_opening(argv);
	size_t bursts = argument(argv[3], "BURSTS", 1, openings_max(&opening) / BURST);
	uint64_t seconds = argument(argv[4], "SECONDS", 1, 3600), rounds = 0;
	uint64_t end = now_ns() + seconds * 1000000000, next;

	for (; now_ns() < end; rounds++) {
		next = now_ns() + LIVE_INTERVAL_NS;
		for (size_t i = 0; i < bursts; i++)
			(void)time_openings(&opening, i * BURST);
		if (rounds == 0) {
			(void)puts("live");
			(void)fflush(stdout);
		}
		sleep_until(MIN(next, end));
	}
	return 0;
}
