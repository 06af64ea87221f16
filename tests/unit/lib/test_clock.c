/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Times and durations as text: the calendar's limits, offsets and overflow. */
#include "lib/clock.h"

#include <criterion/criterion.h>
#include <errno.h>

Test(clock, never_goes_back)
{
	uint64_t us = clock_monotonic_us(), ms = clock_monotonic_ms();

	cr_expect_geq(ms, us / 1000);
	cr_expect_geq(clock_monotonic_us(), us);
	cr_expect_gt(clock_unix_seconds(), 1700000000);
}

Test(clock, times)
{
	static const struct {
		const char *text;
		int64_t seconds;
		const char *canonical;
	} cases[] = {
		{ "1970-01-01T00:00:00Z", 0, "1970-01-01T00:00:00Z" },
		{ "2000-02-29t23:59:59z", 951868799, "2000-02-29T23:59:59Z" },
		{ "2027-01-01T00:00:00.999999999Z", 1798761600, "2027-01-01T00:00:00Z" },
		{ "2027-01-01T02:00:00+02:00", 1798761600, "2027-01-01T00:00:00Z" },
		{ "2026-12-31T19:30:00-04:30", 1798761600, "2027-01-01T00:00:00Z" },
		{ "9999-12-31T23:59:59Z", 253402300799, "9999-12-31T23:59:59Z" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		char buffer[TIME_STRING_MAX];
		int64_t seconds = -1;

		cr_assert_eq(time_parse(cases[i].text, &seconds), 0, "%s", cases[i].text);
		cr_expect_eq(seconds, cases[i].seconds, "%s", cases[i].text);
		cr_expect_str_eq(time_format(seconds, buffer), cases[i].canonical);
	}
}

Test(clock, bad_times)
{
	static const char *const bad[] = {
		"",
		"2027",
		"2027-01-01",
		"2027-01-01T00:00:00",
		"2027-01-01 00:00:00Z",
		"2027-02-29T00:00:00Z",
		"2027-13-01T00:00:00Z",
		"2027-00-01T00:00:00Z",
		"2027-01-00T00:00:00Z",
		"2027-01-01T24:00:00Z",
		"2027-01-01T00:60:00Z",
		"2027-01-01T00:00:60Z",
		"2027-01-01T00:00:00.Z",
		"2027-01-01T00:00:00Zx",
		"2027-01-01T00:00:00+2:00",
		"2027-01-01T00:00:00+24:00",
		"1969-12-31T23:59:59Z",
		"2027-1-01T00:00:00Z",
		"-027-01-01T00:00:00Z",
	};

	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		int64_t seconds = 7;

		cr_expect_eq(time_parse(bad[i], &seconds), -EINVAL, "\"%s\"", bad[i]);
		cr_expect_eq(seconds, 7, "\"%s\"", bad[i]);
	}
}

Test(clock, durations)
{
	static const struct {
		const char *text;
		int result;
		uint64_t ms;
	} cases[] = {
		{ "0", 0, 0 },
		{ "90", 0, 90000 },
		{ "90s", 0, 90000 },
		{ "10m", 0, 600000 },
		{ "24h", 0, 86400000 },
		{ "7d", 0, 604800000 },
		{ "500ms", 0, 500 },
		{ "18446744073709551615ms", 0, UINT64_MAX },
		{ "18446744073709551616ms", -ERANGE, 7 },
		{ "18446744073709551615s", -ERANGE, 7 },
		{ "213503982335d", -ERANGE, 7 },
		{ "", -EINVAL, 7 },
		{ "s", -EINVAL, 7 },
		{ "-1s", -EINVAL, 7 },
		{ "+1s", -EINVAL, 7 },
		{ " 1s", -EINVAL, 7 },
		{ "1 s", -EINVAL, 7 },
		{ "1S", -EINVAL, 7 },
		{ "1.5s", -EINVAL, 7 },
		{ "1h30m", -EINVAL, 7 },
		{ "1w", -EINVAL, 7 },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		uint64_t ms = 7;

		cr_expect_eq(duration_parse(cases[i].text, &ms), cases[i].result, "\"%s\"",
			     cases[i].text);
		cr_expect_eq(ms, cases[i].ms, "\"%s\"", cases[i].text);
	}
}
