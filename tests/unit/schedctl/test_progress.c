/* SPDX-License-Identifier: GPL-2.0-or-later */
/* How far an environment has come. */

#include <criterion/criterion.h>

#include "schedctl/progress.h"

static unsigned permille(const char *phase, const char *stage, const char *reason)
{
	_cleanup_json_ json_t *environment =
		json_pack("{s:s, s:s, s:s}", "phase", phase, "stage", stage, "reason", reason);

	return progress_permille(environment);
}

Test(progress, stages_in_order)
{
	cr_expect_eq(permille("pending", "", ""), 0);
	cr_expect_eq(permille("pending", "placing", ""), 0);
	cr_expect_eq(permille("creating", "pulling", ""), 200);
	cr_expect_eq(permille("creating", "creating", ""), 400);
	cr_expect_eq(permille("creating", "starting", ""), 600);
	cr_expect_eq(permille("creating", "publishing", ""), 800);
	cr_expect_eq(permille("running", "", ""), 1000);
}

Test(progress, percent_moves_within_the_stage)
{
	cr_expect_eq(permille("creating", "pulling", "layer 2 of 5, 50%"), 300);
	cr_expect_eq(permille("creating", "pulling", "100% of 3 layers"), 400);
	cr_expect_eq(permille("creating", "pulling", "9999%"), 400);
	cr_expect_eq(permille("creating", "pulling", "% done"), 200);
}

Test(progress, unknown_stage_is_no_progress)
{
	cr_expect_eq(permille("creating", "dreaming", "50%"), 0);
}

Test(progress, phase_with_stage)
{
	_cleanup_json_ json_t *creating =
		json_pack("{s:s, s:s}", "phase", "creating", "stage", "pulling");
	_cleanup_json_ json_t *running = json_pack("{s:s, s:s}", "phase", "running", "stage", "");
	char buffer[64];

	cr_expect_str_eq(progress_phase(creating, buffer, sizeof(buffer)), "creating/pulling");
	cr_expect_str_eq(progress_phase(running, buffer, sizeof(buffer)), "running");
}
