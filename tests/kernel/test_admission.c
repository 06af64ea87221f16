/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Who may connect, with the real kernel and a client in a namespace of its own: allow-lists, limits
 * of new connections and of connections, what is counted, and what is read back.
 */
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include "gatewayd/refusals.h"
#include "gatewayd/restrictions.h"
#include "lib/clock.h"
#include "tests/kernel/kernel.h"

#define P4 "203.0.113.10:30001"
#define P6 "[2001:db8:f::10]:30001"
#define HOST4 "10.0.0.5:7001"
#define HOST6 "[2001:db8:5::5]:7001"
#define CLIENT4 "198.51.100.2:0"
#define OTHER4 "198.51.100.130:0"
#define CLIENT6 "[2001:db8:1::2]:0"
#define OTHER6 "[2001:db8:1::8:2]:0"
#define PATIENCE_MS 20000

static struct ledger ledger = LEDGER_INIT;
static struct applier applier;
static struct event_base *base;
static struct refusals *refusals;
static int gateway_ns, client_ns;

static void ip_in_client(const char *arguments)
{
	cr_assert_eq(setns(client_ns, CLONE_NEWNET), 0);
	do_ip(arguments);
	cr_assert_eq(setns(gateway_ns, CLONE_NEWNET), 0);
}

/* A client behind a link, with two addresses of each family; the hosts are the gateway itself. */
static void make_network(void)
{
	char command[128];

	gateway_ns = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
	cr_assert_eq(unshare(CLONE_NEWNET), 0);
	client_ns = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
	cr_assert_eq(setns(gateway_ns, CLONE_NEWNET), 0);
	(void)snprintf(command, sizeof(command),
		       "link add to-client type veth peer name eth0 netns /proc/%d/fd/%d", getpid(),
		       client_ns);
	do_ip(command);
	do_ip("address add 198.51.100.1/24 dev to-client");
	do_ip("address add 2001:db8:1::1/64 dev to-client nodad");
	do_ip("link set to-client up");
	do_ip("address add 203.0.113.10/32 dev lo");
	do_ip("address add 2001:db8:f::10/128 dev lo nodad");
	do_ip("address add 10.0.0.5/32 dev lo");
	do_ip("address add 2001:db8:5::5/128 dev lo nodad");
	ip_in_client("address add 198.51.100.2/24 dev eth0");
	ip_in_client("address add 198.51.100.130/24 dev eth0");
	ip_in_client("address add 2001:db8:1::2/64 dev eth0 nodad");
	ip_in_client("address add 2001:db8:1::8:2/64 dev eth0 nodad");
	ip_in_client("link set eth0 up");
	ip_in_client("route add default via 198.51.100.1");
	ip_in_client("-6 route add default via 2001:db8:1::1");
}

static void open_all(void)
{
	enter_namespace();
	make_network();
	open_applier(&applier, &ledger, false);
	base = event_base_new();
	cr_assert_eq(refusals_new(&refusals, base, &applier.shape, &ledger), 0);
}

static void close_all(void)
{
	refusals_free(refusals);
	event_base_free(base);
	applier_close(&applier);
	ledger_clear(&ledger);
}

TestSuite(admission, .init = open_all, .fini = close_all, .timeout = 60);

/* ---- wishes ---- */

static struct prefix prefix_of(const char *text)
{
	struct prefix prefix;

	cr_assert_eq(prefix_parse(text, &prefix), 0, "%s", text);
	return prefix;
}

static void allow_only(const char *key, const char *host, const char *text)
{
	struct prefix prefix = prefix_of(text);
	const struct policy policy = { .allow = &prefix, .n_allow = 1 };

	desire_with(&ledger, key, host, &policy);
}

