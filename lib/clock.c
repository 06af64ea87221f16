/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Clocks, RFC 3339 times in UTC, and durations as people write them. */
#include "lib/clock.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

uint64_t clock_monotonic_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

uint64_t clock_boottime_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_BOOTTIME, &now);
	return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

uint64_t clock_monotonic_us(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
}

int64_t clock_unix_seconds(void)
{
	return time(NULL);
}

int64_t clock_unix_ms(void)
{
	struct timespec now = { 0 };

	(void)clock_gettime(CLOCK_REALTIME, &now);
	return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

const char *time_format(int64_t seconds, char buffer[TIME_STRING_MAX])
{
	time_t when = (time_t)seconds;
	struct tm tm = { 0 };

	if (!gmtime_r(&when, &tm) ||
	    strftime(buffer, TIME_STRING_MAX, "%Y-%m-%dT%H:%M:%SZ", &tm) == 0)
		buffer[0] = '\0';
	return buffer;
}

/* Exactly n digits; advances *text. */
static int take_digits(const char **text, int n, int *ret)
{
	int value = 0;

	for (int i = 0; i < n; i++, (*text)++) {
		if (**text < '0' || **text > '9')
			return -EINVAL;
		value = value * 10 + (**text - '0');
	}
	*ret = value;
	return 0;
}

static int take_char(const char **text, const char *allowed, char *ret)
{
	if (!**text || !strchr(allowed, **text))
		return -EINVAL;
	if (ret)
		*ret = **text;
	(*text)++;
	return 0;
}

/* "Z" or "+02:00" to seconds east of UTC. */
static int take_offset(const char **text, int *ret)
{
	int hours = 0, minutes = 0;
	char sign;

	if (take_char(text, "Zz+-", &sign) < 0)
		return -EINVAL;
	if (sign == '+' || sign == '-') {
		if (take_digits(text, 2, &hours) < 0 || take_char(text, ":", NULL) < 0 ||
		    take_digits(text, 2, &minutes) < 0 || hours > 23 || minutes > 59)
			return -EINVAL;
	}
	*ret = (hours * 60 + minutes) * (sign == '-' ? -60 : 60);
	return 0;
}

int time_parse(const char *text, int64_t *ret)
{
	struct tm tm = { 0 }, check;
	int year, month, offset;
	time_t seconds;

	if (take_digits(&text, 4, &year) < 0 || take_char(&text, "-", NULL) < 0 ||
	    take_digits(&text, 2, &month) < 0 || take_char(&text, "-", NULL) < 0 ||
	    take_digits(&text, 2, &tm.tm_mday) < 0 || take_char(&text, "Tt", NULL) < 0 ||
	    take_digits(&text, 2, &tm.tm_hour) < 0 || take_char(&text, ":", NULL) < 0 ||
	    take_digits(&text, 2, &tm.tm_min) < 0 || take_char(&text, ":", NULL) < 0 ||
	    take_digits(&text, 2, &tm.tm_sec) < 0)
		return -EINVAL;
	if (*text == '.') {
		text++;
		if (*text < '0' || *text > '9')
			return -EINVAL;
		while (*text >= '0' && *text <= '9')
			text++;
	}
	if (take_offset(&text, &offset) < 0 || *text || year < 1970)
		return -EINVAL;
	tm.tm_year = year - 1900;
	tm.tm_mon = month - 1;
	check = tm;
	seconds = timegm(&check);
	/* timegm turns the 31st of February into March: what comes back must be what went in */
	if (check.tm_year != tm.tm_year || check.tm_mon != tm.tm_mon ||
	    check.tm_mday != tm.tm_mday || check.tm_hour != tm.tm_hour ||
	    check.tm_min != tm.tm_min || check.tm_sec != tm.tm_sec)
		return -EINVAL;
	*ret = (int64_t)seconds - offset;
	return 0;
}

int duration_parse(const char *text, uint64_t *ret_ms)
{
	static const struct {
		const char *suffix;
		uint64_t ms;
	} units[] = { { "", 1000 },       { "ms", 1 },          { "s", 1000 },
		      { "m", 60 * 1000 }, { "h", 3600 * 1000 }, { "d", 86400 * 1000 } };
	uint64_t value = 0;

	if (*text < '0' || *text > '9')
		return -EINVAL;
	for (; *text >= '0' && *text <= '9'; text++)
		if (__builtin_mul_overflow(value, 10, &value) ||
		    __builtin_add_overflow(value, (uint64_t)(*text - '0'), &value))
			return -ERANGE;
	for (size_t i = 0; i < ARRAY_SIZE(units); i++) {
		if (strcmp(text, units[i].suffix) != 0)
			continue;
		if (__builtin_mul_overflow(value, units[i].ms, &value))
			return -ERANGE;
		*ret_ms = value;
		return 0;
	}
	return -EINVAL;
}
