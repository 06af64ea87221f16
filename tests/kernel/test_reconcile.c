/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The reconciler with the real kernel: changesets that share a transaction, what is left out of
 * them, repair after another's change, and what becomes of open connections.
 */
#include <criterion/criterion.h>
#include <errno.h>
#include <event2/event_struct.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>

#include "gatewayd/monitor.h"
#include "gatewayd/reconcile.h"
#include "lib/clock.h"
#include "tests/kernel/kernel.h"

#define PUBLIC "203.0.113.10"
#define HOST_A "10.0.0.5:7001"
#define HOST_B "10.0.0.6:7001"
#define PATIENCE_MS 5000

static struct event_base *base;
static struct metrics *metrics;
static struct address public_address;
static struct reconciler *reconciler;
static struct monitor *monitor;
static uint64_t audit_ms = 3600000;

static void open_reconciler(void)
{
	struct reconciler_config config = {
		.shape = { .map_size = 1000 },
		.addresses = &public_address,
		.n_addresses = 1,
		.audit_ms = audit_ms,
	};
	struct error err = ERROR_INIT;

	cr_assert_eq(metrics_new(&metrics), 0);
	cr_assert_eq(reconciler_new(&reconciler, base, &config, metrics, &err), 0, "%s",
		     err.message);
}

static void close_reconciler(void)
{
	reconciler_free(reconciler);
	metrics_free(metrics);
}

static void open_all(void)
{
	enter_namespace();
	do_ip("address add 203.0.113.10/32 dev lo");
	do_ip("address add 10.0.0.5/32 dev lo");
	do_ip("address add 10.0.0.6/32 dev lo");
	cr_assert_eq(address_parse(PUBLIC, &public_address), 0);
	base = event_base_new();
	open_reconciler();
}

static void close_all(void)
{
	monitor_free(monitor);
	close_reconciler();
	event_base_free(base);
}

TestSuite(reconcile, .init = open_all, .fini = close_all, .timeout = 60);

/* ---- changesets ---- */

/* What a changeset's sender was told. */
struct told {
	bool done;
	int errnum;
	uint64_t revision;
	size_t n_refusals;
	char refused[MAPPING_STRING_MAX]; /* the last of them */
	char message[ERROR_MESSAGE_MAX];
};

static void on_done(struct changeset *changeset, void *userdata)
{
	struct told *told = userdata;

	cr_assert_not(told->done, "told twice");
	told->done = true;
	told->errnum = changeset->error.errnum;
	told->revision = changeset->revision;
	told->n_refusals = changeset->n_refusals;
	for (size_t i = 0; i < changeset->n_refusals; i++)
		mapping_key_format(&changeset->refusals[i].key, told->refused);
	(void)snprintf(told->message, sizeof(told->message), "%s", changeset->error.message);
}

static struct changeset *new_changeset(size_t n, bool atomic, struct told *told)
{
	struct changeset *changeset;

	cr_assert_eq(changeset_new(&changeset, n), 0);
	memset(told, 0, sizeof(*told));
	changeset->atomic = atomic;
	changeset->on_done = on_done;
	changeset->userdata = told;
	return changeset;
}

static struct changeset *fill(struct changeset *changeset, size_t index, uint16_t port,
			      const char *target, bool drain)
{
	struct mapping mapping = {
		.key = { .address = public_address, .port = port, .protocol = PROTOCOL_TCP },
		.target = endpoint_of(target),
		.on_remove = drain ? ON_REMOVE_DRAIN : ON_REMOVE_REVOKE,
	};
	struct error err = ERROR_INIT;

	cr_assert_eq(change_put(&changeset->changes[index], &mapping, "", &err), 0);
	return changeset;
}

static struct changeset *fill_removal(struct changeset *changeset, size_t index, uint16_t port)
{
	const struct mapping_key key = { .address = public_address,
					 .port = port,
					 .protocol = PROTOCOL_TCP };

	change_remove(&changeset->changes[index], &key);
	return changeset;
}

