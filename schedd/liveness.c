/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Who is online: hosts and gateways by when they were heard of last. The rows change only when the
 * answer does, so heartbeats cost no commit. But silence does: now and then a row says how long it
 * has lasted, quietly, so that leaders that follow each other quickly find a host offline all the
 * same, and wait for the end of its lease once and not each from its own start. */
#include <inttypes.h>

#include "lib/clock.h"
#include "lib/log.h"
#include "schedd/scheduler_private.h"

static bool is_heard(const struct scheduler *scheduler, uint64_t last_seen_ms, uint64_t now_ms)
{
	return now_ms - last_seen_ms < scheduler->config.offline_after_ms;
}

static void tell(struct scheduler *scheduler, const struct entry *entry, bool online)
{
	state_audit(&scheduler->state, entry, "schedd", online ? "online" : "offline", "%s",
		    online ? "heard of again" : "not heard of in time");
	if (online)
		log_info(entry->id, "%s is online", record_kind_name(entry->kind));
	else
		log_warning(entry->id, "%s is offline: not heard of for %u ms",
			    record_kind_name(entry->kind), scheduler->config.offline_after_ms);
}

/* ---- silence ---- */

/* A row is worth writing for no less. */
static uint64_t step_ms(const struct scheduler *scheduler)
{
	return MAX(scheduler->config.offline_after_ms / 2, 1u);
}

/* While it is online, what counts is when it was heard of. After that it is the end of the lease
 * that it may have been given last, for which no pause is forgiven. */
static uint64_t silence_ms(const struct host_entry *entry, bool heard, uint64_t now_ms)
{
	return now_ms - (heard ? entry->last_seen_ms : entry->lease_from_ms);
}

/* Nothing is waited for that is longer. */
static uint64_t longest_ms(const struct scheduler *scheduler)
{
	const struct scheduler_config *config = &scheduler->config;

	return config->lease_ms > 0 ? config->lease_ms + config->lease_margin_ms : 0;
}

/* What the row should say of its silence, in whole steps. */
static uint64_t written_ms(const struct scheduler *scheduler, const struct host_entry *entry,
			   bool heard, uint64_t now_ms)
{
	uint64_t step = step_ms(scheduler), silence = silence_ms(entry, heard, now_ms);

	if (!heard)
		silence = MIN(silence, longest_ms(scheduler) + step);
	return silence - silence % step;
}

static bool silence_lasts(const struct scheduler *scheduler, const struct host_entry *entry)
{
	const struct host *host = host_newest(entry);

	return !host->record.gone && !host->online && host->silent_ms < longest_ms(scheduler);
}

bool liveness_is_settled(const struct host_entry *host)
{
	const struct record *const versions[] = { host->entry.committed, host->entry.flight,
						  host->entry.draft };

	for (size_t i = 0; i < ARRAY_SIZE(versions); i++)
		if (versions[i] && !((const struct host *)versions[i])->online)
			return false;
	return true;
}

/* ---- who is online ---- */

static void check_host(struct scheduler *scheduler, struct host_entry *entry, uint64_t now_ms)
{
	bool heard = is_heard(scheduler, entry->last_seen_ms, now_ms);
	uint64_t silent_ms = written_ms(scheduler, entry, heard, now_ms);
	bool changed = host_newest(entry)->online != heard;
	struct host *host;

	/* One that is being removed has no other version any more. */
	if (host_newest(entry)->record.gone ||
	    (!changed && host_newest(entry)->silent_ms == silent_ms))
		return;
	host = changed ? state_edit_host(&scheduler->state, entry)
		       : state_edit_host_quietly(&scheduler->state, entry);
	if (!host)
		return;
	host->silent_ms = silent_ms;
	if (!changed)
		return;
	host->online = heard;
	host->status_since = clock_unix_seconds();
	tell(scheduler, &entry->entry, heard);
	scheduler_mark_host(scheduler, entry);
	scheduler->capacity_changed = true;
}

static void check_gateway(struct scheduler *scheduler, struct gateway_entry *entry, uint64_t now_ms)
{
	bool heard = is_heard(scheduler, entry->last_seen_ms, now_ms);
	struct gateway *gateway;

	if (gateway_newest(entry)->record.gone || gateway_newest(entry)->online == heard)
		return;
	gateway = state_edit_gateway(&scheduler->state, entry);
	if (!gateway)
		return;
	gateway->online = heard;
	gateway->status_since = clock_unix_seconds();
	tell(scheduler, &entry->entry, heard);
	state_mark_all(&scheduler->state);
	scheduler->ports_changed = true;
}

