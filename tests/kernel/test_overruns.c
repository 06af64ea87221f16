/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Sockets with the smallest receive buffers that the kernel grants, so that it drops what it has to
 * say: what was lost is noticed and made up for, and listings are complete all the same. Receipts
 * of transactions are in test_transactions.c, links and addresses in test_network.c.
 */
#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "gatewayd/collector.h"
#include "gatewayd/ct_events.h"
#include "gatewayd/host_setting.h"
#include "gatewayd/monitor.h"
#include "gatewayd/reconcile.h"
#include "lib/clock.h"
#include "tests/kernel/kernel.h"

#define PUBLIC "203.0.113.10"
#define TARGET "10.0.0.5:7001"
#define FLOWS 2000
#define FLOW_PORT 20000
#define ROOM_BYTES 32768
#define PATIENCE_MS 20000
#define SLOTS 64

static struct event_base *base;
static struct metrics *metrics;
static struct address public_address;
static struct reconciler *reconciler;
static struct monitor *monitor;
static struct collector *collector;

static void open_all(void)
{
	struct reconciler_config config = {
		.shape = { .map_size = 1000 },
		.addresses = &public_address,
		.n_addresses = 1,
		.audit_ms = 3600000,
	};
	struct error err = ERROR_INIT;

	enter_namespace();
	do_ip("address add 203.0.113.10/32 dev lo");
	do_ip("address add 10.0.0.5/32 dev lo");
	cr_assert_eq(address_parse(PUBLIC, &public_address), 0);
	base = event_base_new();
	cr_assert_eq(metrics_new(&metrics), 0);
	cr_assert_eq(reconciler_new(&reconciler, base, &config, metrics, &err), 0, "%s",
		     err.message);
}

static void close_all(void)
{
	collector_free(collector);
	monitor_free(monitor);
	reconciler_free(reconciler);
	metrics_free(metrics);
	event_base_free(base);
}

TestSuite(overruns, .init = open_all, .fini = close_all, .timeout = 60);

/* Every netlink socket of this process has no more room than it must have. */
static void shrink_buffers(void)
{
	int tiny = 0, shrunk = 0;

	for (int fd = 3; fd < 256; fd++) {
		int domain = 0;
		socklen_t length = sizeof(domain);

		if (getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &length) < 0 ||
		    domain != AF_NETLINK)
			continue;
		cr_assert_eq(setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &tiny, sizeof(tiny)), 0);
		shrunk++;
	}
	cr_assert_gt(shrunk, 0);
}

static void turn_until(bool (*is_done)(void))
{
	uint64_t deadline = clock_monotonic_ms() + PATIENCE_MS;

	while (!is_done()) {
		cr_assert_lt(clock_monotonic_ms(), deadline, "not within %d ms", PATIENCE_MS);
		(void)event_base_loop(base, EVLOOP_ONCE);
	}
}

/* ---- changes of mappings ---- */

static bool answered;

static void on_done(struct changeset *changeset, void *userdata)
{
	cr_assert_eq(changeset->error.errnum, 0, "%s", changeset->error.message);
	answered = true;
}

static bool is_answered(void)
{
	return answered;
}

static void change_one(uint16_t port, uint8_t protocol, bool put)
{
	struct mapping mapping = {
		.key = { .address = public_address, .port = port, .protocol = protocol },
		.target = endpoint_of(TARGET),
	};
	struct changeset *changeset;
	struct error err = ERROR_INIT;

	cr_assert_eq(changeset_new(&changeset, 1), 0);
	changeset->atomic = true;
	changeset->on_done = on_done;
	if (put)
		cr_assert_eq(change_put(&changeset->changes[0], &mapping, "", &err), 0);
	else
		change_remove(&changeset->changes[0], &mapping.key);
	answered = false;
	reconciler_submit(reconciler, changeset);
	turn_until(is_answered);
}

/* ---- events of the table ---- */

static char who[128];

static void on_foreign_change(const char *name, void *userdata)
{
	(void)snprintf(who, sizeof(who), "%s", name);
	reconciler_doubt(reconciler);
}

static void on_socket(uint32_t port_id, void *userdata)
{
	monitor_ignore(monitor, port_id);
}

static bool is_repaired(void)
{
	_cleanup_free_ char *text = nft("list table inet portico");

	return strstr(text, "30001 : 10.0.0.5 . 7001") != NULL;
}

