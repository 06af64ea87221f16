/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Amounts: what is accepted, what it means to the last digit, and what is refused. */

#include <criterion/criterion.h>
#include <errno.h>

#include "schedctl/quantity.h"

struct sample {
	const char *text;
	int r;
	uint64_t value;
};

static void check(int (*parse)(const char *, uint64_t *), const struct sample *samples, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		uint64_t value = 4711;
		int r = parse(samples[i].text, &value);

		cr_expect_eq(r, samples[i].r, "\"%s\": %d, not %d", samples[i].text, r,
			     samples[i].r);
		cr_expect_eq(value, r < 0 ? 4711 : samples[i].value, "\"%s\" is %lu",
			     samples[i].text, (unsigned long)value);
	}
}

Test(quantity, cpu_parse)
{
	static const struct sample samples[] = {
		{ "2", 0, 2000 },
		{ "0.5", 0, 500 },
		{ "1.25", 0, 1250 },
		{ "0.001", 0, 1 },
		{ "1.500000000", 0, 1500 },
		{ "500m", 0, 500 },
		{ "1500m", 0, 1500 },
		{ "0", 0, 0 },
		{ "18446744073709551", 0, 18446744073709551000u },
		{ "18446744073709552", -ERANGE, 0 },
		{ "18446744073709551616", -ERANGE, 0 },
		{ "0.0005", -EINVAL, 0 },
		{ "0.5m", -EINVAL, 0 },
		{ "1.0000000000", -EINVAL, 0 },
		{ "", -EINVAL, 0 },
		{ "m", -EINVAL, 0 },
		{ "2.", -EINVAL, 0 },
		{ ".5", -EINVAL, 0 },
		{ "-1", -EINVAL, 0 },
		{ "+1", -EINVAL, 0 },
		{ " 1", -EINVAL, 0 },
		{ "1 ", -EINVAL, 0 },
		{ "1e3", -EINVAL, 0 },
		{ "2cores", -EINVAL, 0 },
		{ "500mm", -EINVAL, 0 },
		{ "0x10", -EINVAL, 0 },
	};

	check(cpu_parse, samples, ARRAY_SIZE(samples));
}

Test(quantity, memory_parse)
{
	static const struct sample samples[] = {
		{ "1073741824", 0, 1073741824 },
		{ "512M", 0, 536870912 },
		{ "512m", 0, 536870912 },
		{ "512Mi", 0, 536870912 },
		{ "512MiB", 0, 536870912 },
		{ "512MB", 0, 536870912 },
		{ "4G", 0, 4294967296 },
		{ "1.5Gi", 0, 1610612736 },
		{ "0.5T", 0, 549755813888 },
		{ "1k", 0, 1024 },
		{ "16777215T", 0, UINT64_C(16777215) << 40 },
		{ "16777216T", -ERANGE, 0 },
		{ "0.3", -EINVAL, 0 },
		{ "0.0001K", -EINVAL, 0 },
		{ "512X", -EINVAL, 0 },
		{ "512Mib ", -EINVAL, 0 },
		{ "512Mii", -EINVAL, 0 },
		{ "512 M", -EINVAL, 0 },
		{ "M", -EINVAL, 0 },
		{ "", -EINVAL, 0 },
		{ "-4G", -EINVAL, 0 },
	};

	check(memory_parse, samples, ARRAY_SIZE(samples));
}

Test(quantity, cpu_format)
{
	char buffer[QUANTITY_STRING_MAX];

	cr_expect_str_eq(cpu_format(0, buffer), "0");
	cr_expect_str_eq(cpu_format(2000, buffer), "2");
	cr_expect_str_eq(cpu_format(500, buffer), "0.5");
	cr_expect_str_eq(cpu_format(1, buffer), "0.001");
	cr_expect_str_eq(cpu_format(100000, buffer), "100");
	cr_expect_str_eq(cpu_format(UINT64_MAX, buffer), "18446744073709551.615");
}

Test(quantity, memory_format)
{
	char buffer[QUANTITY_STRING_MAX];

	cr_expect_str_eq(memory_format(0, buffer), "0B");
	cr_expect_str_eq(memory_format(1023, buffer), "1023B");
	cr_expect_str_eq(memory_format(1024, buffer), "1Ki");
	cr_expect_str_eq(memory_format(UINT64_C(512) << 20, buffer), "512Mi");
	cr_expect_str_eq(memory_format(UINT64_C(1536) << 20, buffer), "1.5Gi");
	cr_expect_str_eq(memory_format(UINT64_C(1000) << 30, buffer), "1000Gi");
	cr_expect_str_eq(memory_format(UINT64_MAX, buffer), "15.99Ei");
}

Test(quantity, age_format)
{
	char buffer[QUANTITY_STRING_MAX];

	cr_expect_str_eq(age_format(-5, buffer), "0s");
	cr_expect_str_eq(age_format(59, buffer), "59s");
	cr_expect_str_eq(age_format(60, buffer), "1m");
	cr_expect_str_eq(age_format(3599, buffer), "59m");
	cr_expect_str_eq(age_format(3600, buffer), "1h");
	cr_expect_str_eq(age_format(86399, buffer), "23h");
	cr_expect_str_eq(age_format(86400 * 400, buffer), "400d");
}
