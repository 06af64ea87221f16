/* SPDX-License-Identifier: GPL-2.0-or-later */
/* One environment over a kill of agentd: what its successor knows of its ends, and when it starts
 * it. The engine is a driver that only notes its steps; the clocks are the test's. */
#include <criterion/criterion.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agentd/ends_file.h"
#include "agentd/entry.h"
#include "lib/file.h"

#define NOW_S 5000
#define NOW_MS 1000000

static struct driver driver;
static struct lease lease;
static struct entry_context context;
static char data[64], folder[128], file[160];
static unsigned starts;
static struct driver_request step; /* the last one */

uint64_t __wrap_clock_monotonic_ms(void);
uint64_t __wrap_clock_monotonic_ms(void)
{
	return NOW_MS;
}

int64_t __wrap_clock_unix_seconds(void);
int64_t __wrap_clock_unix_seconds(void)
{
	return NOW_S;
}

static int validate(struct driver *of, const struct assignment *assignment, struct error *err)
{
	return 0;
}

static int run(struct driver *of, const struct driver_request *request,
	       struct driver_operation **ret)
{
	starts += request->action == DRIVER_START;
	step = *request;
	*ret = (struct driver_operation *)&starts; /* opaque, and only handed back */
	return 0;
}

static void cancel(struct driver *of, struct driver_operation *operation)
{
}

static void ignore_entry(struct entry *entry)
{
}

static void ignore(struct entry_context *of)
{
}

static void setup(void)
{
	static const struct driver_ops ops = { .validate = validate, .run = run, .cancel = cancel };

	(void)snprintf(data, sizeof(data), "/tmp/test-entry-XXXXXX");
	cr_assert(mkdtemp(data));
	(void)snprintf(folder, sizeof(folder), "%s/environments/env-a", data);
	(void)snprintf(file, sizeof(file), "%s/.ends", folder);
	driver.ops = &ops;
	context = (struct entry_context){ .base = event_base_new(),
					  .driver = &driver,
					  .parallel = 4,
					  .lease = &lease,
					  .data_dir = data,
					  .complete = true,
					  .able = true,
					  .look_again = ignore_entry,
					  .on_turn = ignore,
					  .on_change = ignore };
	cr_assert(context.base);
	starts = 0;
}

static void teardown(void)
{
	event_base_free(context.base);
	(void)unlink(file);
	(void)rmdir(folder);
	(void)snprintf(folder, sizeof(folder), "%s/environments", data);
	(void)rmdir(folder);
	cr_expect_eq(rmdir(data), 0);
}

TestSuite(entry, .init = setup, .fini = teardown);

static struct entry *new_entry(void)
{
	struct entry *entry;

	cr_assert_eq(entry_new(&entry, &context, "env-a"), 0);
	return entry;
}

static void assign(struct entry *entry, const char *state)
{
	_cleanup_json_ json_t *item = json_pack(
		"{s:s, s:i, s:s, s:s, s:{s:s, s:s, s:i, s:I, s:[]}}", "environment", "env-a",
		"revision", 7, "state", state, "user", "developer", "spec", "name", "demo", "image",
		"dev:1", "cpu_milli", 1000, "memory_bytes", (json_int_t)1 << 30, "services");
	struct error err = ERROR_INIT;
	struct desired *desired;

	cr_assert_eq(desired_new(&desired, item, &driver, &err), 0, "%s", err.message);
	entry_assign(entry, desired);
}

/* Of what is assigned, and ended so many seconds ago after a run of no time. */
static struct instance ended(const struct entry *entry, const char *started, int64_t ago)
{
	return (struct instance){ .environment = (char *)"env-a",
				  .id = (char *)"c1",
				  .digest = (char *)(entry->desired ? entry->desired->digest : ""),
				  .status = INSTANCE_EXITED,
				  .exit_code = 3,
				  .started = (char *)started,
				  .started_at = NOW_S - ago,
				  .finished_at = NOW_S - ago };
}

/* An agentd that saw it end so often, the last time now, and was killed then. */
static void crash(unsigned count)
{
	struct entry *entry = new_entry();

	assign(entry, "running");
	for (unsigned i = 1; i <= count; i++) {
		struct instance instance;
		char started[16];

		(void)snprintf(started, sizeof(started), "run %u", i);
		instance = ended(entry, started, 0);
		cr_assert_eq(entry_observe(entry, &instance), 0);
	}
	cr_assert_eq(entry->ends.count, count);
	entry_free(entry);
}

/* Its successor, which sees the same. */
static struct entry *succeed(const char *started, int64_t ago)
{
	struct entry *entry = new_entry();
	struct instance instance;

	assign(entry, "running");
	instance = ended(entry, started, ago);
	cr_assert_eq(entry_observe(entry, &instance), 0);
	return entry;
}