static void turn_until(const bool *done)
{
	uint64_t deadline = clock_monotonic_ms() + PATIENCE_MS;

	while (!*done && clock_monotonic_ms() < deadline)
		(void)event_base_loop(base, EVLOOP_ONCE);
	cr_assert(*done, "no answer");
}

/* Connections are looked through beside the loop, after the answer. */
static void turn_until_looked_through(void)
{
	uint64_t deadline = clock_monotonic_ms() + PATIENCE_MS;
	struct reconciler_status status;

	for (;;) {
		reconciler_status(reconciler, &status);
		if (status.conntrack_pending == 0)
			return;
		cr_assert_lt(clock_monotonic_ms(), deadline,
			     "connections wait to be looked through");
		(void)event_base_loop(base, EVLOOP_ONCE);
	}
}

/* Until the answer. */
static void answer_put(uint16_t port, const char *target, bool drain)
{
	struct told told;

	reconciler_submit(reconciler, fill(new_changeset(1, true, &told), 0, port, target, drain));
	turn_until(&told.done);
	cr_assert_eq(told.errnum, 0, "%s", told.message);
}

static void answer_removal(uint16_t port)
{
	struct told told;

	reconciler_submit(reconciler, fill_removal(new_changeset(1, true, &told), 0, port));
	turn_until(&told.done);
	cr_assert_eq(told.errnum, 0, "%s", told.message);
}

static void put_one(uint16_t port, const char *target, bool drain)
{
	answer_put(port, target, drain);
	turn_until_looked_through();
}

static void remove_one(uint16_t port)
{
	answer_removal(port);
	turn_until_looked_through();
}

static bool kernel_has(const char *element)
{
	_cleanup_free_ char *text = nft("list map inet portico mapping4");

	return strstr(text, element) != NULL;
}

static uint64_t committed(void)
{
	struct reconciler_status status;

	reconciler_status(reconciler, &status);
	return status.applier.transactions[APPLIER_COMMITTED];
}

/* What a follower's sender takes for all that was before it must not be answered before it. */
Test(reconcile, changes_of_a_follower_are_answered_in_their_order)
{
	struct changeset *changeset;
	struct told udp, tcp, local;

	changeset = fill(new_changeset(1, false, &udp), 0, 30001, HOST_A, false);
	changeset->changes[0].key.protocol = PROTOCOL_UDP;
	changeset->revision = 10;
	reconciler_submit(reconciler, changeset);
	changeset = fill(new_changeset(1, false, &tcp), 0, 30002, HOST_A, false);
	changeset->revision = 11;
	reconciler_submit(reconciler, changeset);
	reconciler_submit(reconciler,
			  fill(new_changeset(1, true, &local), 0, 30003, HOST_A, false));
	turn_until(&local.done);
	cr_assert_not(udp.done, "there was no look to wait for");
	cr_assert_not(tcp.done);
	turn_until(&udp.done);
	cr_assert(tcp.done);
	cr_assert_eq(tcp.revision, 11);
}

Test(reconcile, changesets_of_one_turn_share_a_transaction)
{
	struct told first, second, third;
	uint64_t before = committed();

	reconciler_submit(reconciler,
			  fill(new_changeset(1, true, &first), 0, 30001, HOST_A, false));
	reconciler_submit(reconciler,
			  fill(new_changeset(1, true, &second), 0, 30002, HOST_A, false));
	reconciler_submit(reconciler,
			  fill(new_changeset(1, true, &third), 0, 30001, HOST_B, false));
	turn_until(&third.done);
	cr_assert(first.done && second.done);
	cr_assert_eq(committed(), before + 1);
	cr_assert(kernel_has("30001 : 10.0.0.6 . 7001")); /* the later one counts */
	cr_assert(kernel_has("30002 : 10.0.0.5 . 7001"));
}

