/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Exponential back-off with jitter, for everything that is tried again. */
#pragma once

#include "lib/util.h"

struct backoff {
	uint32_t first_ms; /* the first delay */
	uint32_t max_ms;   /* no delay is longer */
	uint32_t attempts; /* failures since the last reset */
};

/* The delay before the next try: first_ms doubled for each failure up to max_ms, with the upper
 * half drawn at random so that many clients do not come back together. Counts the failure. */
uint32_t backoff_next_ms(struct backoff *backoff);
void backoff_reset(struct backoff *backoff);