/* It looks this often, so that it knows when it could not. */
static uint64_t tick_ms(const struct scheduler *scheduler)
{
	return MAX(scheduler->config.offline_after_ms / 4, 25u);
}

/* While this process stood still it heard nobody, and what was sent meanwhile waits to be read:
 * everybody gets that time back. */
static void forgive_own_pause(struct scheduler *scheduler, uint64_t now_ms)
{
	uint64_t expected = scheduler->liveness_ms + 2 * tick_ms(scheduler), gap;
	struct gateway_entry *gateway;
	struct host_entry *host;

	if (scheduler->liveness_ms == 0 || now_ms <= expected)
		return;
	gap = now_ms - scheduler->liveness_ms;
	log_warning("liveness", "looks again after %" PRIu64 " ms: nobody is blamed for them", gap);
	STATE_FOREACH(&scheduler->state, RECORD_HOST, host)
	if (host_newest(host)->online)
		host->last_seen_ms = MIN(host->last_seen_ms + gap, now_ms);
	STATE_FOREACH(&scheduler->state, RECORD_GATEWAY, gateway)
	if (gateway_newest(gateway)->online)
		gateway->last_seen_ms = MIN(gateway->last_seen_ms + gap, now_ms);
}

static void remember_oldest(struct scheduler *scheduler, bool online, uint64_t last_seen_ms)
{
	if (online)
		scheduler->oldest_seen_ms = MIN(scheduler->oldest_seen_ms, last_seen_ms);
}

void liveness_run(struct scheduler *scheduler)
{
	uint64_t now_ms = clock_monotonic_ms();
	struct gateway_entry *gateway;
	struct host_entry *host;

	forgive_own_pause(scheduler, now_ms);
	scheduler->liveness_ms = now_ms;
	scheduler->followers_changed = false;
	scheduler->oldest_seen_ms = UINT64_MAX;
	scheduler->silence_lasts = false;
	STATE_FOREACH(&scheduler->state, RECORD_HOST, host)
	{
		check_host(scheduler, host, now_ms);
		scheduler->silence_lasts |= silence_lasts(scheduler, host);
		remember_oldest(scheduler,
				host_newest(host)->online && !host_newest(host)->record.gone,
				host->last_seen_ms);
	}
	STATE_FOREACH(&scheduler->state, RECORD_GATEWAY, gateway)
	{
		check_gateway(scheduler, gateway, now_ms);
		remember_oldest(scheduler,
				gateway_newest(gateway)->online &&
					!gateway_newest(gateway)->record.gone,
				gateway->last_seen_ms);
	}
}

/* Asked at each turn, so it looks at no row: who was heard of meanwhile makes the next look come
 * too early at worst. */
uint64_t liveness_due_ms(const struct scheduler *scheduler)
{
	uint64_t tick = scheduler->liveness_ms + tick_ms(scheduler);

	if (scheduler->oldest_seen_ms == UINT64_MAX)
		return scheduler->silence_lasts ? tick : 0;
	return MIN(scheduler->oldest_seen_ms + scheduler->config.offline_after_ms, tick);
}

static uint64_t before(uint64_t now_ms, uint64_t span_ms)
{
	return now_ms > span_ms ? now_ms - span_ms : 0;
}

/* A silent one has half of its time left at least: it may be looking for its new leader. */
void liveness_start(struct scheduler *scheduler)
{
	uint64_t now_ms = clock_monotonic_ms();
	struct gateway_entry *gateway;
	struct host_entry *entry;

	scheduler->liveness_ms = scheduler->oldest_seen_ms = 0;
	STATE_FOREACH(&scheduler->state, RECORD_HOST, entry)
	{
		const struct host *host = host_newest(entry);
		uint64_t silent_ms = MIN(host->silent_ms, step_ms(scheduler));

		entry->last_seen_ms = host->online ? before(now_ms, silent_ms) : 0;
		entry->lease_from_ms = host->online ? now_ms : before(now_ms, host->silent_ms);
	}
	STATE_FOREACH(&scheduler->state, RECORD_GATEWAY, gateway)
	gateway->last_seen_ms = gateway_newest(gateway)->online ? now_ms : 0;
}