Test(reconcile, a_bad_element_is_named_and_the_rest_is_applied)
{
	struct told told;
	struct changeset *changeset = new_changeset(3, false, &told);

	put_one(30002, HOST_B, false);
	fill(changeset, 0, 30001, HOST_A, false);
	fill(changeset, 1, 30002, "[2001:db8::5]:1", false); /* no bytes that the map takes */
	fill(changeset, 2, 30003, HOST_A, false);
	changeset->revision = 77;
	reconciler_submit(reconciler, changeset);
	turn_until(&told.done);
	cr_assert_eq(told.errnum, 0, "%s", told.message);
	cr_assert_eq(told.revision, 77);
	cr_assert_eq(told.n_refusals, 1);
	cr_assert_str_eq(told.refused, "203.0.113.10:30002/tcp");
	cr_assert(kernel_has("30001"));
	cr_assert_not(kernel_has("30002")); /* nor does it go on to its old target */
	cr_assert(kernel_has("30003"));
}

Test(reconcile, a_bad_element_fails_its_atomic_changeset_and_no_other)
{
	struct told bad, good;
	struct changeset *changeset = new_changeset(2, true, &bad);

	put_one(30001, HOST_A, false);
	put_one(30002, HOST_A, false);
	fill(changeset, 0, 30001, HOST_B, false);
	fill(changeset, 1, 30002, "[2001:db8::5]:1", false);
	reconciler_submit(reconciler, changeset);
	reconciler_submit(reconciler, fill(new_changeset(1, true, &good), 0, 30003, HOST_A, false));
	turn_until(&good.done);
	cr_assert(bad.done);
	cr_assert_eq(bad.errnum, -EINVAL);
	cr_assert(strstr(bad.message, "203.0.113.10:30002/tcp"), "%s", bad.message);
	cr_assert_eq(good.errnum, 0, "%s", good.message);
	cr_assert(kernel_has("30001 : 10.0.0.5 . 7001")); /* as they were */
	cr_assert(kernel_has("30002 : 10.0.0.5 . 7001"));
	cr_assert(kernel_has("30003"));
}

/* Both its element and one of its allow-list are refused: the old mapping does not pay for it. */
Test(reconcile, a_mapping_that_is_refused_with_its_limits_leaves_its_port_as_it_was)
{
	struct prefix six;
	const struct mapping mapping = {
		.key = { .address = public_address, .port = 30001, .protocol = PROTOCOL_TCP },
		.target = endpoint_of("[2001:db8::5]:1"),
		.allow = &six,
		.n_allow = 1,
	};
	struct told told;
	struct changeset *changeset = new_changeset(1, true, &told);

	cr_assert_eq(prefix_parse("2001:db8::/32", &six), 0); /* neither is of the port's family */
	put_one(30001, HOST_A, false);
	cr_assert_eq(change_put(&changeset->changes[0], &mapping, "", NULL), 0);
	reconciler_submit(reconciler, changeset);
	turn_until(&told.done);
	cr_assert_eq(told.errnum, -EINVAL, "%d: %s", told.errnum, told.message);
	cr_assert(kernel_has("30001 : 10.0.0.5 . 7001"));
}

/* What a ban's sender was told. */
struct told_of_ban {
	bool done;
	int errnum;
	char message[ERROR_MESSAGE_MAX];
};

static void on_ban_done(struct ban_request *request, void *userdata)
{
	struct told_of_ban *told = userdata;

	cr_assert_not(told->done, "told twice");
	told->done = true;
	told->errnum = request->error.errnum;
	(void)snprintf(told->message, sizeof(told->message), "%s", request->error.message);
}

static void submit_ban(const char *source, int64_t seconds, struct told_of_ban *told)
{
	struct ban ban = { .expires_at = seconds ? clock_unix_seconds() + seconds : 0 };
	struct ban_request *request;

	memset(told, 0, sizeof(*told));
	cr_assert_eq(prefix_parse(source, &ban.source), 0);
	cr_assert_eq(ban_request_new(&request, BAN_PUT), 0);
	cr_assert_eq(bans_put(&request->bans, &ban, NULL), 0);
	request->on_done = on_ban_done;
	request->userdata = told;
	reconciler_submit_bans(reconciler, request);
}

