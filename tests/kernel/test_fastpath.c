/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The fast path, on a kernel that has it: a connection is taken off the slow one, is counted all
 * the same, ends when its mapping is revoked, and the table with the flowtable is adopted as it is.
 * A client and a host are in network namespaces of their own.
 */
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include "gatewayd/fastpath.h"
#include "gatewayd/reconcile.h"
#include "lib/clock.h"
#include "tests/kernel/kernel.h"

#define PUBLIC "203.0.113.10:30001"
#define HOST "10.0.1.2:7001"
#define PATIENCE_MS 20000
#define TRANSFER ((size_t)8 << 20)

static struct event_base *base;
static struct metrics *metrics;
static struct reconciler *reconciler;
static struct address public_address;

/* ---- a client and a host ---- */

struct peer {
	pid_t pid; /* keeps its network namespace */
	int net;   /* of it */
};

static struct peer client, host;
static int own_net;

static struct peer start_peer(void)
{
	struct peer peer;
	char path[64], byte;
	int pipes[2];

	cr_assert_eq(pipe(pipes), 0);
	peer.pid = fork();
	if (peer.pid == 0) {
		(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
		if (unshare(CLONE_NEWNET) == 0)
			(void)!write(pipes[1], "x", 1);
		for (;;)
			(void)pause();
	}
	cr_assert_eq(read(pipes[0], &byte, 1), 1);
	close(pipes[0]);
	close(pipes[1]);
	(void)snprintf(path, sizeof(path), "/proc/%d/ns/net", peer.pid);
	peer.net = open(path, O_RDONLY | O_CLOEXEC);
	cr_assert_geq(peer.net, 0);
	return peer;
}

static void stop_peer(struct peer *peer)
{
	(void)kill(peer->pid, SIGKILL);
	(void)waitpid(peer->pid, NULL, 0);
	close(peer->net);
}

/* do_ip within the peer's namespace. */
static void peer_ip(const struct peer *peer, const char *arguments)
{
	cr_assert_eq(setns(peer->net, CLONE_NEWNET), 0);
	do_ip(arguments);
	cr_assert_eq(setns(own_net, CLONE_NEWNET), 0);
}

static int peer_socket(const struct peer *peer)
{
	int fd;

	cr_assert_eq(setns(peer->net, CLONE_NEWNET), 0);
	fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	cr_assert_eq(setns(own_net, CLONE_NEWNET), 0);
	cr_assert_geq(fd, 0);
	return fd;
}

static void link_peer(const struct peer *peer, const char *name, const char *gateway,
		      const char *address)
{
	char words[128];

	(void)snprintf(words, sizeof(words), "link add %s type veth peer name eth0 netns %d", name,
		       peer->pid);
	do_ip(words);
	(void)snprintf(words, sizeof(words), "address add %s/24 dev %s", gateway, name);
	do_ip(words);
	(void)snprintf(words, sizeof(words), "link set %s up", name);
	do_ip(words);
	(void)snprintf(words, sizeof(words), "address add %s/24 dev eth0", address);
	peer_ip(peer, words);
	peer_ip(peer, "link set eth0 up");
	(void)snprintf(words, sizeof(words), "route add default via %s", gateway);
	peer_ip(peer, words);
}

static void set_host(const char *path, const char *value)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);

	cr_assert_geq(fd, 0, "%s", path);
	cr_assert_eq(write(fd, value, strlen(value)), (ssize_t)strlen(value));
	close(fd);
}

/* ---- the gateway ---- */

static void open_gateway(void)
{
	struct reconciler_config config = {
		.shape = { .map_size = 1000,
			   .fastpath = true,
			   .devices = { .names = { "to-client", "to-host" }, .n = 2 } },
		.addresses = &public_address,
		.n_addresses = 1,
		.audit_ms = 60000,
	};
	struct error err = ERROR_INIT;

	cr_assert_eq(metrics_new(&metrics), 0);
	cr_assert_eq(reconciler_new(&reconciler, base, &config, metrics, &err), 0, "%s",
		     err.message);
}

static void close_gateway(void)
{
	reconciler_free(reconciler);
	metrics_free(metrics);
}

static void open_all(void)
{
	enter_namespace();
	own_net = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
	client = start_peer();
	host = start_peer();
	link_peer(&client, "to-client", "198.51.100.1", "198.51.100.2");
	link_peer(&host, "to-host", "10.0.1.1", "10.0.1.2");
	do_ip("address add 203.0.113.10/32 dev to-client");
	set_host("/proc/sys/net/ipv4/ip_forward", "1");
	set_host("/proc/sys/net/netfilter/nf_conntrack_acct", "1");
	/* What the slow path sees. */
	do_nft("table inet watch { chain c { type filter hook forward priority 0; counter; }; }");
	public_address = endpoint_of(PUBLIC).address;
	base = event_base_new();
	open_gateway();
}

