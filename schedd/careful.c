/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the database refuses, it refuses whole: a batch does not say which of its rows is to blame,
 * and the next one would have it again. So for a while after a refusal environments are committed
 * one at a time; one whose own commit is refused waits by itself, and everything else goes on. */
#include "schedd/careful.h"

#include <stdio.h>

#include "lib/clock.h"
#include "lib/log.h"

#define FIRST_DELAY_MS 5000
#define MAX_DELAY_MS 300000
/* Whoever was refused together with it comes again within this time. */
#define CAREFUL_MS 60000

static bool is_careful(const struct scheduler *scheduler)
{
	return scheduler->careful_until_ms > clock_monotonic_ms();
}

bool careful_may_decide(const struct scheduler *scheduler)
{
	return !is_careful(scheduler) || (!scheduler->state.in_flight && !scheduler->open.first &&
					  scheduler->state.open.n == 0);
}

bool careful_waits(struct scheduler *scheduler, struct environment_entry *entry, uint64_t now_ms)
{
	if (entry->refused_delay_ms == 0)
		return false;
	if (entry->refused_until_ms > now_ms) {
		state_set_due(&scheduler->state, entry, entry->refused_until_ms);
		return true;
	}
	if (is_careful(scheduler))
		return false;
	/* Not among others: it is looked at again when it can be alone. */
	scheduler->careful_until_ms = now_ms + CAREFUL_MS;
	state_mark(&scheduler->state, entry);
	return true;
}

void careful_decided(struct scheduler *scheduler, const struct environment_entry *entry)
{
	if (is_careful(scheduler) && scheduler->state.open.n > 0)
		(void)snprintf(scheduler->suspect, sizeof(scheduler->suspect), "%s",
			       entry->entry.id);
}

void careful_committed(struct scheduler *scheduler)
{
	struct environment_entry *entry = state_environment(&scheduler->state, scheduler->suspect);

	if (entry)
		entry->refused_delay_ms = 0;
	scheduler->suspect[0] = '\0';
}

bool careful_refused(struct scheduler *scheduler, const char *message)
{
	struct environment_entry *entry = state_environment(&scheduler->state, scheduler->suspect);

	scheduler->careful_until_ms = clock_monotonic_ms() + CAREFUL_MS;
	scheduler->suspect[0] = '\0';
	if (!entry)
		return false;
	entry->refused_delay_ms = entry->refused_delay_ms == 0
					  ? FIRST_DELAY_MS
					  : MIN(2 * entry->refused_delay_ms, MAX_DELAY_MS);
	entry->refused_until_ms = clock_monotonic_ms() + entry->refused_delay_ms;
	log_error(
		entry->entry.id,
		"the database refuses what is to become of it; it waits, the others go on, and the "
		"next try is in %u s: %s",
		entry->refused_delay_ms / 1000, message);
	return true;
}
