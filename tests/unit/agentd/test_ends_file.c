/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The count of ends over a kill: what is read is what was written, and what is missing or damaged
 * says nothing. */
#include <criterion/criterion.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agentd/ends_file.h"
#include "lib/file.h"
#include "tests/unit/lib/syncs.h"

static char data[64], folder[96], file[128];

static void setup(void)
{
	(void)snprintf(data, sizeof(data), "/tmp/test-ends-file-XXXXXX");
	cr_assert(mkdtemp(data));
	(void)snprintf(folder, sizeof(folder), "%s/environments/env-a", data);
	(void)snprintf(file, sizeof(file), "%s/.ends", folder);
}

static void teardown(void)
{
	(void)unlink(file);
	(void)rmdir(folder);
	(void)snprintf(folder, sizeof(folder), "%s/environments", data);
	(void)rmdir(folder);
	cr_expect_eq(rmdir(data), 0, "something else was written");
}

TestSuite(ends_file, .init = setup, .fini = teardown);

static void write_ends(const struct ends *ends)
{
	struct error err = ERROR_INIT;

	cr_assert_eq(ends_file_write(data, "env-a", ends, &err), 0, "%s", err.message);
}

static struct ends read_ends(void)
{
	struct ends ends;

	ends_init(&ends);
	cr_assert_eq(ends_file_read(data, "env-a", &ends), 0);
	return ends;
}

Test(ends_file, what_is_read_is_what_was_written)
{
	struct ends ends = { .run = (char *)"2027-01-01T00:00:00.5Z",
			     .restarts = 7,
			     .count = 5,
			     .exit_code = 3,
			     .delay_ms = 1600 };
	struct ends back;
	struct stat status;

	write_ends(&ends);
	back = read_ends();
	cr_expect_str_eq(back.run, ends.run);
	cr_expect_not(back.changed);
	cr_expect_eq(back.restarts, 7);
	cr_expect_eq(back.count, 5);
	cr_expect_eq(back.exit_code, 3);
	cr_expect_eq(back.delay_ms, 1600);
	cr_expect_eq(back.next_try, 0);
	cr_assert_eq(stat(folder, &status), 0);
	cr_expect_eq(status.st_mode & 0777, 0700);
	ends_clear(&back);
}

/* It is written by the event loop, at each end. */
Test(ends_file, it_waits_for_no_disk)
{
	const struct ends ends = { .count = 1 };
	struct ends back;

	write_ends(&ends);
	cr_expect_eq(syncs, 0);
	back = read_ends();
	cr_expect_eq(back.count, 1);
	ends_clear(&back);
}

Test(ends_file, without_a_run_and_a_status_there_are_none)
{
	struct ends ends = { .restarts = 2, .exit_code = EXIT_CODE_NONE };
	struct ends back;

	write_ends(&ends);
	back = read_ends();
	cr_expect_null(back.run);
	cr_expect_eq(back.restarts, 2);
	cr_expect_eq(back.exit_code, EXIT_CODE_NONE);
	ends_clear(&back);
}

/* Killed between an end and its writing: the run is another one, and the engine has counted on. */
Test(ends_file, what_ended_after_it_was_written_is_counted_after_a_kill)
{
	struct instance instance = { .started = (char *)"b",
				     .status = INSTANCE_RESTARTING,
				     .restarts = 4,
				     .exit_code = 3,
				     .started_at = 1000,
				     .finished_at = 1001 };
	struct ends ends = { .run = (char *)"a", .restarts = 2, .count = 2, .exit_code = 3 };
	struct ends back;

	write_ends(&ends);
	back = read_ends();
	cr_expect(ends_observe(&back, &instance, 1001));
	cr_expect_eq(back.count, 4);
	ends_clear(&back);
	/* And not twice. */
	ends.run = (char *)"b";
	ends.restarts = ends.count = 4;
	write_ends(&ends);
	back = read_ends();
	(void)ends_observe(&back, &instance, 1001);
	cr_expect_eq(back.count, 4);
	ends_clear(&back);
}

Test(ends_file, what_is_missing_or_damaged_says_nothing)
{
	static const char *const texts[] = {
		"",
		"{",
		"[]",
		"{\"restarts\":1,\"count\":2}",
		"{\"restarts\":-1,\"count\":2,\"delay_ms\":0}",
		"{\"restarts\":1,\"count\":2,\"delay_ms\":0,\"exit_code\":256}",
		"{\"restarts\":1,\"count\":2,\"delay_ms\":0,\"other\":1}",
	};
	struct ends ends = read_ends();

	cr_expect_eq(ends.restarts, 0);
	cr_expect_eq(ends.count, 0);
	cr_assert_eq(folder_make(folder, 0700), 0);
	for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
		cr_assert_eq(file_write_atomic(file, texts[i], strlen(texts[i]), 0600, NULL), 0);
		ends = read_ends();
		cr_expect_eq(ends.restarts, 0, "%s", texts[i]);
		cr_expect_eq(ends.count, 0, "%s", texts[i]);
		cr_expect_eq(ends.exit_code, EXIT_CODE_NONE, "%s", texts[i]);
		ends_clear(&ends);
	}
}

Test(ends_file, no_name_leads_out_of_the_folder)
{
	const struct ends ends = { .count = 1 };
	struct error err = ERROR_INIT;

	cr_expect_eq(ends_file_write(data, "../env-a", &ends, &err), -EINVAL);
	cr_expect_eq(ends_file_write(data, "", &ends, &err), -EINVAL);
}
