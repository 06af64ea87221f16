/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The reconciler with the real kernel: changesets that share a transaction, what is left out of
 * them, and repair after another's change. What becomes of open connections is in
 * test_connections.c.
 */
#include <criterion/criterion.h>
#include <errno.h>
#include <event2/event_struct.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

#include "gatewayd/monitor.h"
#include "lib/clock.h"
#include "tests/kernel/kernel.h"
#include "tests/kernel/reconciler.h"

static struct monitor *monitor;

static void close_all(void)
{
	monitor_free(monitor);
	end_reconciler();
}

TestSuite(reconcile, .init = begin_reconciler, .fini = close_all, .timeout = 60);

/* ---- changesets ---- */

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
	open_reconciler(NO_AUDIT_MS);
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

/* How long it takes, in ms. */
static uint64_t flush_and_repair(void)
{
	uint64_t flushed, before = committed();

	do_nft("flush ruleset");
	flushed = clock_monotonic_ms();
	while (committed() == before && clock_monotonic_ms() < flushed + PATIENCE_MS)
		(void)event_base_loop(base, EVLOOP_ONCE);
	return clock_monotonic_ms() - flushed;
}

Test(reconcile, a_foreign_flush_is_heard_and_repaired_and_own_commits_are_not)
{
	bool timely = false;

	cr_assert_eq(monitor_new(&monitor, base, on_foreign_change, NULL), 0);
	reconciler_on_socket(reconciler, on_socket, NULL);
	put_one(30001, HOST_A, false);
	(void)event_base_loop(base, EVLOOP_NONBLOCK);
	cr_assert_not(heard, "its own commit was taken for another's");
	/* Once is enough: the machine may have other things to do. */
	for (int i = 0; i < 5 && !timely; i++) {
		timely = flush_and_repair() < 1000;
		cr_assert(heard);
		cr_assert(kernel_has("30001 : 10.0.0.5 . 7001"));
	}
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
	const struct timeval before_audit = { .tv_usec = 490000 };
	_cleanup_free_ char *log = NULL;
	struct reconciler_status status;
	struct event submit;
	struct told told = { 0 };
	uint64_t end;

	close_reconciler();
	open_reconciler(500);
	(void)evtimer_assign(&submit, base, submit_put, &told);
	cr_assert_eq(evtimer_add(&submit, &before_audit), 0);
	for (end = clock_monotonic_ms() + 510; clock_monotonic_ms() < end;)
		; /* both are due when the loop turns */
	log = log_until(&told.done);
	cr_assert_eq(told.errnum, 0, "%s", told.message);
	reconciler_status(reconciler, &status);
	cr_assert_eq(status.applier.resyncs[RESYNC_AUDIT], 1, "they were not in one turn");
	cr_assert_not(strstr(log, "changed by someone else"), "%s", log);
}

Test(reconcile, a_change_of_another_table_is_not_heard)
{
	put_one(30001, HOST_A, false);
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
