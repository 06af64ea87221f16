/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What of the machine an operator lets environments have. */
#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>

#include "agentd/resources.h"

Test(resources, meminfo)
{
	uint64_t bytes = 0;

	cr_assert_eq(resources_parse_meminfo("MemTotal:       16384 kB\nMemFree: 1 kB\n", &bytes),
		     0);
	cr_expect_eq(bytes, 16384 * 1024);
	cr_assert_eq(resources_parse_meminfo("A: 1 kB\nMemTotal:\t8 kB\n", &bytes), 0);
	cr_expect_eq(bytes, 8192);
}

Test(resources, meminfo_refuses)
{
	static const char *const texts[] = {
		"",
		"MemFree: 1 kB\n",
		"MemTotal:\n",
		"MemTotal: kB\n",
		"MemTotal: -1 kB\n",
		"MemTotal: 16384\n",
		"MemTotal: 16384 MB\n",
		"MemTotal: 99999999999999999999 kB\n",
		"MemTotal: 18014398509481984 kB\n",
		"XMemTotal: 1 kB\n",
	};
	uint64_t bytes;

	for (size_t i = 0; i < ARRAY_SIZE(texts); i++)
		cr_expect_eq(resources_parse_meminfo(texts[i], &bytes), -EINVAL, "%s", texts[i]);
}

Test(resources, all_less_the_reserve)
{
	struct capacity capacity;

	cr_assert_eq(resources_apply(
			     &(struct resource_limits){ .cpu_reserve = 500, .memory_reserve = 100 },
			     4, 1000, &capacity, NULL),
		     0);
	cr_expect_eq(capacity.cpu_milli, 3500);
	cr_expect_eq(capacity.memory_bytes, 900);
	cr_expect_eq(capacity.n_gpus, 0);
}

/* Several hosts of a lab share one machine, so fixed figures may be less, or more, than it has. */
Test(resources, fixed_figures_win)
{
	struct capacity capacity;

	cr_assert_eq(resources_apply(&(struct resource_limits){ .cpu_milli = 64000,
								.memory_bytes = 5,
								.cpu_reserve = 99999,
								.memory_reserve = 99999 },
				     4, 1000, &capacity, NULL),
		     0);
	cr_expect_eq(capacity.cpu_milli, 64000);
	cr_expect_eq(capacity.memory_bytes, 5);
}

Test(resources, a_reserve_of_everything_is_refused)
{
	struct capacity capacity;
	struct error err = ERROR_INIT;

	cr_expect_eq(resources_apply(&(struct resource_limits){ .cpu_reserve = 4000 }, 4, 1000,
				     &capacity, &err),
		     -ERANGE);
	cr_expect_str_eq(err.field, "cpu-reserve");
	err = ERROR_INIT;
	cr_expect_eq(resources_apply(&(struct resource_limits){ .memory_reserve = 1001 }, 4, 1000,
				     &capacity, &err),
		     -ERANGE);
	cr_expect_str_eq(err.field, "memory-reserve");
}

Test(resources, this_machine)
{
	struct capacity capacity;
	struct error err = ERROR_INIT;

	cr_assert_eq(resources_read(&(struct resource_limits){ 0 }, &capacity, &err), 0, "%s",
		     err.message);
	cr_expect_geq(capacity.cpu_milli, 1000);
	cr_expect_eq(capacity.cpu_milli % 1000, 0);
	cr_expect_gt(capacity.memory_bytes, 16 << 20);
	capacity_release(&capacity);
}
