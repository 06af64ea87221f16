/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Time: monotonic milliseconds for intervals, wall-clock seconds for what is stored and shown. */
#pragma once

#include "lib/util.h"

#define TIME_STRING_MAX sizeof("2027-01-01T00:00:00Z")

uint64_t clock_monotonic_ms(void); /* CLOCK_MONOTONIC */
uint64_t clock_boottime_ms(void);  /* CLOCK_BOOTTIME: it goes on while the machine sleeps */
uint64_t clock_monotonic_us(void); /* the same clock, for measuring */
int64_t clock_unix_seconds(void);  /* CLOCK_REALTIME */
int64_t clock_unix_ms(void);       /* the same clock */

/* RFC 3339 in UTC, seconds; parse also accepts a fraction, which it drops, and a numeric
 * offset. Years 1970…9999. -EINVAL otherwise. */
const char *time_format(int64_t seconds, char buffer[TIME_STRING_MAX]);
int time_parse(const char *text, int64_t *ret) _must_check_;

/* "90", "90s", "10m", "24h", "7d", "500ms" to milliseconds. -EINVAL, -ERANGE on overflow. */
int duration_parse(const char *text, uint64_t *ret_ms) _must_check_;
