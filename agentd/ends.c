/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The count of ends. A run is known by its start; ends that nobody saw are in the engine's own
 * count of restarts. */
#include "agentd/ends.h"

#include <string.h>

/* What Docker waits before it starts again what has ended: at first, and at most. */
#define ENGINE_DELAY_FIRST_MS 100
#define ENGINE_DELAY_MAX_MS 60000

void ends_init(struct ends *ends)
{
	*ends = (struct ends){ .exit_code = EXIT_CODE_NONE };
}

void ends_clear(struct ends *ends)
{
	free(ends->run);
	ends_init(ends);
}

static bool is_end(const struct instance *instance)
{
	if (instance->stopped_on_request || instance->error)
		return false;
	return instance->status == INSTANCE_RESTARTING || instance->status == INSTANCE_EXITED;
}

static bool was_long(const struct instance *instance)
{
	return instance->finished_at - instance->started_at >= ENDS_FORGIVEN_MS / 1000;
}

/* How many ends there were since the last look, with this one. The engine's count goes on for the
 * container's whole life, and nobody may have looked for long: it says something only of one that
 * ends quickly. */
static unsigned count_new(const struct ends *ends, const struct instance *instance)
{
	if (instance->restarts <= ends->restarts || was_long(instance))
		return 1;
	return instance->restarts - ends->restarts;
}

static void lengthen_delay(struct ends *ends, const struct instance *instance, unsigned n)
{
	if (was_long(instance))
		ends->delay_ms = 0;
	while (n-- > 0 && ends->delay_ms < ENGINE_DELAY_MAX_MS)
		ends->delay_ms = ends->delay_ms
					 ? MIN(2 * ends->delay_ms, (uint32_t)ENGINE_DELAY_MAX_MS)
					 : ENGINE_DELAY_FIRST_MS;
}

static bool is_counted(const struct ends *ends, const struct instance *instance)
{
	return ends->run && strcmp(ends->run, instance->started) == 0;
}

static void count(struct ends *ends, const struct instance *instance)
{
	unsigned n = count_new(ends, instance);
	char *run = strdup(instance->started);

	lengthen_delay(ends, instance, n);
	ends->count += n;
	ends->exit_code = instance->exit_code;
	/* Without memory the same end may be counted twice. */
	free(ends->run);
	ends->run = run;
	ends->changed = true;
}

/* It has ended and was started again while nobody looked, be it before the first look: how it ended
 * last is not known. */
static void count_unseen(struct ends *ends, const struct instance *instance, int64_t now)
{
	unsigned n;

	if (instance->restarts <= ends->restarts ||
	    now - instance->started_at >= ENDS_FORGIVEN_MS / 1000)
		return;
	n = instance->restarts - ends->restarts;
	lengthen_delay(ends, instance, n);
	ends->count += n;
	ends->changed = true;
}

bool ends_observe(struct ends *ends, const struct instance *instance, int64_t now)
{
	const struct ends before = *ends;

	if (instance->stopped_on_request)
		ends_forgive(ends);
	if (is_end(instance) && !is_counted(ends, instance))
		count(ends, instance);
	if (instance->status == INSTANCE_RUNNING)
		count_unseen(ends, instance, now);
	ends->changed |= ends->restarts != instance->restarts;
	ends->restarts = instance->restarts;
	if (instance->status != INSTANCE_EXITED)
		ends->next_try = 0;
	if (instance->status == INSTANCE_RESTARTING)
		ends->next_try = instance->finished_at + (ends->delay_ms + 999) / 1000;
	return before.count != ends->count || before.exit_code != ends->exit_code ||
	       before.next_try != ends->next_try;
}

void ends_wait(struct ends *ends, int64_t now, uint64_t delay_ms)
{
	if (ends->count > 0)
		ends->next_try = now + (int64_t)(delay_ms + 999) / 1000;
}

void ends_forgive(struct ends *ends)
{
	ends->changed |= ends->count > 0 || ends->delay_ms > 0;
	ends->count = 0;
	ends->delay_ms = 0;
	ends->next_try = 0;
}