Test(entry, a_successor_goes_on_counting_and_waits_as_long)
{
	struct entry *entry;

	crash(5);
	entry = succeed("run 5", 0);
	cr_expect_eq(entry->ends.count, 5);
	cr_expect_eq(entry->ends.exit_code, 3);
	cr_assert(entry_step(entry));
	cr_expect_eq(starts, 0, "it was started at once");
	/* The fifth start waits 16 s, less up to a half. */
	cr_expect_geq(entry->not_before_ms, NOW_MS + 8000);
	cr_expect_leq(entry->not_before_ms, NOW_MS + 16000);
	cr_expect_gt(entry->ends.next_try, NOW_S);
	entry_free(entry);
	/* It ended once more while there was none. */
	entry = succeed("run 6", 0);
	cr_expect_eq(entry->ends.count, 6);
	entry_free(entry);
}

Test(entry, what_has_waited_meanwhile_is_started_at_once)
{
	struct entry *entry;

	crash(5);
	entry = succeed("run 5", 60);
	cr_expect_eq(entry->ends.count, 5);
	cr_assert(entry_step(entry));
	cr_expect_eq(starts, 1);
	entry_free(entry);
}

Test(entry, a_clock_that_was_set_back_does_not_lengthen_the_wait)
{
	struct entry *entry;

	crash(5);
	entry = succeed("run 5", -100000);
	cr_expect_leq(entry->not_before_ms, NOW_MS + 16000);
	entry_free(entry);
}

Test(entry, the_engine_is_seen_before_the_assignment)
{
	struct entry *entry;
	struct instance instance;

	crash(5);
	entry = new_entry();
	instance = ended(entry, "run 6", 0);
	cr_assert_eq(entry_observe(entry, &instance), 0);
	assign(entry, "running");
	cr_expect_eq(entry->ends.count, 6);
	cr_expect_geq(entry->not_before_ms, NOW_MS + 16000);
	entry_free(entry);
	/* That was kept, too. */
	entry = new_entry();
	cr_expect_eq(entry->ends.count, 6);
	entry_free(entry);
}

Test(entry, another_go_is_another_count_for_a_successor_too)
{
	struct entry *entry;

	crash(5);
	entry = succeed("run 5", 0);
	assign(entry, "stopped");
	entry_free(entry);
	entry = succeed("run 5", 0);
	cr_expect_eq(entry->ends.count, 0);
	cr_assert(entry_step(entry));
	cr_expect_eq(starts, 1);
	entry_free(entry);
}

/* Its folder is about to go, and must not come back. */
Test(entry, nothing_is_written_for_what_is_not_assigned)
{
	struct entry *entry = new_entry();
	struct instance instance = ended(entry, "run 1", 0);
	struct stat status;

	cr_assert_eq(entry_observe(entry, &instance), 0);
	cr_expect_eq(entry->ends.count, 1);
	cr_expect_eq(stat(folder, &status), -1);
	assign(entry, "running");
	cr_expect_eq(stat(file, &status), 0);
	cr_assert_eq(unlink(file), 0);
	entry_assign(entry, NULL);
	instance = ended(entry, "run 2", 0);
	cr_assert_eq(entry_observe(entry, &instance), 0);
	cr_expect_eq(stat(file, &status), -1);
	entry_free(entry);
}

Test(entry, what_never_ended_keeps_nothing)
{
	struct entry *entry = new_entry();
	struct instance instance;
	struct stat status;

	assign(entry, "running");
	instance = ended(entry, "run 1", 0);
	instance.status = INSTANCE_RUNNING;
	cr_assert_eq(entry_observe(entry, &instance), 0);
	cr_expect_eq(stat(folder, &status), -1);
	entry_free(entry);
}

/* Its container could not be made, or somebody else has removed it. */
Test(entry, what_is_left_of_it_goes_before_it_is_forgotten)
{
	struct entry *entry = new_entry();

	assign(entry, "running");
	cr_assert(entry_step(entry));
	cr_expect_eq(step.action, DRIVER_CREATE);
	step.on_done(step.userdata, -EIO, "no room");
	entry_assign(entry, NULL);
	entry_hurry(entry);
	cr_assert(entry_step(entry));
	cr_expect_eq(step.action, DRIVER_REMOVE);
	cr_expect(step.purge);
	cr_expect_null(step.instance);
	step.on_done(step.userdata, 0, "");
	cr_expect_not(entry_step(entry));
	entry_free(entry);
}

Test(entry, what_never_was_is_forgotten_at_once)
{
	struct entry *entry = new_entry();

	assign(entry, "running");
	entry_assign(entry, NULL);
	cr_expect_not(entry_step(entry));
	entry_free(entry);
}
