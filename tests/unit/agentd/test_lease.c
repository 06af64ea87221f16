/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A lease ends so long after the report that was acknowledged, also across a restart, and not
 * across a boot. */
#include <criterion/criterion.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#include "agentd/lease.h"
#include "lib/file.h"
#include "tests/unit/lib/syncs.h"

static char folder[64], path[96];

static void setup(void)
{
	snprintf(folder, sizeof(folder), "/tmp/test-lease-XXXXXX");
	cr_assert(mkdtemp(folder));
	snprintf(path, sizeof(path), "%s/lease.json", folder);
}

static void teardown(void)
{
	unlink(path);
	cr_expect_eq(rmdir(folder), 0);
}

TestSuite(lease, .init = setup, .fini = teardown);

static void init(struct lease *lease)
{
	struct error err = ERROR_INIT;

	cr_assert_eq(lease_init(lease, folder, &err), 0, "%s", err.message);
}

static void renew(struct lease *lease, uint64_t sent_ms)
{
	struct error err = ERROR_INIT;

	cr_assert_eq(lease_renew(lease, sent_ms, 5000, &err), 0, "%s", err.message);
}

static void write_file(const char *text)
{
	cr_assert_eq(file_write_atomic(path, text, strlen(text), 0600, NULL), 0);
}

Test(lease, nothing_was_granted_before_the_first_answer)
{
	struct lease lease;

	init(&lease);
	cr_expect_eq(lease_left_ms(&lease, 1000), 0);
	lease_clear(&lease);
}

Test(lease, it_counts_from_when_the_report_was_sent)
{
	struct lease lease;

	init(&lease);
	renew(&lease, 10000);
	cr_expect_eq(lease_left_ms(&lease, 10000), 5000);
	cr_expect_eq(lease_left_ms(&lease, 14999), 1);
	cr_expect_eq(lease_left_ms(&lease, 15000), 0);
	cr_expect_eq(lease_left_ms(&lease, 90000), 0);
	lease_clear(&lease);
}

/* It is written by the event loop, every few seconds. */
Test(lease, it_waits_for_no_disk)
{
	struct lease lease, next;

	init(&lease);
	renew(&lease, 10000);
	cr_expect_eq(syncs, 0);
	init(&next);
	cr_expect_eq(lease_left_ms(&next, 10000), 5000);
	lease_clear(&next);
	lease_clear(&lease);
}

Test(lease, a_late_answer_takes_nothing_back)
{
	struct lease lease;

	init(&lease);
	renew(&lease, 10000);
	renew(&lease, 9000);
	cr_expect_eq(lease_left_ms(&lease, 10000), 5000);
	lease_clear(&lease);
}

Test(lease, a_restart_neither_shortens_nor_lengthens_it)
{
	struct lease lease, again;

	init(&lease);
	renew(&lease, 10000);
	renew(&lease, 10500); /* not worth a write: what is kept is older, and so is safe */
	lease_clear(&lease);
	init(&again);
	cr_expect_eq(lease_left_ms(&again, 10000), 5000);
	cr_expect_eq(lease_left_ms(&again, 15000), 0);
	renew(&again, 12000);
	lease_clear(&again);
	init(&again);
	cr_expect_eq(lease_left_ms(&again, 15000), 2000);
	lease_clear(&again);
}

Test(lease, another_boot_and_a_damaged_file_grant_nothing)
{
	static const char *const files[] = {
		"{\"boot\":\"00000000-0000-0000-0000-000000000000\",\"granted_ms\":10000,\"length_ms\":0}",
		"{\"granted_ms\":10000,\"length_ms\":0}",
		"{\"boot\":",
		"",
	};

	for (size_t i = 0; i < ARRAY_SIZE(files); i++) {
		struct lease lease;

		write_file(files[i]);
		init(&lease);
		cr_expect_eq(lease_left_ms(&lease, 10000), 0, "%s", files[i]);
		lease_clear(&lease);
	}
}

Test(lease, a_file_that_cannot_be_written_is_told)
{
	struct lease lease;
	struct error err = ERROR_INIT;

	init(&lease);
	free(lease.path);
	lease.path = strdup("/nowhere/lease.json");
	cr_expect_lt(lease_renew(&lease, 10000, 5000, &err), 0);
	cr_expect(*err.message);
	/* It holds all the same, for as long as agentd runs. */
	cr_expect_eq(lease_left_ms(&lease, 10000), 5000);
	lease_clear(&lease);
}

Test(lease, a_length_of_nothing_is_for_ever)
{
	struct lease lease;
	struct error err = ERROR_INIT;

	init(&lease);
	cr_assert_eq(lease_renew(&lease, 10000, 0, &err), 0);
	cr_expect_eq(lease_left_ms(&lease, 99999999), UINT64_MAX);
	/* and shorter again, at once, also for the next start */
	cr_assert_eq(lease_renew(&lease, 10001, 5000, &err), 0);
	lease_clear(&lease);
	init(&lease);
	cr_expect_eq(lease_left_ms(&lease, 20000), 0);
	lease_clear(&lease);
}