Test(overruns, of_table_events_are_made_up_for_by_reading_back)
{
	cr_assert_eq(monitor_new(&monitor, base, on_foreign_change, NULL), 0);
	reconciler_on_socket(reconciler, on_socket, NULL);
	change_one(30001, PROTOCOL_TCP, true);
	cr_assert_str_empty(who);
	shrink_buffers();
	/* It fills the buffer, so that nothing is said of what comes behind it. */
	do_nft("add table inet other");
	do_nft("delete element inet portico mapping4 { 203.0.113.10 . tcp . 30001 : 10.0.0.5 . "
	       "7001 }");
	turn_until(is_repaired);
	cr_assert_str_eq(who, "events were lost");
	/* And the socket goes on: the next change is heard with its author. */
	do_nft("flush map inet portico mapping4");
	turn_until(is_repaired);
}

/* ---- connections ---- */

static uint64_t entries(void)
{
	uint64_t count = 0;

	cr_assert_eq(host_setting_read_uint("net.netfilter.nf_conntrack_count", &count), 0);
	return count;
}

/* UDP, of which one packet is a connection. */
static void open_flows(void)
{
	const struct endpoint public = { .address = public_address, .port = 30053 };
	struct endpoint source = { .address = public_address };
	struct sockaddr_storage address;
	socklen_t length;

	change_one(30053, PROTOCOL_UDP, true);
	for (uint16_t i = 0; i < FLOWS; i++) {
		_cleanup_close_ int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

		source.port = (uint16_t)(FLOW_PORT + i);
		length = endpoint_to_sockaddr(&source, &address);
		cr_assert_eq(bind(fd, (struct sockaddr *)&address, length), 0);
		length = endpoint_to_sockaddr(&public, &address);
		cr_assert_eq(sendto(fd, "x", 1, 0, (struct sockaddr *)&address, length), 1);
	}
	cr_assert_eq(entries(), FLOWS);
}

struct listing {
	size_t n;
	bool complete, ended;
};

static struct listing listing;

static void on_begin(void *userdata)
{
	listing = (struct listing){ 0 };
}

static void on_part(void *userdata)
{
}

static void on_entry(const struct ct_entry *entry, void *userdata)
{
	listing.n++;
}

static void on_end(bool complete, void *userdata)
{
	listing.complete = complete;
	listing.ended = true;
}

static bool is_listed(void)
{
	return listing.ended;
}

Test(overruns, do_not_cut_listings_of_connections_short)
{
	const struct collector_hooks hooks = { on_begin, on_part, on_entry, on_end, NULL };

	open_flows();
	cr_assert_eq(collector_new(&collector, base, &hooks), 0);
	shrink_buffers();
	collector_hurry(collector);
	turn_until(is_listed);
	cr_assert(listing.complete);
	cr_assert_eq(listing.n, FLOWS);
}

static bool is_swept(void)
{
	return entries() == 0;
}

Test(overruns, leave_no_connection_of_a_revoked_mapping)
{
	open_flows();
	shrink_buffers();
	change_one(30053, PROTOCOL_UDP, false);
	turn_until(is_swept);
}

/* Reads what there is; returns how many ends were told. */
static size_t read_ends(struct ct_events *events)
{
	static _Alignas(struct nlmsghdr) uint8_t slots[SLOTS * 1024];
	size_t n = 0;
	int got;

	while ((got = ct_events_read(events, slots, 1024, SLOTS)) > 0)
		n += (size_t)got;
	cr_assert_eq(got, 0);
	return n;
}

Test(overruns, of_ended_connections_keep_them_until_there_is_room)
{
	struct ct_events events = CT_EVENTS_INIT;
	struct error err = ERROR_INIT;
	uint64_t deadline;
	size_t told = 0;

	/* Room for some: the kernel comes back for the rest 10 ms later at the earliest. */
	cr_assert_eq(ct_events_open(&events, ROOM_BYTES, &err), 0, "%s", err.message);
	ct_events_set_reliable(&events, true);
	open_flows();
	change_one(30053, PROTOCOL_UDP, false);
	deadline = clock_monotonic_ms() + PATIENCE_MS;
	while (told < FLOWS && clock_monotonic_ms() < deadline) {
		(void)event_base_loop(base, EVLOOP_NONBLOCK);
		told += read_ends(&events);
	}
	cr_assert_eq(told, FLOWS, "%zu, overruns=%u", told, (unsigned)events.overruns);
	cr_assert_gt(events.overruns, 0);
	ct_events_close(&events);
}
