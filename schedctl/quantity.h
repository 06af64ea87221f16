/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Amounts as people write and read them: CPU, memory, ages. Pure functions.
 */
#pragma once

#include "lib/util.h"

#define QUANTITY_STRING_MAX 32

/* Cores ("2", "0.5", "1.25") or thousandths of a core ("500m") to thousandths. -EINVAL for anything
 * else, a finer fraction included; -ERANGE where it does not fit. */
int cpu_parse(const char *text, uint64_t *ret_milli) _must_check_;

/* Bytes with an optional unit to bytes: "512M", "4Gi", "1.5G", "1073741824". K, M, G and T, in
 * either case, alone or followed by "i", "B" or "iB", all mean powers of 1024. -EINVAL for anything
 * else, a fraction of a byte included; -ERANGE where it does not fit. */
int memory_parse(const char *text, uint64_t *ret_bytes) _must_check_;

/* 2000 -> "2", 500 -> "0.5". Returns buffer. */
const char *cpu_format(uint64_t milli, char buffer[QUANTITY_STRING_MAX]);

/* In the largest unit that leaves a number of at least 1, with at most two decimals: "512Mi",
 * "1.5Gi". Returns buffer. */
const char *memory_format(uint64_t bytes, char buffer[QUANTITY_STRING_MAX]);

/* A span of seconds in its one largest unit, rounded down: "45s", "3m", "7h", "12d". Negative
 * spans (clocks differ) are "0s". Returns buffer. */
const char *age_format(int64_t seconds, char buffer[QUANTITY_STRING_MAX]);
