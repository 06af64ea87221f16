/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What becomes of open connections, with the real kernel: of mappings that are revoked, drain, lead
 * elsewhere, end by themselves or stay, also over restarts.
 */
#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>
#include <sys/socket.h>

#include "lib/clock.h"
#include "tests/kernel/kernel.h"
#include "tests/kernel/reconciler.h"

TestSuite(connections, .init = begin_reconciler, .fini = end_reconciler, .timeout = 60);

static int listen_on(const char *where)
{
	struct endpoint endpoint = endpoint_of(where);
	struct sockaddr_storage address;
	socklen_t length = endpoint_to_sockaddr(&endpoint, &address);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	cr_assert_eq(bind(fd, (struct sockaddr *)&address, length), 0);
	cr_assert_eq(listen(fd, 8), 0);
	return fd;
}

static int try_connect(uint16_t port)
{
	struct endpoint endpoint = { .address = public_address, .port = port };
	struct sockaddr_storage address;
	socklen_t length = endpoint_to_sockaddr(&endpoint, &address);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (connect(fd, (struct sockaddr *)&address, length) == 0)
		return fd;
	close(fd);
	return -1;
}

static int connect_to(uint16_t port)
{
	int fd = try_connect(port);

	cr_assert_geq(fd, 0, "port %u: %s", port, strerror(errno));
	return fd;
}

