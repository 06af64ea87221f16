/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The count of ends: one for each run, those that nobody saw, and what makes it begin anew. */
#include <criterion/criterion.h>

#include "agentd/ends.h"

#define NOW 1002 /* runs of these tests began at 1000 */

static struct instance ended(const char *run, enum instance_status status, unsigned restarts,
			     int64_t seconds)
{
	return (struct instance){ .started = (char *)run,
				  .status = status,
				  .restarts = restarts,
				  .exit_code = 3,
				  .started_at = 1000,
				  .finished_at = 1000 + seconds };
}

Test(ends, each_run_is_counted_once)
{
	struct instance first = ended("a", INSTANCE_RESTARTING, 1, 0);
	struct instance second = ended("b", INSTANCE_RESTARTING, 2, 0);
	struct ends ends;

	ends_init(&ends);
	cr_expect_eq(ends.exit_code, EXIT_CODE_NONE);
	cr_expect(ends_observe(&ends, &first, NOW));
	cr_expect_not(ends_observe(&ends, &first, NOW));
	cr_expect_eq(ends.count, 1);
	cr_expect_eq(ends.exit_code, 3);
	cr_expect(ends_observe(&ends, &second, NOW));
	cr_expect_eq(ends.count, 2);
	ends_clear(&ends);
}

Test(ends, runs_that_nobody_saw_count_too)
{
	struct instance first = ended("a", INSTANCE_RESTARTING, 1, 0);
	struct instance later = ended("f", INSTANCE_RESTARTING, 6, 0);
	struct ends ends;

	ends_init(&ends);
	(void)ends_observe(&ends, &first, NOW);
	(void)ends_observe(&ends, &later, NOW);
	cr_expect_eq(ends.count, 6);
	ends_clear(&ends);
}

/* At agentd's own start: the engine's count is of the container's whole life. */
Test(ends, the_first_look_believes_the_engine_only_of_a_quick_end)
{
	struct instance quick = ended("z", INSTANCE_RESTARTING, 7, 1);
	struct instance slow = ended("z", INSTANCE_RESTARTING, 7, 3600);
	struct ends ends;

	ends_init(&ends);
	(void)ends_observe(&ends, &quick, NOW);
	cr_expect_eq(ends.count, 7);
	ends_clear(&ends);
	(void)ends_observe(&ends, &slow, NOW);
	cr_expect_eq(ends.count, 1);
	ends_clear(&ends);
}

Test(ends, what_was_asked_for_or_never_began_is_no_end)
{
	struct instance stopped = ended("a", INSTANCE_EXITED, 0, 5);
	struct instance failed = ended("a", INSTANCE_EXITED, 0, 5);
	struct instance runs = ended("b", INSTANCE_RUNNING, 0, 5);
	struct ends ends;

	stopped.stopped_on_request = true;
	failed.error = (char *)"no such command";
	ends_init(&ends);
	cr_expect_not(ends_observe(&ends, &stopped, NOW));
	cr_expect_not(ends_observe(&ends, &failed, NOW));
	cr_expect_not(ends_observe(&ends, &runs, NOW));
	cr_expect_eq(ends.count, 0);
	cr_expect_eq(ends.exit_code, EXIT_CODE_NONE);
	ends_clear(&ends);
}

/* It ended and was started again between two looks. */
Test(ends, a_run_that_began_unseen_tells_of_the_ends_before_it)
{
	struct instance runs = ended("a", INSTANCE_RUNNING, 0, 0);
	struct instance again = ended("c", INSTANCE_RUNNING, 2, 0);
	struct instance next = ended("c", INSTANCE_RESTARTING, 3, 0);
	struct ends ends;

	ends_init(&ends);
	(void)ends_observe(&ends, &runs, NOW);
	cr_expect(ends_observe(&ends, &again, NOW));
	cr_expect_eq(ends.count, 2);
	cr_expect_not(ends_observe(&ends, &again, NOW));
	cr_expect_eq(ends.exit_code, EXIT_CODE_NONE, "nobody saw it");
	(void)ends_observe(&ends, &next, NOW);
	cr_expect_eq(ends.count, 3);
	ends_clear(&ends);
}

/* The agentd before was killed before it ever ended, and so has kept nothing. */
Test(ends, a_first_look_tells_of_the_ends_before_it)
{
	struct instance runs = ended("c", INSTANCE_RUNNING, 2, 0);
	struct instance next = ended("c", INSTANCE_RESTARTING, 3, 0);
	struct ends ends;

	ends_init(&ends);
	cr_expect(ends_observe(&ends, &runs, NOW));
	cr_expect(ends.changed);
	cr_expect_eq(ends.count, 2);
	cr_expect_eq(ends.exit_code, EXIT_CODE_NONE, "nobody saw it");
	(void)ends_observe(&ends, &next, NOW);
	cr_expect_eq(ends.count, 3);
	cr_expect_eq(ends.exit_code, 3);
	ends_clear(&ends);
	/* For long by now. */
	cr_expect_not(ends_observe(&ends, &runs, 1000 + ENDS_FORGIVEN_MS / 1000));
	cr_expect_eq(ends.count, 0);
	ends_clear(&ends);
}