Test(reconcile, a_ban_that_the_kernel_refuses_is_refused_and_no_other)
{
	struct told_of_ban good, bad;
	_cleanup_free_ char *listing = NULL;

	submit_ban("198.51.100.7", 0, &good);
	/* Longer than the kernel can count. */
	submit_ban("192.0.2.0/24", INT64_C(600) * 365 * 24 * 3600, &bad);
	turn_until(&bad.done);
	cr_assert(good.done);
	cr_assert_eq(good.errnum, 0, "%s", good.message);
	cr_assert_eq(bad.errnum, -EINVAL, "%s", bad.message);
	cr_assert(strstr(bad.message, "source: 192.0.2.0/24: the kernel refuses it"), "%s",
		  bad.message);
	cr_assert_eq(reconciler_bans(reconciler)->n, 1);
	listing = nft("list set inet portico ban4");
	cr_assert(strstr(listing, "198.51.100.7") && !strstr(listing, "192.0.2"), "%s", listing);
}

Test(reconcile, a_replacement_is_one_transaction)
{
	struct told told;
	struct changeset *changeset = new_changeset(2, true, &told);
	uint64_t before;

	put_one(30001, HOST_A, false);
	put_one(30002, HOST_A, false);
	before = committed();
	changeset->replace = true;
	fill(changeset, 0, 30002, HOST_B, false);
	fill(changeset, 1, 30003, HOST_A, false);
	reconciler_submit(reconciler, changeset);
	turn_until(&told.done);
	cr_assert_eq(committed(), before + 1);
	cr_assert_not(kernel_has("30001"));
	cr_assert(kernel_has("30002 : 10.0.0.6 . 7001"));
	cr_assert(kernel_has("30003 : 10.0.0.5 . 7001"));
}

Test(reconcile, what_is_in_the_kernel_already_makes_no_transaction)
{
	uint64_t before;

	put_one(30001, HOST_A, false);
	before = committed();
	put_one(30001, HOST_A, false);
	cr_assert_eq(committed(), before);
}

Test(reconcile, adopts_its_addresses_elements_and_no_others)
{
	struct reconciler_status status;

	put_one(30001, HOST_A, false);
	close_reconciler();
	do_nft("add element inet portico mapping4 { 192.0.2.1 . tcp . 30001 : 10.0.0.9 . 9 }");
	open_reconciler();
	reconciler_status(reconciler, &status);
	cr_assert_eq(status.desired, 1);
	cr_assert_eq(status.mappings, 1);
	cr_assert(kernel_has("203.0.113.10 . tcp . 30001 : 10.0.0.5 . 7001"));
	cr_assert_not(kernel_has("192.0.2.1"));
}

/* ---- repair ---- */

static bool heard;

static void on_foreign_change(const char *who, void *userdata)
{
	heard = true;
	cr_assert(strstr(who, "nft (pid "), "%s", who);
	reconciler_doubt(reconciler);
}

static void on_socket(uint32_t port_id, void *userdata)
{
	monitor_ignore(monitor, port_id);
}

Test(reconcile, a_foreign_flush_is_heard_and_repaired_and_own_commits_are_not)
{
	uint64_t flushed, before;
	bool timely;

	cr_assert_eq(monitor_new(&monitor, base, on_foreign_change, NULL), 0);
	reconciler_on_socket(reconciler, on_socket, NULL);
	put_one(30001, HOST_A, false);
	(void)event_base_loop(base, EVLOOP_NONBLOCK);
	cr_assert_not(heard, "its own commit was taken for another's");
	before = committed();
	do_nft("flush ruleset");
	flushed = clock_monotonic_ms();
	while (committed() == before && clock_monotonic_ms() < flushed + PATIENCE_MS)
		(void)event_base_loop(base, EVLOOP_ONCE);
	timely = clock_monotonic_ms() < flushed + 1000;
	cr_assert(heard);
	cr_assert(kernel_has("30001 : 10.0.0.5 . 7001"));
	cr_assert(timely);
}