static void want_all_limits(void)
{
	struct prefix four[] = { prefix_of("198.51.100.2/32"), prefix_of("203.0.113.0/24") };
	struct prefix six = prefix_of("2001:db8:1::/112");
	const struct policy policy4 = { .allow = four,
					.n_allow = ARRAY_SIZE(four),
					.max_connections = 3,
					.new_connections_per_minute = 100,
					.expires_at = clock_unix_seconds() + 3600 };
	const struct policy policy6 = {
		.allow = &six, .n_allow = 1, .max_connections = 4, .new_connections_per_minute = 200
	};

	desire_with(&ledger, P4, HOST4, &policy4);
	desire_with(&ledger, P6, HOST6, &policy6);
}

/* ---- connections ---- */

static int make_socket(const char *address, int type)
{
	struct endpoint endpoint = endpoint_of(address);
	struct sockaddr_storage storage;
	socklen_t length = endpoint_to_sockaddr(&endpoint, &storage);
	int fd = socket(storage.ss_family, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	const int on = 1;

	(void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	cr_assert_eq(bind(fd, (struct sockaddr *)&storage, length), 0, "%s: %s", address,
		     strerror(errno));
	return fd;
}

static int listen_on(const char *host)
{
	int fd = make_socket(host, SOCK_STREAM);

	cr_assert_eq(listen(fd, 128), 0);
	return fd;
}

/* "198.51.100.2:0" without the port, which endpoint_parse does not take. */
static int client_socket(const char *source, int type)
{
	char text[ENDPOINT_STRING_MAX];
	static unsigned port = 40000;
	int fd;

	(void)snprintf(text, sizeof(text), "%.*s:%u", (int)(strrchr(source, ':') - source), source,
		       port++);
	cr_assert_eq(setns(client_ns, CLONE_NEWNET), 0);
	fd = make_socket(text, type);
	cr_assert_eq(setns(gateway_ns, CLONE_NEWNET), 0);
	return fd;
}

static void start_connecting(int fd, const char *where)
{
	struct endpoint endpoint = endpoint_of(where);
	struct sockaddr_storage storage;
	socklen_t length = endpoint_to_sockaddr(&endpoint, &storage);

	cr_assert(connect(fd, (struct sockaddr *)&storage, length) == 0 || errno == EINPROGRESS,
		  "%s: %s", where, strerror(errno));
}

static uint64_t refused(enum shape_counter counter)
{
	refusals_read(refusals);
	return refusals_total(refusals, counter);
}

static bool is_open(int fd)
{
	struct pollfd poll_fd = { .fd = fd, .events = POLLOUT };

	return poll(&poll_fd, 1, 10) == 1 && (poll_fd.revents & (POLLOUT | POLLERR)) == POLLOUT;
}

/* A connection from source, -1 where the counter says that it was refused. */
static int try_connect(const char *source, const char *where, enum shape_counter counter)
{
	uint64_t before = refused(counter), deadline = clock_monotonic_ms() + PATIENCE_MS;
	int fd = client_socket(source, SOCK_STREAM);

	start_connecting(fd, where);
	while (clock_monotonic_ms() < deadline) {
		if (is_open(fd))
			return fd;
		if (refused(counter) > before) {
			close(fd);
			return -1;
		}
	}
	cr_assert_fail("from %s to %s: neither open nor refused", source, where);
	return -1;
}

static void expect_open(const char *source, const char *where, enum shape_counter counter)
{
	int fd = try_connect(source, where, counter);

	cr_assert_geq(fd, 0, "refused from %s to %s", source, where);
	close(fd);
}

static void expect_refused(const char *source, const char *where, enum shape_counter counter)
{
	cr_assert_lt(try_connect(source, where, counter), 0, "open from %s to %s", source, where);
}

/* ---- allow-lists ---- */

Test(admission, an_allow_list_lets_in_its_prefixes_of_both_families_and_no_others)
{
	int four = listen_on(HOST4), six = listen_on(HOST6);

	allow_only(P4, HOST4, "198.51.100.0/25");
	allow_only(P6, HOST6, "2001:db8:1::/112");
	desire(&ledger, "203.0.113.10:30002", HOST4, NULL);
	apply_all(&applier);
	expect_open(CLIENT4, P4, SHAPE_REFUSED_ALLOW);
	expect_refused(OTHER4, P4, SHAPE_REFUSED_ALLOW);
	expect_open(CLIENT6, P6, SHAPE_REFUSED_ALLOW);
	expect_refused(OTHER6, P6, SHAPE_REFUSED_ALLOW);
	expect_open(OTHER4, "203.0.113.10:30002", SHAPE_REFUSED_ALLOW); /* not guarded */
	close(four);
	close(six);
}

Test(admission, an_allow_list_changes_and_goes)
{
	int listener = listen_on(HOST4);

	allow_only(P4, HOST4, "198.51.100.2/32");
	apply_all(&applier);
	expect_refused(OTHER4, P4, SHAPE_REFUSED_ALLOW);
	allow_only(P4, HOST4, "198.51.100.128/25");
	apply_all(&applier);
	expect_open(OTHER4, P4, SHAPE_REFUSED_ALLOW);
	expect_refused(CLIENT4, P4, SHAPE_REFUSED_ALLOW);
	desire(&ledger, P4, HOST4, NULL);
	apply_all(&applier);
	expect_open(CLIENT4, P4, SHAPE_REFUSED_ALLOW);
	close(listener);
}

/* A connection that is open pays nothing and loses nothing. */
Test(admission, an_open_connection_goes_on_where_its_source_is_no_longer_allowed)
{
	int listener = listen_on(HOST4), client, server;
	struct pollfd poll_fd = { .events = POLLIN };
	char byte = 'x';

	desire(&ledger, P4, HOST4, NULL);
	apply_all(&applier);
	client = try_connect(CLIENT4, P4, SHAPE_REFUSED_ALLOW);
	cr_assert_geq(client, 0);
	server = accept(listener, NULL, NULL);
	cr_assert_geq(server, 0);
	allow_only(P4, HOST4, "192.0.2.0/24");
	apply_all(&applier);
	cr_assert_eq(send(client, &byte, 1, MSG_NOSIGNAL), 1);
	poll_fd.fd = server;
	cr_assert_eq(poll(&poll_fd, 1, PATIENCE_MS), 1);
	cr_assert_eq(recv(server, &byte, 1, 0), 1);
	expect_refused(CLIENT4, P4, SHAPE_REFUSED_ALLOW);
	close(client);
	close(server);
	close(listener);
}

/* ---- limits ---- */

static void want_limits(const char *key, const char *host, uint32_t rate, uint32_t connections)
{
	const struct policy policy = { .new_connections_per_minute = rate,
				       .max_connections = connections };

	desire_with(&ledger, key, host, &policy);
	apply_all(&applier);
}

static void try_rate(const char *source, const char *port, const char *host)
{
	int listener = listen_on(host), fd, n = 0;
	uint64_t deadline;

	want_limits(port, host, 60, 0); /* 60 at once, then one a second */
	do {
		fd = try_connect(source, port, SHAPE_REFUSED_RATE);
		if (fd >= 0)
			close(fd);
		close(accept(listener, NULL, NULL));
	} while (fd >= 0 && ++n < 200);
	cr_assert_lt(fd, 0, "no limit");
	cr_assert_geq(n, 60, "only %d", n);

	deadline = clock_monotonic_ms() + PATIENCE_MS;
	do
		fd = try_connect(source, port, SHAPE_REFUSED_RATE);
	while (fd < 0 && clock_monotonic_ms() < deadline);
	cr_assert_geq(fd, 0, "it never recovers");
	close(fd);
	close(listener);
}

Test(admission, new_connections_over_the_rate_are_refused_until_time_has_passed)
{
	try_rate(CLIENT4, P4, HOST4);
}

Test(admission, the_rate_of_an_ipv6_port_is_limited_the_same)
{
	try_rate(CLIENT6, P6, HOST6);
}

static void try_connections(const char *source, const char *other, const char *port,
			    const char *host)
{
	int listener = listen_on(host), first, second;
	uint64_t deadline = clock_monotonic_ms() + PATIENCE_MS;
	int fd;

	want_limits(port, host, 0, 2);
	first = try_connect(source, port, SHAPE_REFUSED_CONNECTIONS);
	second = try_connect(other, port, SHAPE_REFUSED_CONNECTIONS);
	cr_assert(first >= 0 && second >= 0);
	expect_refused(source, port, SHAPE_REFUSED_CONNECTIONS);
	close(accept(listener, NULL, NULL));
	close(first);
	do
		fd = try_connect(source, port, SHAPE_REFUSED_CONNECTIONS);
	while (fd < 0 && clock_monotonic_ms() < deadline);
	cr_assert_geq(fd, 0, "a connection that has ended counts on");
	close(fd);
	close(second);
	close(listener);
}

Test(admission, connections_over_the_limit_are_refused_until_one_ends)
{
	try_connections(CLIENT4, OTHER4, P4, HOST4);
}

Test(admission, connections_to_an_ipv6_port_are_limited_the_same)
{
	try_connections(CLIENT6, OTHER6, P6, HOST6);
}

/* The kernel looks through such sets every second and takes away what only packets had put there.
 */
Test(admission, a_limit_stays_while_nobody_connects)
{
	uint64_t deadline = clock_monotonic_ms() + PATIENCE_MS;
	bool swept = false;

	want_limits(P4, HOST4, 0, 2);
	do_nft("table inet canary { set s { type inet_service; flags dynamic; size 9; ct count over "
	       "1; elements = { 9 ct count over 1 }; }; }");
	while (!swept && clock_monotonic_ms() < deadline) {
		_cleanup_free_ char *listing = nft("list set inet canary s");

		swept = !strstr(listing, "elements");
		(void)usleep(50000);
	}
	cr_assert(swept);
	cr_assert(listing_has("30001 ct count over 2 counter"));
}

static void say(const char *source, const char *where)
{
	int fd = client_socket(source, SOCK_DGRAM);

	start_connecting(fd, where);
	cr_assert_eq(send(fd, "x", 1, 0), 1);
	close(fd);
}

/* Each flow is counted by its first packet. */
Test(admission, udp_flows_are_limited_like_connections)
{
	struct mapping_key key = key_of(P4);
	struct endpoint target = endpoint_of(HOST4);
	const struct policy policy = { .new_connections_per_minute = 2 };
	int host = make_socket(HOST4, SOCK_DGRAM);
	uint64_t deadline = clock_monotonic_ms() + PATIENCE_MS;
	char byte;

	key.protocol = PROTOCOL_UDP;
	cr_assert_eq(ledger_desire(&ledger, &key, &target, NULL, &policy, 1, NULL), 0);
	apply_all(&applier);
	for (int i = 0; i < 3; i++)
		say(CLIENT4, P4);
	while (refused(SHAPE_REFUSED_RATE) == 0 && clock_monotonic_ms() < deadline)
		(void)usleep(10000);
	cr_assert_eq(refused(SHAPE_REFUSED_RATE), 1);
	cr_assert_eq(recv(host, &byte, 1, 0), 1);
	cr_assert_eq(recv(host, &byte, 1, 0), 1);
	cr_assert_lt(recv(host, &byte, 1, 0), 0);
	close(host);
}

/* Connections of the gateway itself pass the output hook. */
Test(admission, the_gateway_itself_is_limited_as_well)
{
	int listener = listen_on(HOST4);
	uint64_t deadline = clock_monotonic_ms() + PATIENCE_MS;
	int fd = make_socket("198.51.100.1:40000", SOCK_STREAM);

	allow_only(P4, HOST4, "192.0.2.0/24");
	apply_all(&applier);
	start_connecting(fd, P4);
	while (refused(SHAPE_REFUSED_ALLOW) == 0 && clock_monotonic_ms() < deadline)
		(void)usleep(10000);
	cr_assert_gt(refused(SHAPE_REFUSED_ALLOW), 0);
	cr_assert_not(is_open(fd));
	close(fd);
	close(listener);
}

/* ---- counting ---- */

Test(admission, refusals_are_counted_by_mapping_and_survive_changes)
{
	struct mapping_key limited = key_of(P4), other = key_of("203.0.113.10:30002");
	int listener = listen_on(HOST4);

	want_limits(P4, HOST4, 1, 0);
	want_limits("203.0.113.10:30002", HOST4, 1, 0);
	expect_open(CLIENT4, P4, SHAPE_REFUSED_RATE);
	expect_refused(CLIENT4, P4, SHAPE_REFUSED_RATE);
	for (int set = 0; set < SHAPE_SET_MAX; set++)
		refusals_read(refusals);
	cr_assert_geq(restrictions_refused(&ledger.members, &limited), 1);
	cr_assert_eq(restrictions_refused(&ledger.members, &other), 0);

	/* Another target, another limit, another chain: what was counted stays. */
	desire_with(&ledger, P4, "10.0.0.5:7002",
		    &(struct policy){ .new_connections_per_minute = 2, .max_connections = 9 });
	cr_assert(apply_all(&applier).restructured);
	for (int set = 0; set < SHAPE_SET_MAX; set++)
		refusals_read(refusals);
	cr_assert_geq(restrictions_refused(&ledger.members, &limited), 1);
	cr_assert(listing_has("limit rate over 2/minute burst 2 packets counter packets "));
	cr_assert_not(listing_has("limit rate over 2/minute burst 2 packets counter packets 0 "));
	cr_assert_geq(refused(SHAPE_REFUSED_RATE), 1);
	close(listener);
}

Test(admission, totals_go_on_where_the_table_is_made_anew)
{
	int listener = listen_on(HOST4);
	uint64_t before;

	want_limits(P4, HOST4, 1, 0);
	expect_open(CLIENT4, P4, SHAPE_REFUSED_RATE);
	expect_refused(CLIENT4, P4, SHAPE_REFUSED_RATE);
	before = refused(SHAPE_REFUSED_RATE);
	do_nft("delete table inet portico");
	applier_doubt(&applier, RESYNC_FOREIGN);
	apply_all(&applier);
	cr_assert_eq(refused(SHAPE_REFUSED_RATE), before);
	expect_open(CLIENT4, P4, SHAPE_REFUSED_RATE);
	expect_refused(CLIENT4, P4, SHAPE_REFUSED_RATE);
	cr_assert_gt(refused(SHAPE_REFUSED_RATE), before);
	close(listener);
}

/* ---- the table ---- */

Test(admission, nothing_is_there_that_nobody_uses)
{
	desire(&ledger, P4, HOST4, NULL);
	apply_all(&applier);
	cr_assert_not(listing_has("admission"));
	cr_assert_not(listing_has("counter"));
	want_limits(P4, HOST4, 5, 0);
	cr_assert(listing_has("jump admission"));
	cr_assert(listing_has("counter refused_rate"));
	cr_assert_not(listing_has("refused_allow"));
	cr_assert_not(listing_has("rate6"));
	cr_assert_not(listing_has("allow4"));
	desire(&ledger, P4, HOST4, NULL);
	applier_doubt(&applier, RESYNC_AUDIT);
	apply_all(&applier);
	cr_assert_not(listing_has("admission"));
	cr_assert_not(listing_has("counter"));
	cr_assert(listing_has("30001 : 10.0.0.5 . 7001"));
}

/* As a daemon that starts again does; what it adopts. */
static void start_again(void)
{
	struct error err = ERROR_INIT;

	applier_close(&applier);
	ledger_clear(&ledger);
	open_applier(&applier, &ledger, false);
	cr_assert_eq(applier_read(&applier, adopt_all, NULL, &err), 0, "%s", err.message);
}

static const struct policy *policy_of(const char *key)
{
	struct mapping_key k = key_of(key);
	const struct entry *entry = ledger_find(&ledger, &k);

	cr_assert_not_null(entry);
	return entry_policy(entry);
}

Test(admission, everything_at_once_is_adopted_without_an_operation)
{
	struct apply_result result;
	size_t members;

	want_all_limits();
	apply_all(&applier);
	expect_listing_loads();
	members = HASH_COUNT(ledger.members.all);
	start_again();
	cr_assert_eq(HASH_COUNT(ledger.members.all), members);
	cr_assert_eq(policy_of(P4)->n_allow, 2);
	cr_assert_eq(policy_of(P4)->allow[0].length, 32);
	cr_assert_eq(policy_of(P4)->max_connections, 3);
	cr_assert_eq(policy_of(P4)->new_connections_per_minute, 100);
	cr_assert_gt(policy_of(P4)->expires_at, clock_unix_seconds());
	cr_assert_eq(policy_of(P6)->n_allow, 1);
	cr_assert_eq(policy_of(P6)->allow[0].length, 112);
	result = apply_all(&applier);
	cr_assert_eq(result.n_changes, 0);
	cr_assert_not(result.restructured);
	want_all_limits(); /* the same wish is no difference either */
	result = apply_all(&applier);
	cr_assert_eq(result.n_changes, 0);
	cr_assert_eq(applier.stats.transactions[APPLIER_COMMITTED], 0);
}

/* What another may do, how many changes put it right, and that it is then as it was. */
static const char *const damages[] = {
	"delete element inet portico rate4 { 203.0.113.10 . tcp . 30001 }",
	"delete element inet portico connections6 { 2001:db8:f::10 . tcp . 30001 }",
	"delete element inet portico guarded4 { 203.0.113.10 . tcp . 30001 }",
	"delete element inet portico allow4 { 203.0.113.10 . tcp . 30001 . 198.51.100.2 }",
	"add element inet portico allow4 { 203.0.113.10 . tcp . 30001 . 0.0.0.0/0 }",
	"add element inet portico allow6 { 2001:db8:f::10 . tcp . 30001 . 2001:db8::1-2001:db8::5 }",
	"delete element inet portico rate4 { 203.0.113.10 . tcp . 30001 }; add element inet portico "
	"rate4 { 203.0.113.10 . tcp . 30001 limit rate over 1000/minute burst 100 packets counter }",
	"delete element inet portico rate4 { 203.0.113.10 . tcp . 30001 }; add element inet portico "
	"rate4 { 203.0.113.10 . tcp . 30001 }",
};

Test(admission, limits_are_restored_with_one_change_each)
{
	want_all_limits();
	desire_with(&ledger, P4, HOST4,
		    &(struct policy){ .allow = (struct prefix[]){ prefix_of("198.51.100.2/32"),
								  prefix_of("203.0.113.0/24") },
				      .n_allow = 2,
				      .max_connections = 3,
				      .new_connections_per_minute = 100 });
	apply_all(&applier);
	for (size_t i = 0; i < ARRAY_SIZE(damages); i++) {
		do_nft(damages[i]);
		applier_doubt(&applier, RESYNC_AUDIT);
		cr_assert_eq(apply_all(&applier).n_changes, 1, "%s", damages[i]);
		applier_doubt(&applier, RESYNC_AUDIT);
		cr_assert_eq(apply_all(&applier).n_changes, 0, "%s", damages[i]);
	}
	cr_assert(listing_has("limit rate over 100/minute burst 100 packets counter"));
}

Test(admission, a_port_whose_allow_list_is_gone_is_closed_and_not_opened_to_all)
{
	allow_only(P4, HOST4, "198.51.100.2/32");
	desire(&ledger, "203.0.113.10:30002", HOST4, NULL);
	apply_all(&applier);
	do_nft("flush set inet portico allow4");
	start_again();
	apply_all(&applier);
	cr_assert_not(listing_has("30001"));
	cr_assert(listing_has("30002"));
}