/* Whether bytes still go from client to server. */
static bool alive(int client, int server)
{
	const struct timeval patience = { .tv_usec = 300000 };
	char byte = 'x';

	(void)setsockopt(server, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
	return send(client, &byte, 1, MSG_NOSIGNAL) == 1 && recv(server, &byte, 1, 0) == 1;
}

struct pair {
	int listener, client, server;
};

/* A connection through port 30001 to HOST_A. */
static struct pair open_connection(bool drain)
{
	struct pair pair = { .listener = listen_on(HOST_A) };

	put_one(30001, HOST_A, drain);
	pair.client = connect_to(30001);
	pair.server = accept(pair.listener, NULL, NULL);
	cr_assert_geq(pair.server, 0);
	cr_assert(alive(pair.client, pair.server));
	return pair;
}

static void close_pair(struct pair *pair)
{
	close(pair->client);
	close(pair->server);
	close(pair->listener);
}

Test(connections, revoke_ends_connections)
{
	struct pair pair = open_connection(false);

	remove_one(30001);
	cr_assert_not(alive(pair.client, pair.server));
	cr_assert_lt(try_connect(30001), 0);
	close_pair(&pair);
}

Test(connections, end_that_begin_right_before_their_mapping_goes)
{
	struct pair pair = open_connection(false);

	for (unsigned i = 0; i < 50; i++) {
		int client = connect_to(30001), server;

		answer_removal(30001);
		server = accept(pair.listener, NULL, NULL);
		turn_until_looked_through();
		cr_assert_not(alive(client, server), "round %u", i);
		close(client);
		close(server);
		answer_put(30001, HOST_A, false);
	}
	close_pair(&pair);
}

/* As a packet does that was on its way through the kernel during the commit. */
Test(connections, end_that_are_entered_after_the_first_look)
{
	const char *const list[] = { "conntrack", "-L", "-p", "tcp", NULL };
	const char *const enter[] = {
		"conntrack", "-I",          "-p",   "tcp",           "-t",   "60",      "-s",
		"10.0.0.6",  "-d",          PUBLIC, "--sport",       "1234", "--dport", "30001",
		"--state",   "ESTABLISHED", "-g",   "10.0.0.5:7001", NULL
	};
	uint64_t deadline = clock_monotonic_ms() + PATIENCE_MS;
	bool there = true;

	put_one(30001, HOST_A, false);
	remove_one(30001);
	free(run(enter));
	while (there && clock_monotonic_ms() < deadline) {
		_cleanup_free_ char *text = NULL;

		(void)event_base_loop(base, EVLOOP_ONCE);
		text = run(list);
		there = strstr(text, "sport=1234") != NULL;
	}
	cr_assert_not(there, "it lives on");
}

/* The listing that a removal asked for may show them. */
Test(connections, of_a_mapping_that_is_back_at_once_go_on)
{
	struct pair pair = open_connection(false);

	for (unsigned i = 0; i < 100; i++) {
		int client, server;

		answer_removal(30001);
		answer_put(30001, HOST_A, false);
		client = connect_to(30001);
		server = accept(pair.listener, NULL, NULL);
		turn_until_looked_through();
		cr_assert(alive(client, server), "round %u", i);
		close(client);
		close(server);
	}
	close_pair(&pair);
}

Test(connections, that_drain_are_no_stale_ones_of_an_earlier_life)
{
	struct pair pair = open_connection(false);
	int client, server;

	answer_removal(30001);
	answer_put(30001, HOST_A, true);
	client = connect_to(30001);
	server = accept(pair.listener, NULL, NULL);
	answer_removal(30001);
	turn_until_looked_through();
	cr_assert(alive(client, server));
	close(client);
	close(server);
	close_pair(&pair);
}

Test(connections, revoke_ends_connections_also_where_the_daemon_stops_right_after)
{
	struct pair pair = open_connection(false);

	answer_removal(30001);
	close_reconciler();
	cr_assert_not(alive(pair.client, pair.server));
	open_reconciler(NO_AUDIT_MS);
	close_pair(&pair);
}

Test(connections, drain_leaves_connections_and_takes_no_new_ones)
{
	struct pair pair = open_connection(true);

	remove_one(30001);
	cr_assert(alive(pair.client, pair.server));
	cr_assert_lt(try_connect(30001), 0);
	close_pair(&pair);
}

Test(connections, of_other_ports_go_on)
{
	struct pair pair = open_connection(false);

	put_one(30002, HOST_A, false);
	remove_one(30002);
	cr_assert(alive(pair.client, pair.server));
	close_pair(&pair);
}

Test(connections, end_where_their_port_leads_elsewhere)
{
	struct pair pair = open_connection(false);

	put_one(30001, HOST_B, false);
	cr_assert_not(alive(pair.client, pair.server));
	close_pair(&pair);
}

/* Conntrack takes a packet out of the middle of a TCP connection as the beginning of one. */
Test(connections, the_rest_of_an_ended_connection_never_reaches_the_ports_next_target)
{
	struct pair pair = open_connection(false);
	_cleanup_free_ char *before = NULL, *after = NULL;
	int next;

	do_nft("table ip watch { chain c { type filter hook input priority 0; ip daddr 10.0.0.6 counter; "
	       "}; }");
	remove_one(30001);
	put_one(30001, HOST_B, false);
	(void)send(pair.client, "x", 1, MSG_NOSIGNAL);
	before = nft("list table ip watch");
	cr_assert(strstr(before, "counter packets 0 "), "%s", before);

	next = listen_on(HOST_B);
	close(connect_to(30001)); /* a new one does */
	after = nft("list table ip watch");
	cr_assert_not(strstr(after, "counter packets 0 "), "%s", after);
	close(next);
	close_pair(&pair);
}

Test(connections, that_drain_go_on_where_their_port_leads_elsewhere)
{
	struct pair pair = open_connection(true);

	put_one(30001, HOST_B, true);
	cr_assert(alive(pair.client, pair.server));
	close_pair(&pair);
}

Test(connections, go_on_where_only_the_label_changes)
{
	struct pair pair = open_connection(false);

	put_one(30001, HOST_A, true);
	cr_assert(alive(pair.client, pair.server));
	close_pair(&pair);
}

Test(connections, go_on_over_a_restart_and_a_flush)
{
	struct pair pair = open_connection(false);
	uint64_t before, deadline = clock_monotonic_ms() + PATIENCE_MS;

	close_reconciler();
	open_reconciler(NO_AUDIT_MS);
	cr_assert(alive(pair.client, pair.server));
	before = committed();
	/* Nothing translates until the repair, not even what began before: no packet meanwhile. */
	do_nft("flush ruleset");
	reconciler_doubt(reconciler);
	while (committed() == before && clock_monotonic_ms() < deadline)
		(void)event_base_loop(base, EVLOOP_ONCE);
	cr_assert_gt(committed(), before);
	cr_assert(alive(pair.client, pair.server));
	close_pair(&pair);
}

/* ---- ends ---- */

static void put_for(uint16_t port, const char *target, bool drain, int64_t seconds)
{
	struct mapping mapping = {
		.key = { .address = public_address, .port = port, .protocol = PROTOCOL_TCP },
		.target = endpoint_of(target),
		.on_remove = drain ? ON_REMOVE_DRAIN : ON_REMOVE_REVOKE,
		.expires_at = clock_unix_seconds() + seconds,
	};
	struct changeset *changeset;
	struct told told;

	changeset = new_changeset(1, true, &told);
	cr_assert_eq(change_put(&changeset->changes[0], &mapping, "", NULL), 0);
	reconciler_submit(reconciler, changeset);
	turn_until(&told.done);
	cr_assert_eq(told.errnum, 0, "%s", told.message);
}

static size_t count_desired(void)
{
	struct reconciler_status status;

	reconciler_status(reconciler, &status);
	return status.desired;
}

static void turn_until_expired(void)
{
	uint64_t deadline = clock_monotonic_ms() + PATIENCE_MS;

	while (count_desired() > 0 && clock_monotonic_ms() < deadline)
		(void)event_base_loop(base, EVLOOP_ONCE);
	cr_assert_eq(count_desired(), 0, "it lives on");
	turn_until_looked_through();
}

Test(connections, a_mapping_that_has_ended_is_forgotten_and_its_connections_end)
{
	struct pair pair = open_connection(false);
	struct reconciler_status status;

	put_for(30001, HOST_A, false, 4);
	cr_assert(alive(pair.client, pair.server), "to get an end ends no connection");
	turn_until_expired();
	cr_assert_not(alive(pair.client, pair.server));
	cr_assert_lt(try_connect(30001), 0);
	reconciler_status(reconciler, &status);
	cr_assert_eq(status.mappings, 0);
	cr_assert_eq(status.applier.transactions[APPLIER_REJECTED], 0);
	close_pair(&pair);
}

Test(connections, that_drain_go_on_where_their_mapping_has_ended)
{
	struct pair pair = open_connection(true);

	put_for(30001, HOST_A, true, 2);
	turn_until_expired();
	cr_assert(alive(pair.client, pair.server));
	cr_assert_lt(try_connect(30001), 0);
	close_pair(&pair);
}

Test(connections, a_mapping_ends_while_nobody_runs)
{
	uint64_t deadline = clock_monotonic_ms() + PATIENCE_MS;
	int listener = listen_on(HOST_A);
	int client, n = 0;

	put_for(30001, HOST_A, false, 4);
	put_for(30002, HOST_A, false, 3600);
	close_reconciler();
	while ((client = try_connect(30001)) >= 0 && clock_monotonic_ms() < deadline) {
		close(accept(listener, NULL, NULL));
		close(client);
		(void)usleep(50000);
		n++;
	}
	cr_assert_gt(n, 0, "it never worked");
	cr_assert_lt(client, 0, "it lives on");
	close(connect_to(30002));
	open_reconciler(NO_AUDIT_MS);
	cr_assert_eq(count_desired(), 1);
	cr_assert_eq(committed(), 0, "adopted without a change");
	close(listener);
}

Test(connections, an_end_is_put_off_in_one_transaction)
{
	uint64_t before;

	put_for(30001, HOST_A, false, 60);
	before = committed();
	put_for(30001, HOST_A, false, 3600);
	cr_assert_eq(committed(), before + 1);
	cr_assert_eq(count_desired(), 1);
}