static void doubt_again(evutil_socket_t fd, short what, void *userdata)
{
	reconciler_doubt(reconciler);
}

Test(reconcile, a_change_is_repaired_while_somebody_goes_on_changing)
{
	const struct timeval often = { .tv_usec = 5000 };
	uint64_t deadline;
	struct event again;

	put_one(30001, HOST_A, false);
	do_nft("flush map inet portico mapping4");
	(void)event_assign(&again, base, -1, EV_PERSIST, doubt_again, NULL);
	cr_assert_eq(event_add(&again, &often), 0);
	deadline = clock_monotonic_ms() + PATIENCE_MS;
	while (!kernel_has("30001") && clock_monotonic_ms() < deadline)
		(void)event_base_loop(base, EVLOOP_ONCE);
	event_del(&again);
	cr_assert(kernel_has("30001"));
}

static void submit_put(evutil_socket_t fd, short what, void *userdata)
{
	reconciler_submit(reconciler,
			  fill(new_changeset(1, true, userdata), 0, 30001, HOST_A, false));
}

/* What is logged while the loop turns until *done. The caller frees it. */
static char *log_until(const bool *done)
{
	int before = dup(STDERR_FILENO), file = memfd_create("log", MFD_CLOEXEC);
	char *text = calloc(1, 4096);

	cr_assert(before >= 0 && file >= 0 && text);
	cr_assert_geq(dup2(file, STDERR_FILENO), 0);
	turn_until(done);
	cr_assert_geq(dup2(before, STDERR_FILENO), 0);
	cr_assert_geq(pread(file, text, 4095, 0), 0);
	close(before);
	close(file);
	return text;
}

/* A request is read in the turn in which the table is due to be looked through, and before that. */
Test(reconcile, nobody_is_blamed_for_what_is_asked_for_during_an_audit)
{
	const struct timeval before_audit = { .tv_usec = 40000 };
	_cleanup_free_ char *log = NULL;
	struct reconciler_status status;
	struct event submit;
	struct told told = { 0 };
	uint64_t end;

	close_reconciler();
	audit_ms = 50;
	open_reconciler();
	(void)evtimer_assign(&submit, base, submit_put, &told);
	cr_assert_eq(evtimer_add(&submit, &before_audit), 0);
	for (end = clock_monotonic_ms() + 60; clock_monotonic_ms() < end;)
		; /* both are due when the loop turns */
	log = log_until(&told.done);
	cr_assert_eq(told.errnum, 0, "%s", told.message);
	reconciler_status(reconciler, &status);
	cr_assert_eq(status.applier.resyncs[RESYNC_AUDIT], 1, "they were not in one turn");
	cr_assert_not(strstr(log, "changed by someone else"), "%s", log);
}

Test(reconcile, a_change_of_another_table_is_not_heard)
{
	cr_assert_eq(monitor_new(&monitor, base, on_foreign_change, NULL), 0);
	reconciler_on_socket(reconciler, on_socket, NULL);
	do_nft("add table inet other");
	do_nft("add table ip portico");
	do_nft("add element inet portico mapping4 { 203.0.113.10 . tcp . 1 : 10.0.0.9 . 9 }; delete "
	       "element inet portico mapping4 { 203.0.113.10 . tcp . 1 : 10.0.0.9 . 9 }");
	(void)event_base_loop(base, EVLOOP_NONBLOCK);
	cr_assert(heard); /* the last one: events do arrive */
	heard = false;
	do_nft("delete table inet other; delete table ip portico");
	(void)event_base_loop(base, EVLOOP_NONBLOCK);
	cr_assert_not(heard);
}

/* ---- connections ---- */

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

Test(reconcile, revoke_ends_connections)
{
	struct pair pair = open_connection(false);

	remove_one(30001);
	cr_assert_not(alive(pair.client, pair.server));
	cr_assert_lt(try_connect(30001), 0);
	close_pair(&pair);
}

Test(reconcile, connections_end_that_begin_right_before_their_mapping_goes)
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
Test(reconcile, connections_end_that_are_entered_after_the_first_look)
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
Test(reconcile, connections_of_a_mapping_that_is_back_at_once_go_on)
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

