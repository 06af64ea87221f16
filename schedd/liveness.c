/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Who is online: hosts and gateways by when they were heard of last. The rows change only when the
 * answer does, so heartbeats cost no commit. */
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

static void check_host(struct scheduler *scheduler, struct host_entry *entry, uint64_t now_ms)
{
	bool heard = is_heard(scheduler, entry->last_seen_ms, now_ms);
	struct host *host;

	/* One that is being removed has no other version any more. */
	if (host_newest(entry)->record.gone || host_newest(entry)->online == heard)
		return;
	host = state_edit_host(&scheduler->state, entry);
	if (!host)
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
	STATE_FOREACH(&scheduler->state, RECORD_HOST, host)
	{
		check_host(scheduler, host, now_ms);
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
	if (scheduler->oldest_seen_ms == UINT64_MAX)
		return 0;
	return MIN(scheduler->oldest_seen_ms + scheduler->config.offline_after_ms,
		   scheduler->liveness_ms + tick_ms(scheduler));
}
