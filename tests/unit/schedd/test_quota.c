/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Limits, sums, and what is over them. */
#include "schedd/quota.h"

#include <criterion/criterion.h>
#include <errno.h>

static struct environment_spec asks(uint64_t cpu, uint64_t memory, uint32_t gpu, uint32_t gpu_milli)
{
	return (struct environment_spec){ .cpu_milli = cpu,
					  .memory_bytes = memory,
					  .gpu = gpu,
					  .gpu_milli = gpu_milli,
					  .n_services = 2 };
}

static bool exceeds(const struct quota *quota, const struct tally *used,
		    const struct environment_spec *spec, enum quota_kind *kind)
{
	struct tally asked = tally_of(spec);

	return quota_is_exceeded(quota, used, &asked, kind);
}

Test(quota, without_limits_everything_goes)
{
	const struct environment_spec spec = asks(INT64_MAX, INT64_MAX, 64, 999);
	struct tally used = tally_of(&spec);
	enum quota_kind kind;
	struct quota quota;

	quota_unlimit(&quota);
	tally_add(&used, &used);
	tally_add(&used, &used);
	cr_expect_not(exceeds(&quota, &used, &spec, &kind));
}

Test(quota, each_limit_is_reached_and_not_passed)
{
	static const struct {
		enum quota_kind kind;
		uint64_t limit; /* what two environments and no third have */
	} rows[] = {
		{ QUOTA_ENVIRONMENTS, 2 }, { QUOTA_CPU, 2000 }, { QUOTA_MEMORY, 20 },
		{ QUOTA_GPU, 3 },          { QUOTA_PORTS, 4 },
	};
	const struct environment_spec spec = asks(1000, 10, 1, 500);

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct tally used = { 0 }, one = tally_of(&spec);
		enum quota_kind kind = QUOTA_MAX;
		struct quota quota;

		quota_unlimit(&quota);
		quota.limits[rows[i].kind] = rows[i].limit;
		for (int n = 0; n < 2; n++) {
			cr_expect_not(exceeds(&quota, &used, &spec, &kind), "row %zu", i);
			tally_add(&used, &one);
		}
		cr_assert(exceeds(&quota, &used, &spec, &kind), "row %zu", i);
		cr_expect_eq(kind, rows[i].kind);
		tally_remove(&used, &one);
		cr_expect_not(exceeds(&quota, &used, &spec, &kind), "row %zu", i);
	}
}

Test(quota, who_has_more_than_it_may_can_ask_for_none_of_it)
{
	const struct environment_spec big = asks(1000, 10, 4, 0), small = asks(1000, 10, 0, 0);
	struct tally used = tally_of(&big);
	enum quota_kind kind;
	struct quota quota;

	quota_unlimit(&quota);
	quota.limits[QUOTA_GPU] = 1;
	cr_expect(exceeds(&quota, &used, &big, &kind));
	cr_expect_not(exceeds(&quota, &used, &small, &kind));
}

Test(quota, json_is_read_strictly_and_written_as_it_was)
{
	_cleanup_json_ json_t *good =
		json_pack("{s:i, s:n, s:i}", "environments", 0, "gpu", "ports", 7);
	_cleanup_json_ json_t *bad = json_pack("{s:i}", "gpus", 1);
	_cleanup_json_ json_t *big = json_pack("{s:I}", "gpu", (json_int_t)INT64_MAX);
	_cleanup_json_ json_t *back = NULL, *wanted = NULL;
	struct error err = ERROR_INIT;
	struct quota quota;

	cr_assert_eq(quota_decode(good, &quota, &err), 0);
	back = quota_encode(&quota);
	wanted = json_pack("{s:i, s:n, s:n, s:n, s:i}", "environments", 0, "cpu_milli",
			   "memory_bytes", "gpu", "ports", 7);
	cr_expect(json_equal(back, wanted));
	cr_expect_eq(quota_decode(bad, &quota, &err), -EINVAL);
	cr_expect_str_eq(err.code, "unknown_field");
	err = ERROR_INIT;
	cr_expect_eq(quota_decode(big, &quota, &err), -ERANGE);
}

Test(quota, gpus_in_use_have_thousandths)
{
	const struct environment_spec spec = asks(1000, 10, 1, 500);
	struct tally used = tally_of(&spec);
	_cleanup_json_ json_t *some = quota_encode_used(&used, QUOTA_GPU), *whole = NULL;

	cr_expect_eq(json_real_value(some), 1.5);
	tally_add(&used, &used);
	whole = quota_encode_used(&used, QUOTA_GPU);
	cr_expect(json_is_integer(whole));
	cr_expect_eq(json_integer_value(whole), 3);
}