Test(reconcile, connections_that_drain_are_no_stale_ones_of_an_earlier_life)
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

Test(reconcile, revoke_ends_connections_also_where_the_daemon_stops_right_after)
{
	struct pair pair = open_connection(false);

	answer_removal(30001);
	close_reconciler();
	cr_assert_not(alive(pair.client, pair.server));
	open_reconciler();
	close_pair(&pair);
}

Test(reconcile, drain_leaves_connections_and_takes_no_new_ones)
{
	struct pair pair = open_connection(true);

	remove_one(30001);
	cr_assert(alive(pair.client, pair.server));
	cr_assert_lt(try_connect(30001), 0);
	close_pair(&pair);
}

Test(reconcile, connections_of_other_ports_go_on)
{
	struct pair pair = open_connection(false);

	put_one(30002, HOST_A, false);
	remove_one(30002);
	cr_assert(alive(pair.client, pair.server));
	close_pair(&pair);
}

Test(reconcile, connections_end_where_their_port_leads_elsewhere)
{
	struct pair pair = open_connection(false);

	put_one(30001, HOST_B, false);
	cr_assert_not(alive(pair.client, pair.server));
	close_pair(&pair);
}

/* Conntrack takes a packet out of the middle of a TCP connection as the beginning of one. */
Test(reconcile, the_rest_of_an_ended_connection_never_reaches_the_ports_next_target)
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

Test(reconcile, connections_that_drain_go_on_where_their_port_leads_elsewhere)
{
	struct pair pair = open_connection(true);

	put_one(30001, HOST_B, true);
	cr_assert(alive(pair.client, pair.server));
	close_pair(&pair);
}

Test(reconcile, connections_go_on_where_only_the_label_changes)
{
	struct pair pair = open_connection(false);

	put_one(30001, HOST_A, true);
	cr_assert(alive(pair.client, pair.server));
	close_pair(&pair);
}

Test(reconcile, connections_go_on_over_a_restart_and_a_flush)
{
	struct pair pair = open_connection(false);
	uint64_t before, deadline = clock_monotonic_ms() + PATIENCE_MS;

	close_reconciler();
	open_reconciler();
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

Test(reconcile, a_mapping_that_has_ended_is_forgotten_and_its_connections_end)
{
	struct pair pair = open_connection(false);
	struct reconciler_status status;

	put_for(30001, HOST_A, false, 2);
	cr_assert(alive(pair.client, pair.server), "to get an end ends no connection");
	turn_until_expired();
	cr_assert_not(alive(pair.client, pair.server));
	cr_assert_lt(try_connect(30001), 0);
	reconciler_status(reconciler, &status);
	cr_assert_eq(status.mappings, 0);
	cr_assert_eq(status.applier.transactions[APPLIER_REJECTED], 0);
	close_pair(&pair);
}

Test(reconcile, connections_that_drain_go_on_where_their_mapping_has_ended)
{
	struct pair pair = open_connection(true);

	put_for(30001, HOST_A, true, 2);
	turn_until_expired();
	cr_assert(alive(pair.client, pair.server));
	cr_assert_lt(try_connect(30001), 0);
	close_pair(&pair);
}

Test(reconcile, a_mapping_ends_while_nobody_runs)
{
	uint64_t deadline = clock_monotonic_ms() + PATIENCE_MS;
	int listener = listen_on(HOST_A);
	int client, n = 0;

	put_for(30001, HOST_A, false, 2);
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
	open_reconciler();
	cr_assert_eq(count_desired(), 1);
	cr_assert_eq(committed(), 0, "adopted without a change");
	close(listener);
}

Test(reconcile, an_end_is_put_off_in_one_transaction)
{
	uint64_t before;

	put_for(30001, HOST_A, false, 1);
	before = committed();
	put_for(30001, HOST_A, false, 3600);
	cr_assert_eq(committed(), before + 1);
	cr_assert_eq(count_desired(), 1);
}
