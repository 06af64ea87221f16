/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The file of counters: it outlives its process, also one that was killed in the middle of a
 * change, and what cannot be right is set aside.
 */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "lib/file.h"
#include "tests/unit/gatewayd/flows.h"

#define KEY "203.0.113.10:30001"
#define TARGET "10.0.1.2:22"
#define WALL 1700000000

static struct ledger ledger = LEDGER_INIT;
static struct flow_table table;
static char folder[] = "/tmp/flow-store-XXXXXX";
static char path[64], aside[72];

static void open_table(void)
{
	struct error err = ERROR_INIT;

	cr_assert_eq(flow_table_open(&table, path, &err), 0, "%s", err.message);
	flow_table_start(&table, &ledger, 0);
}

static void set_up(void)
{
	cr_assert_not_null(mkdtemp(folder));
	(void)snprintf(path, sizeof(path), "%s/counters", folder);
	(void)snprintf(aside, sizeof(aside), "%s.bad", path);
	install(&ledger, KEY, TARGET, "env-a ssh");
	open_table();
}

static void tear_down(void)
{
	flow_table_close(&table);
	ledger_clear(&ledger);
	(void)unlink(path);
	(void)unlink(aside);
	(void)rmdir(folder);
}

TestSuite(flow_store, .init = set_up, .fini = tear_down);

static void see(uint32_t id, uint64_t bytes)
{
	const struct ct_entry entry = entry_of(id, KEY, TARGET, bytes);

	flow_table_see(&table, &entry, WALL);
}

static void end(uint32_t id, uint64_t bytes)
{
	const struct ct_entry entry = entry_of(id, KEY, TARGET, bytes);

	flow_table_end(&table, &entry, 0, WALL);
}

/* As by a kill: the file is left as it is, and another process opens it. */
static void open_again(void)
{
	flow_table_close(&table);
	open_table();
}

#define EXPECT(bytes, connections)                                                     \
	do {                                                                           \
		struct totals _mapping = totals_of(&table, KEY);                       \
		expect(&_mapping, bytes, connections, __LINE__);                       \
		expect(flow_store_totals(&table.store), bytes, connections, __LINE__); \
	} while (0)

static bool exists(const char *file)
{
	return access(file, F_OK) == 0;
}

Test(flow_store, outlives_its_process_and_counts_live_connections_once)
{
	flow_table_begin_round(&table);
	see(1, 100);
	see(2, 50);
	flow_table_end_round(&table, true, 1);
	end(2, 60);
	open_again();
	EXPECT(160, 2);
	flow_table_begin_round(&table);
	see(1, 130);
	flow_table_end_round(&table, true, 2);
	EXPECT(190, 2);
	end(1, 130);
	EXPECT(190, 2);
}

Test(flow_store, closes_the_account_of_a_mapping_that_is_gone_at_the_start)
{
	flow_table_begin_round(&table);
	see(1, 100);
	flow_table_end_round(&table, true, 1);
	flow_table_close(&table);
	ledger_uninstall(&ledger, find(&ledger, KEY));
	open_table();
	cr_assert_eq(totals_of(&table, KEY).connections, 0);
	expect(flow_store_totals(&table.store), 100, 1, __LINE__);
}

Test(flow_store, is_not_readable_by_others)
{
	struct stat status;

	cr_assert_eq(stat(path, &status), 0);
	cr_assert_eq(status.st_mode & 0777, 0600);
	cr_assert_lt(status.st_blocks * 512, 1 << 20, "almost all of it is a hole");
}

/* Changes one byte of the file while nobody has it open. */
static void garble(off_t offset, uint8_t value)
{
	_cleanup_close_ int fd = -1;

	flow_table_close(&table);
	fd = open(path, O_WRONLY);
	cr_assert_geq(fd, 0);
	cr_assert_eq(pwrite(fd, &value, 1, offset), 1);
}

static off_t offset_of(const void *place)
{
	return (const uint8_t *)place - (const uint8_t *)table.store.base;
}

static void expect_begun_anew(void)
{
	open_table();
	cr_assert(exists(aside));
	EXPECT(0, 0);
	end(1, 10);
	EXPECT(10, 1);
}

Test(flow_store, sets_aside_what_is_no_such_file)
{
	end(1, 100);
	garble(0, 'X');
	expect_begun_anew();
}

Test(flow_store, sets_aside_another_version)
{
	end(1, 100);
	garble(8, 77);
	expect_begun_anew();
}