/* Nobody looked for days: what has run well since is no crash loop. */
Test(ends, one_that_runs_for_long_is_not_blamed_for_ends_that_nobody_saw)
{
	struct instance runs = ended("a", INSTANCE_RUNNING, 0, 0);
	struct instance again = ended("z", INSTANCE_RUNNING, 9, 0);
	struct ends ends;

	ends_init(&ends);
	(void)ends_observe(&ends, &runs, NOW);
	cr_expect_not(ends_observe(&ends, &again, 1000 + ENDS_FORGIVEN_MS / 1000));
	cr_expect_eq(ends.count, 0);
	ends_clear(&ends);
}

/* Another go was asked for while nobody looked. */
Test(ends, what_was_stopped_on_request_is_forgiven)
{
	struct instance instance = ended("a", INSTANCE_RESTARTING, 6, 0);
	struct ends ends;

	ends_init(&ends);
	(void)ends_observe(&ends, &instance, NOW);
	instance.stopped_on_request = true;
	instance.status = INSTANCE_EXITED;
	cr_expect(ends_observe(&ends, &instance, NOW));
	cr_expect_eq(ends.count, 0);
	ends_clear(&ends);
}

Test(ends, it_says_when_there_is_something_to_keep)
{
	struct instance runs = ended("a", INSTANCE_RUNNING, 0, 0);
	struct instance instance = ended("a", INSTANCE_RESTARTING, 1, 0);
	struct ends ends;

	ends_init(&ends);
	(void)ends_observe(&ends, &runs, NOW);
	cr_expect_not(ends.changed, "it never ended");
	(void)ends_observe(&ends, &instance, NOW);
	cr_expect(ends.changed);
	ends.changed = false;
	(void)ends_observe(&ends, &instance, NOW);
	cr_expect_not(ends.changed);
	ends_forgive(&ends);
	cr_expect(ends.changed);
	ends.changed = false;
	ends_forgive(&ends);
	cr_expect_not(ends.changed);
	ends_clear(&ends);
}

/* 100 ms, doubled up to a minute; times are whole seconds. */
Test(ends, the_next_try_is_as_far_as_the_engine_waits)
{
	static const struct {
		unsigned restarts;
		int64_t after_s;
	} rows[] = { { 1, 1 }, { 4, 1 }, { 5, 2 }, { 8, 13 }, { 10, 52 }, { 11, 60 }, { 90, 60 } };

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct instance instance = ended("a", INSTANCE_RESTARTING, rows[i].restarts, 0);
		struct ends ends;

		ends_init(&ends);
		(void)ends_observe(&ends, &instance, NOW);
		cr_expect_eq(ends.next_try, 1000 + rows[i].after_s, "%u restarts: %lld",
			     rows[i].restarts, (long long)ends.next_try);
		ends_clear(&ends);
	}
}

Test(ends, nothing_is_waited_for_once_it_runs)
{
	struct instance instance = ended("a", INSTANCE_RESTARTING, 3, 0);
	struct ends ends;

	ends_init(&ends);
	(void)ends_observe(&ends, &instance, NOW);
	cr_expect_gt(ends.next_try, 0);
	instance.status = INSTANCE_RUNNING;
	cr_expect(ends_observe(&ends, &instance, NOW));
	cr_expect_eq(ends.next_try, 0);
	cr_expect_eq(ends.count, 3);
	ends_clear(&ends);
}

Test(ends, forgiven_it_begins_anew_and_keeps_the_status)
{
	struct instance instance = ended("a", INSTANCE_RESTARTING, 9, 0);
	struct instance next = ended("b", INSTANCE_RESTARTING, 10, 60);
	struct ends ends;

	ends_init(&ends);
	(void)ends_observe(&ends, &instance, NOW);
	ends_forgive(&ends);
	cr_expect_eq(ends.count, 0);
	cr_expect_eq(ends.exit_code, 3);
	cr_expect_not(ends_observe(&ends, &instance, NOW) && ends.count > 0,
		      "it was counted again");
	(void)ends_observe(&ends, &next, NOW);
	cr_expect_eq(ends.count, 1);
	cr_expect_eq(ends.next_try, 1060 + 1);
	ends_clear(&ends);
}