static void close_all(void)
{
	close_gateway();
	event_base_free(base);
	stop_peer(&client);
	stop_peer(&host);
	close(own_net);
}

TestSuite(fastpath, .init = open_all, .fini = close_all, .timeout = 120);

static bool answered;

static void on_done(struct changeset *changeset, void *userdata)
{
	cr_assert_eq(changeset->error.errnum, 0, "%s", changeset->error.message);
	answered = true;
}

static void submit(bool removal)
{
	struct changeset *changeset = NULL;
	struct mapping_key key = key_of(PUBLIC);

	cr_assert_eq(changeset_new(&changeset, 1), 0);
	if (removal)
		change_remove(&changeset->changes[0], &key);
	else
		changeset->changes[0] = (struct change){ .key = key, .target = endpoint_of(HOST) };
	changeset->atomic = true;
	changeset->on_done = on_done;
	answered = false;
	reconciler_submit(reconciler, changeset);
	while (!answered)
		(void)event_base_loop(base, EVLOOP_ONCE);
}

/* ---- a connection ---- */

static int listener, client_fd, host_fd;

static void connect_all(void)
{
	struct endpoint public = endpoint_of(PUBLIC), target = endpoint_of(HOST);
	const struct timeval patience = { .tv_sec = 10 };
	struct sockaddr_storage address;
	socklen_t length;

	submit(false);
	listener = peer_socket(&host);
	length = endpoint_to_sockaddr(&target, &address);
	cr_assert_eq(bind(listener, (struct sockaddr *)&address, length), 0);
	cr_assert_eq(listen(listener, 1), 0);
	client_fd = peer_socket(&client);
	length = endpoint_to_sockaddr(&public, &address);
	cr_assert_eq(connect(client_fd, (struct sockaddr *)&address, length), 0, "%s",
		     strerror(errno));
	host_fd = accept(listener, NULL, NULL);
	cr_assert_geq(host_fd, 0);
	(void)setsockopt(client_fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
	(void)setsockopt(host_fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
}

static void hang_up(void)
{
	close(client_fd);
	close(host_fd);
	close(listener);
}

/* Bytes from the client to the host, in pieces that are answered by one byte each. */
static void transfer(size_t bytes)
{
	static char piece[65536];

	for (size_t done = 0; done < bytes; done += sizeof(piece)) {
		cr_assert_eq(send(client_fd, piece, sizeof(piece), MSG_NOSIGNAL), sizeof(piece));
		cr_assert_eq(recv(host_fd, piece, sizeof(piece), MSG_WAITALL), sizeof(piece));
		cr_assert_eq(send(host_fd, "y", 1, MSG_NOSIGNAL), 1);
		cr_assert_eq(recv(client_fd, piece, 1, 0), 1);
	}
}

/* The connection as conntrack has it; the caller frees it. */
static char *conntrack_line(void)
{
	const char *const argv[] = { "grep", "dport=30001 ", "/proc/net/nf_conntrack", NULL };

	return run(argv);
}

static uint64_t number_behind(const char *text, const char *name)
{
	const char *at = strstr(text, name);

	cr_assert_not_null(at, "%s in %s", name, text);
	return strtoull(at + strlen(name), NULL, 10);
}

static uint64_t slow_bytes(void)
{
	_cleanup_free_ char *listing = nft("list table inet watch");

	return number_behind(listing, " bytes ");
}

/* ---- tests ---- */

Test(fastpath, is_what_this_kernel_has)
{
	struct error err = ERROR_INIT;

	cr_assert_eq(fastpath_probe(&err), 0, "%s", err.message);
}

Test(fastpath, takes_translated_connections_and_counts_them_right)
{
	_cleanup_free_ char *line = NULL;
	uint64_t there, back;

	connect_all();
	transfer(TRANSFER);
	line = conntrack_line();
	cr_assert(strstr(line, "[OFFLOAD]"), "%s", line);
	/* Both ways: what was sent, and headers of less than a tenth. */
	there = number_behind(line, " bytes=");
	back = number_behind(strstr(line, " bytes=") + 1, " bytes=");
	cr_assert(there >= TRANSFER && there < TRANSFER + TRANSFER / 10, "%s", line);
	cr_assert(back >= TRANSFER / 65536 && back < TRANSFER / 10, "%s", line);
	/* Of that the slow path has seen next to nothing. */
	cr_assert_lt(slow_bytes(), TRANSFER / 10);
	hang_up();
}

Test(fastpath, leaves_other_connections_alone)
{
	struct endpoint target = endpoint_of(HOST);
	struct sockaddr_storage address;
	socklen_t length = endpoint_to_sockaddr(&target, &address);
	_cleanup_free_ char *line = NULL;
	const char *const argv[] = { "grep", "dst=10.0.1.2 .*dport=7001 ", "/proc/net/nf_conntrack",
				     NULL };

	connect_all();
	close(client_fd);
	close(host_fd);
	client_fd = peer_socket(&client);
	cr_assert_eq(connect(client_fd, (struct sockaddr *)&address, length), 0);
	host_fd = accept(listener, NULL, NULL);
	transfer(TRANSFER / 8);
	line = run(argv);
	cr_assert_not(strstr(line, "[OFFLOAD]"), "%s", line);
	cr_assert_geq(slow_bytes(), TRANSFER / 8);
	hang_up();
}

Test(fastpath, ends_with_its_mapping)
{
	uint64_t deadline = clock_monotonic_ms() + PATIENCE_MS;
	const struct timeval patience = { .tv_usec = 200000 };
	char byte;

	connect_all();
	transfer(TRANSFER / 8);
	submit(true);
	(void)setsockopt(host_fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
	/* The kernel's collector takes the flow of a deleted entry away within a second or two. */
	while (send(client_fd, "x", 1, MSG_NOSIGNAL) == 1 && recv(host_fd, &byte, 1, 0) == 1) {
		cr_assert_lt(clock_monotonic_ms(), deadline, "the connection goes on");
		(void)event_base_loop(base, EVLOOP_NONBLOCK);
	}
	hang_up();
}

Test(fastpath, is_adopted_without_an_operation_and_its_connections_go_on)
{
	_cleanup_free_ char *before = NULL, *after = NULL, *line = NULL;
	struct reconciler_status status;

	connect_all();
	transfer(TRANSFER / 8);
	do_nft("delete table inet watch"); /* whose counter would differ */
	before = list_ruleset();
	close_gateway();
	open_gateway();
	after = list_ruleset();
	cr_assert_str_eq(after, before);
	reconciler_status(reconciler, &status);
	cr_assert_eq(status.applier.transactions[APPLIER_COMMITTED], 0);
	transfer(TRANSFER / 8);
	line = conntrack_line();
	cr_assert(strstr(line, "[OFFLOAD]"), "%s", line);
	hang_up();
}

Test(fastpath, is_a_flowtable_with_a_rule_behind_the_chains_of_others)
{
	cr_assert(listing_has("\tflowtable fastpath {\n"
			      "\t\thook ingress priority filter\n"
			      "\t\tdevices = { to-client, to-host }\n"
			      "\t\tcounter\n\t}\n"));
	cr_assert(listing_has("\tchain forward {\n"
			      "\t\ttype filter hook forward priority 200; policy accept;\n"
			      "\t\tct mark & 0x01000000 == 0x01000000 flow add @fastpath\n\t}\n"));
	cr_assert(listing_has(
		"\t\tmeta mark & 0x01000000 == 0x01000000 ct status dnat ct mark set ct "
		"mark | 0x01000000 comment \"for the fast path\"\n"));
	expect_listing_loads();
}

Test(fastpath, takes_links_that_come_later)
{
	const struct shape_devices devices = { .names = { "later", "to-client", "to-host" },
					       .n = 3 };
	uint64_t deadline = clock_monotonic_ms() + PATIENCE_MS;
	_cleanup_free_ char *before = list_ruleset(), *after = NULL;

	do_ip("link add later type veth peer name other");
	do_ip("link set later up");
	reconciler_set_devices(reconciler, &devices);
	while (!listing_has("devices = { later, to-client, to-host }")) {
		cr_assert_lt(clock_monotonic_ms(), deadline);
		(void)event_base_loop(base, EVLOOP_ONCE);
	}
	do_ip("link delete later");
	after = list_ruleset(); /* nothing else was made anew */
	cr_assert_str_eq(after, before);
}

Test(fastpath, goes_when_it_is_turned_off)
{
	struct reconciler_config config = {
		.shape = { .map_size = 1000 },
		.addresses = &public_address,
		.n_addresses = 1,
		.audit_ms = 60000,
	};
	struct error err = ERROR_INIT;

	close_gateway();
	cr_assert_eq(metrics_new(&metrics), 0);
	cr_assert_eq(reconciler_new(&reconciler, base, &config, metrics, &err), 0, "%s",
		     err.message);
	cr_assert_not(listing_has("flowtable"));
	cr_assert_not(listing_has("chain forward"));
	cr_assert_not(listing_has("ct mark"));
}
