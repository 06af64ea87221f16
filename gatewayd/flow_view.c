/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Looking at the flow table: names of flows, what is live, and how fast accounts grow. It changes
 * nothing.
 */
#include "gatewayd/flow_table.h"

static uint32_t fold(uint64_t value)
{
	return (uint32_t)(value ^ value >> 32);
}

struct rates flow_table_rates(const struct flow_table *table, uint32_t account)
{
	const struct account_live *live = &table->account_live[account];
	const uint64_t *counts = NULL;
	struct rates rates = { 0 };
	/* The window of the last complete round, and not the one that has just begun. */
	uint32_t window = table->round_runs ? table->round - 1 : table->round;

	if (live->window == window)
		counts = live->current;
	else if (live->window == window + 1)
		counts = live->previous;
	/* The first window has all that was before it. */
	if (!counts || window < 2 || table->window_seconds <= 0)
		return rates;
	rates.bytes[CT_IN] = (double)counts[0] / table->window_seconds;
	rates.bytes[CT_OUT] = (double)counts[1] / table->window_seconds;
	rates.connections = (double)counts[2] / table->window_seconds;
	return rates;
}

double activity_decay(double activity, uint32_t windows)
{
	/* Nothing is left of it after a hundred. */
	if (windows > 100)
		return 0;
	while (windows-- > 0)
		activity *= 0.9;
	return activity;
}

double flow_table_activity(const struct flow_table *table, uint32_t account)
{
	const struct account_live *live = &table->account_live[account];

	return activity_decay(live->activity + (double)(live->current[0] + live->current[1]),
			      table->round - live->window);
}

bool flow_table_is_live(const struct flow_table *table, uint32_t flow)
{
	uint32_t last = table->round_runs ? table->round - 1 : table->round;

	return table->store.flows[flow].state == FLOW_LIVE && table->flow_live[flow].seen > 0 &&
	       table->flow_live[flow].seen >= last;
}

uint64_t flow_table_id(const struct flow_table *table, uint32_t flow)
{
	const struct flow *record = &table->store.flows[flow];
	const struct mapping_key *key = &table->store.accounts[record->account].key;
	uint64_t hash = HASH_SEED;

	hash = hash_bytes(hash, record->source.address.bytes, sizeof(record->source.address.bytes));
	hash = hash_bytes(hash, &record->source.port, sizeof(record->source.port));
	hash = hash_bytes(hash, key->address.bytes, sizeof(key->address.bytes));
	hash = hash_bytes(hash, &key->port, sizeof(key->port));
	hash = hash_bytes(hash, &key->protocol, sizeof(key->protocol));
	return (uint64_t)record->id << 32 | fold(hash);
}

uint32_t flow_table_find(const struct flow_table *table, uint64_t id)
{
	size_t cursor = slot_index_begin(&table->flow_index, (uint32_t)(id >> 32));
	uint32_t flow;

	while ((flow = slot_index_next(&table->flow_index, &cursor)) != SLOT_INDEX_NONE)
		if (table->store.flows[flow].state == FLOW_LIVE && flow_table_id(table, flow) == id)
			return flow;
	return FLOW_STORE_NONE;
}

struct ct_entry flow_table_entry(const struct flow_table *table, uint32_t flow)
{
	const struct flow *record = &table->store.flows[flow];
	const struct mapping_key *key = &table->store.accounts[record->account].key;

	return (struct ct_entry){
		.original = { .source = record->source,
			      .destination = { .address = key->address, .port = key->port },
			      .protocol = key->protocol },
		.id = record->id,
		.zone = record->zone,
	};
}