Test(flow_store, sets_aside_a_file_that_was_cut_off)
{
	end(1, 100);
	flow_table_close(&table);
	cr_assert_eq(truncate(path, 5000), 0);
	expect_begun_anew();
}

Test(flow_store, sets_aside_a_garbled_account)
{
	off_t offset;

	end(1, 100);
	offset = offset_of(&table.store.accounts[0].state);
	garble(offset, 9);
	expect_begun_anew();
}

Test(flow_store, sets_aside_a_garbled_flow)
{
	off_t offset;

	flow_table_begin_round(&table);
	see(1, 100);
	offset = offset_of(&table.store.flows[0].account);
	garble(offset + 1, 9); /* an account that there is not */
	expect_begun_anew();
}

Test(flow_store, refuses_a_link)
{
	struct error err = ERROR_INIT;
	struct flow_store store;
	char target[80];

	(void)snprintf(target, sizeof(target), "%s.elsewhere", path);
	flow_table_close(&table);
	cr_assert_eq(rename(path, target), 0);
	cr_assert_eq(symlink(target, path), 0);
	cr_assert_eq(flow_store_open(&store, path, &err), -ELOOP);
	cr_assert_eq(unlink(target), 0);
}

/* What a process does until it is killed: connections begin, grow and end. Each end is a message
 * of the inbox, which is noted before it is done with. Says how far it has come. */
static void work(_Atomic uint32_t *ret_step)
{
	for (uint32_t step = 1;; step++) {
		*ret_step = step;
		flow_table_begin_round(&table);
		see(step, 10);
		see(step, 40);
		if (step > 8)
			end(step - 8, 70);
		flow_table_end_round(&table, true, step);
	}
}

/* Whatever it was in the middle of, the sums fit what is known of each connection: an ended one
 * has carried 70, a live one what its record says. */
static void expect_consistent(void)
{
	struct totals totals = totals_of(&table, KEY);
	uint64_t live = 0, bytes = 0;

	for (uint32_t i = 0; i < table.store.flow_pool.used; i++) {
		if (table.store.flows[i].state != FLOW_LIVE)
			continue;
		live++;
		bytes += table.store.flows[i].counted.bytes[CT_IN];
	}
	cr_assert_leq(live, 9);
	bytes += 70 * (totals.connections - live);
	expect(&totals, bytes, totals.connections, __LINE__);
	expect(flow_store_totals(&table.store), bytes, totals.connections, __LINE__);
}

Test(flow_store, is_right_wherever_its_process_was_killed)
{
	_Atomic uint32_t *step = mmap(NULL, sizeof(*step), PROT_READ | PROT_WRITE,
				      MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	cr_assert_neq(step, MAP_FAILED);
	for (uint32_t i = 0; i < 200; i++) {
		pid_t pid;

		flow_table_close(&table);
		(void)unlink(path);
		*step = 0;
		pid = fork();
		cr_assert_geq(pid, 0);
		if (pid == 0) {
			open_table();
			work(step);
		}
		/* Where it is hit is left to chance; that it has worked is not. */
		while (*step < 10 + i)
			(void)sched_yield();
		cr_assert_eq(kill(pid, SIGKILL), 0);
		cr_assert_eq(waitpid(pid, NULL, 0), pid);
		open_table();
		expect_consistent();
		cr_assert_geq(totals_of(&table, KEY).connections, 9 + i);
	}
	cr_assert_not(exists(aside));
	cr_assert_eq(munmap(step, sizeof(*step)), 0);
}

/* A change that is written down and not done, as after a kill between the two. */
Test(flow_store, finishes_a_change_that_a_kill_left_half_done)
{
	struct flow_change change;

	flow_table_begin_round(&table);
	see(1, 100);
	flow_table_end_round(&table, true, 1);
	change = (struct flow_change){
		.account = 0,
		.flow = 0,
		.account_after = table.store.accounts[0],
		.flow_after = table.store.flows[0],
		.totals_after = *flow_store_totals(&table.store),
	};
	change.account_after.totals.traffic.bytes[CT_IN] = 500;
	change.flow_after.counted.bytes[CT_IN] = 500;
	flow_store_write_down(&table.store, &change);
	cr_assert_eq(table.store.accounts[0].totals.traffic.bytes[CT_IN], 100);
	open_again();
	cr_assert_eq(table.store.accounts[0].totals.traffic.bytes[CT_IN], 500);
	cr_assert_eq(table.store.flows[0].counted.bytes[CT_IN], 500);
	open_again();
	cr_assert_eq(table.store.accounts[0].totals.traffic.bytes[CT_IN], 500);
}
