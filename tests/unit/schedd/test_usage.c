/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What environments hold of a host: sums that come back to nothing. */
#include "schedd/usage.h"

#include <criterion/criterion.h>

static const struct environment_spec spec = { .cpu_milli = 500, .memory_bytes = 1000 };

static json_t *gpus(const char *a, int a_milli, const char *b, int b_milli)
{
	json_t *json = json_pack("[{s:s, s:i}, {s:s, s:i}]", "uuid", a, "milli", a_milli, "uuid", b,
				 "milli", b_milli);

	cr_assert(json);
	return json;
}

Test(usage, sums_go_up_and_come_back_to_nothing)
{
	_cleanup_json_ json_t *first = gpus("GPU-1", 300, "GPU-2", 1000);
	_cleanup_json_ json_t *second = gpus("GPU-1", 200, "GPU-3", 1);
	struct usage usage = { 0 };

	cr_assert_eq(usage_add(&usage, &spec, first), 0);
	cr_assert_eq(usage_add(&usage, &spec, second), 0);
	cr_assert_eq(usage_add(&usage, &spec, NULL), 0);
	cr_expect_eq(usage.cpu_milli, 1500);
	cr_expect_eq(usage.memory_bytes, 3000);
	cr_expect_eq(usage.environments, 3);
	cr_expect_eq(usage_of_gpu(&usage, "GPU-1"), 500);
	cr_expect_eq(usage_of_gpu(&usage, "GPU-2"), 1000);
	cr_expect_eq(usage_of_gpu(&usage, "GPU-3"), 1);
	cr_expect_eq(usage_of_gpu(&usage, "GPU-4"), 0);

	usage_remove(&usage, &spec, first);
	cr_expect_eq(usage_of_gpu(&usage, "GPU-1"), 200);
	cr_expect_eq(usage_of_gpu(&usage, "GPU-2"), 0);
	cr_expect_eq(usage.n_gpus, 2, "a GPU that nobody holds is forgotten");
	usage_remove(&usage, &spec, second);
	usage_remove(&usage, &spec, NULL);
	cr_expect_eq(usage.cpu_milli + usage.memory_bytes + usage.environments + usage.n_gpus, 0);
	usage_clear(&usage);
}

/* Sums that were made from rows which somebody changed by hand must not go round zero. */
Test(usage, taking_back_more_than_there_is_ends_at_nothing)
{
	_cleanup_json_ json_t *held = gpus("GPU-1", 100, "GPU-2", 100);
	_cleanup_json_ json_t *more = gpus("GPU-1", 900, "GPU-9", 5);
	struct usage usage = { 0 };

	cr_assert_eq(usage_add(&usage, &spec, held), 0);
	usage_remove(&usage, &spec, more);
	cr_expect_eq(usage_of_gpu(&usage, "GPU-1"), 0);
	cr_expect_eq(usage_of_gpu(&usage, "GPU-2"), 100);
	usage_remove(&usage, &spec, more);
	cr_expect_eq(usage.cpu_milli, 0);
	cr_expect_eq(usage.memory_bytes, 0);
	cr_expect_eq(usage.environments, 0);
	usage_clear(&usage);
	cr_expect_null(usage.gpus);
}
