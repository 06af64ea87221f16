/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Exponential back-off with jitter. */
#include "lib/backoff.h"

#include "lib/random.h"

uint32_t backoff_next_ms(struct backoff *backoff)
{
	uint64_t delay = backoff->first_ms;

	for (uint32_t i = 0; i < backoff->attempts && delay < backoff->max_ms; i++)
		delay *= 2;
	if (delay > backoff->max_ms)
		delay = backoff->max_ms;
	if (backoff->attempts < UINT32_MAX)
		backoff->attempts++;
	return (uint32_t)(delay - delay / 2) + random_below((uint32_t)(delay / 2) + 1);
}

void backoff_reset(struct backoff *backoff)
{
	backoff->attempts = 0;
}
