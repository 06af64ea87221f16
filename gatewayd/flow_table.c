/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The flow table: which connections are whose, and what they carried. It reads no socket; the
 * records are in flow_store.c.
 */
#include "gatewayd/flow_table_private.h"

#include <errno.h>
#include <linux/netfilter/nf_conntrack_common.h>
#include <string.h>

#define NONE FLOW_STORE_NONE
/* A flow that no listing has shown for so long has ended unheard: it began before anybody
 * listened. What was counted of it stays counted. The event of an end may come late, as long as
 * there is no room for it, and must find its flow. */
#define MISSING_SECONDS 600
/* Flows that one round looks at for that. */
#define SWEEP_STEP 20000

/* ---- records ---- */

/* The kernel's id is a keyed hash already. */
static uint32_t hash_flow(const void *owner, uint32_t flow)
{
	const struct flow_table *table = owner;

	return table->store.flows[flow].id;
}

int flow_table_reserve(void **array, size_t *allocated, size_t size, uint32_t index)
{
	size_t wanted = *allocated ? *allocated : 64;
	void *grown;

	if (index < *allocated)
		return 0;
	while (wanted <= index)
		wanted *= 2;
	grown = reallocarray(*array, wanted, size);
	if (!grown)
		return -ENOMEM;
	memset((uint8_t *)grown + *allocated * size, 0, (wanted - *allocated) * size);
	*array = grown;
	*allocated = wanted;
	return 0;
}

static int reserve_live(struct flow_table *table, uint32_t index)
{
	void *array = table->flow_live;
	int r = flow_table_reserve(&array, &table->n_flow_live, sizeof(*table->flow_live), index);

	table->flow_live = array;
	return r;
}

/* ---- flows ---- */

static bool is_flow_of(const struct flow_table *table, uint32_t flow, const struct ct_entry *entry)
{
	const struct flow *record = &table->store.flows[flow];
	const struct mapping_key key = ct_entry_key(entry);

	return record->id == entry->id && record->zone == entry->zone &&
	       endpoint_equal(&record->source, &entry->original.source) &&
	       mapping_key_equal(&table->store.accounts[record->account].key, &key);
}

static uint32_t find_flow(const struct flow_table *table, const struct ct_entry *entry,
			  enum flow_state state)
{
	size_t cursor = slot_index_begin(&table->flow_index, entry->id);
	uint32_t flow;

	while ((flow = slot_index_next(&table->flow_index, &cursor)) != SLOT_INDEX_NONE)
		if (table->store.flows[flow].state == state && is_flow_of(table, flow, entry))
			return flow;
	return NONE;
}

static struct flow record_of(const struct ct_entry *entry, uint32_t account, enum flow_state state,
			     int64_t wall)
{
	return (struct flow){
		.account = account,
		.id = entry->id,
		.source = entry->original.source,
		.target = entry->reply.source,
		.zone = entry->zone,
		.state = (uint8_t)state,
		.since = entry->started > 0 ? entry->started : wall,
	};
}

/* A record for a flow that is not in the table yet, and room for it in the index: one that could
 * not be found again would be counted again. It is in use with the change that fills it. */
static uint32_t new_flow(struct flow_table *table)
{
	uint32_t flow;

	if (flow_store_new_flow(&table->store, &flow) < 0)
		return NONE;
	if (reserve_live(table, flow) < 0 || slot_index_reserve(&table->flow_index) < 0) {
		flow_store_free_flow(&table->store, flow);
		return NONE;
	}
	return flow;
}

static void drop_flow(struct flow_table *table, uint32_t flow)
{
	table->account_live[table->store.flows[flow].account].n_flows--;
	slot_index_remove(&table->flow_index, flow);
	flow_store_free_flow(&table->store, flow);
}

static uint64_t grown(uint64_t now, uint64_t before)
{
	/* Less than before: somebody set the kernel's counters to zero. */
	return now >= before ? now - before : now;
}

static struct traffic growth(const struct ct_entry *entry, const struct traffic *counted)
{
	struct traffic growth;

	for (int d = 0; d < CT_DIRECTION_MAX; d++) {
		growth.bytes[d] = grown(entry->bytes[d], counted->bytes[d]);
		growth.packets[d] = grown(entry->packets[d], counted->packets[d]);
	}
	return growth;
}

static void add(struct totals *totals, const struct traffic *traffic, uint64_t connections)
{
	for (int d = 0; d < CT_DIRECTION_MAX; d++) {
		totals->traffic.bytes[d] += traffic->bytes[d];
		totals->traffic.packets[d] += traffic->packets[d];
	}
	totals->connections += connections;
}

/* Adds to account and totals in one step with the flow's new state. flow may be NONE. */
static void commit(struct flow_table *table, uint32_t account, const struct traffic *traffic,
		   uint64_t connections, uint32_t flow, const struct flow *after,
		   uint32_t inbox_done)
{
	struct flow_change change = {
		.account = account,
		.flow = flow,
		.account_after = table->store.accounts[account],
		.totals_after = *flow_store_totals(&table->store),
		.inbox_done = inbox_done,
	};

	if (flow != NONE)
		change.flow_after = *after;
	add(&change.account_after.totals, traffic, connections);
	add(&change.totals_after, traffic, connections);
	flow_store_commit(&table->store, &change);
	flow_accounts_note_rates(table, account, traffic, connections);
}

static struct traffic traffic_of(const struct ct_entry *entry)
{
	struct traffic traffic;

	memcpy(traffic.bytes, entry->bytes, sizeof(traffic.bytes));
	memcpy(traffic.packets, entry->packets, sizeof(traffic.packets));
	return traffic;
}

/* Takes up a flow with what it has carried so far. Where there is no room for it, it is counted
 * when it ends. Returns its number or NONE. */
static uint32_t take_up(struct flow_table *table, const struct ct_entry *entry, uint32_t account,
			const struct traffic *traffic, enum flow_state state, uint32_t inbox_done,
			int64_t wall)
{
	struct flow record = record_of(entry, account, state, wall);
	uint32_t flow = new_flow(table);

	if (flow == NONE) {
		table->untracked++;
		return NONE;
	}
	record.counted = *traffic;
	table->flow_live[flow] = (struct flow_live){ .seen_at = table->time };
	commit(table, account, traffic, 1, flow, &record, inbox_done);
	table->account_live[account].n_flows++;
	(void)!slot_index_add(&table->flow_index, flow); /* room for it is reserved */
	return flow;
}

static void see_live(struct flow_table *table, uint32_t flow, const struct ct_entry *entry)
{
	struct flow_live *live = &table->flow_live[flow];

	if (live->seen != table->round)
		table->n_seen++;
	live->seen = table->round;
	live->seen_at = table->time;
	live->status = (uint16_t)entry->status;
	live->tcp_state = entry->tcp_state;
}

static void update(struct flow_table *table, uint32_t flow, const struct ct_entry *entry)
{
	struct flow record = table->store.flows[flow];
	const struct traffic now = traffic_of(entry);
	struct traffic more;

	if (memcmp(&now, &record.counted, sizeof(now)) == 0)
		return;
	more = growth(entry, &record.counted);
	record.counted = now;
	commit(table, record.account, &more, 0, flow, &record,
	       flow_store_inbox_done(&table->store));
}

void flow_table_see(struct flow_table *table, const struct ct_entry *entry, int64_t wall)
{
	const struct traffic traffic = traffic_of(entry);
	uint32_t flow, account;

	if (!ct_entry_is_translated(entry) || (entry->status & IPS_DYING))
		return;
	flow = find_flow(table, entry, FLOW_LIVE);
	if (flow != NONE) {
		update(table, flow, entry);
	} else if (find_flow(table, entry, FLOW_ENDED) != NONE) {
		return; /* this part of the listing is older than the event of its end */
	} else {
		account = flow_accounts_attribute(table, entry);
		if (account == NONE)
			return;
		flow = take_up(table, entry, account, &traffic, FLOW_LIVE,
			       flow_store_inbox_done(&table->store), wall);
		if (flow == NONE)
			return;
	}
	see_live(table, flow, entry);
}

void flow_table_claim(struct flow_table *table, const struct ct_entry *entry, int64_t wall)
{
	/* A listing that runs may have older counts on the way: what it carried comes with its
	 * end. */
	const struct traffic nothing = { 0 };
	const struct mapping_key key = ct_entry_key(entry);
	uint32_t account, flow;

	if (!table->ledger || !ct_entry_is_translated(entry) ||
	    find_flow(table, entry, FLOW_LIVE) != NONE ||
	    find_flow(table, entry, FLOW_ENDED) != NONE)
		return;
	account = flow_accounts_attribute(table, entry);
	if (account == NONE)
		account = flow_accounts_make(table, &key, 0, ACCOUNT_CLOSED);
	if (account == NONE)
		return;
	flow = take_up(table, entry, account, &nothing, FLOW_LIVE,
		       flow_store_inbox_done(&table->store), wall);
	if (flow != NONE)
		table->flow_live[flow].seen = table->round;
}

/* Ends a flow of the table. While a listing runs it stays, so that an older part of it does not
 * bring it back. */
static void end_known(struct flow_table *table, uint32_t flow, const struct ct_entry *entry,
		      uint32_t inbox_done)
{
	struct flow record = table->store.flows[flow];
	const struct traffic more = growth(entry, &record.counted);

	record.state = FLOW_ENDED;
	record.counted = traffic_of(entry);
	commit(table, record.account, &more, 0, flow, &record, inbox_done);
	if (!table->round_runs || index_list_add(&table->ended, flow) < 0)
		drop_flow(table, flow);
}

static void end_unknown(struct flow_table *table, const struct ct_entry *entry, uint32_t inbox_done,
			int64_t wall)
{
	const struct traffic traffic = traffic_of(entry);
	uint32_t account = flow_accounts_attribute(table, entry), flow = NONE;

	if (account == NONE) {
		flow_store_set_inbox_done(&table->store, inbox_done);
		return;
	}
	if (table->round_runs)
		flow = take_up(table, entry, account, &traffic, FLOW_ENDED, inbox_done, wall);
	if (flow == NONE)
		commit(table, account, &traffic, 1, NONE, NULL, inbox_done);
	else if (index_list_add(&table->ended, flow) < 0)
		drop_flow(table, flow);
}

void flow_table_end(struct flow_table *table, const struct ct_entry *entry, uint32_t place,
		    int64_t wall)
{
	uint32_t flow;

	if (!ct_entry_is_translated(entry)) {
		flow_store_set_inbox_done(&table->store, place + 1);
		return;
	}
	flow = find_flow(table, entry, FLOW_LIVE);
	if (flow != NONE)
		end_known(table, flow, entry, place + 1);
	else
		end_unknown(table, entry, place + 1, wall);
}

/* ---- rounds ---- */

void flow_table_begin_round(struct flow_table *table)
{
	table->round++;
	table->round_runs = true;
	table->n_seen = 0;
}

/* Flows that no listing shows any more, and whose end no event told. */
static void drop_missing(struct flow_table *table)
{
	uint32_t used = table->store.flow_pool.used;

	for (uint32_t i = 0; i < MIN(used, (uint32_t)SWEEP_STEP); i++) {
		uint32_t flow = table->sweep = table->sweep + 1 < used ? table->sweep + 1 : 0;

		if (table->store.flows[flow].state == FLOW_LIVE &&
		    table->time - MAX(table->flow_live[flow].seen_at, table->started) >
			    MISSING_SECONDS)
			drop_flow(table, flow);
	}
}

void flow_table_end_round(struct flow_table *table, bool complete, uint64_t now)
{
	table->round_runs = false;
	for (size_t i = 0; i < table->ended.n; i++)
		drop_flow(table, table->ended.items[i]);
	table->ended.n = 0;
	if (!complete)
		return;
	table->n_live = table->n_seen;
	table->window_seconds = MAX((double)(now - table->window_began) / 1000.0, 0.001);
	table->window_began = now;
	table->time = (uint32_t)(now / 1000);
	drop_missing(table);
	flow_accounts_give_up(table);
}

/* ---- start ---- */

static int index_flows(struct flow_table *table)
{
	uint32_t used = table->store.flow_pool.used;
	int r = used > 0 ? reserve_live(table, used - 1) : 0;

	for (uint32_t i = 0; i < used && r == 0; i++) {
		const struct flow *flow = &table->store.flows[i];

		/* No listing of an earlier process runs any more. */
		if (flow->state == FLOW_ENDED)
			flow_store_free_flow(&table->store, i);
		if (flow->state != FLOW_LIVE)
			continue;
		table->account_live[flow->account].n_flows++;
		r = slot_index_add(&table->flow_index, i);
	}
	return r;
}

int flow_table_open(struct flow_table *ret, const char *path, struct error *err)
{
	struct flow_store store;
	int r;

	r = flow_store_open(&store, path, err);
	if (r < 0)
		return r;
	memset(ret, 0, sizeof(*ret));
	ret->store = store;
	ret->account_index = (struct slot_index){ .hash = flow_accounts_hash, .owner = ret };
	ret->flow_index = (struct slot_index){ .hash = hash_flow, .owner = ret };
	r = flow_accounts_index(ret);
	if (r == 0)
		r = index_flows(ret);
	if (r == 0)
		return 0;
	flow_table_close(ret);
	return error_set(err, r, "internal", NULL, "out of memory");
}

void flow_table_close(struct flow_table *table)
{
	flow_store_close(&table->store);
	slot_index_clear(&table->account_index);
	slot_index_clear(&table->flow_index);
	free(table->flow_live);
	free(table->account_live);
	free(table->ended.items);
	free(table->closed.items);
	memset(table, 0, sizeof(*table));
}

/* Its mapping was led elsewhere, and the process that did it was killed before it said so. */
static void note_repointed(struct flow_table *table, const struct flow *flow)
{
	struct account *account = &table->store.accounts[flow->account];
	const struct entry *mapping = ledger_find(table->ledger, &account->key);

	if (account->state == ACCOUNT_OPEN && mapping && (mapping->flags & ENTRY_INSTALLED) &&
	    !endpoint_equal(&mapping->installed, &flow->target))
		account->flags |= ACCOUNT_REPOINTED;
}

void flow_table_start(struct flow_table *table, const struct ledger *ledger, uint64_t now)
{
	table->ledger = ledger;
	table->window_began = now;
	table->time = table->started = (uint32_t)(now / 1000);
	for (uint32_t i = 0; i < table->store.account_pool.used; i++) {
		const struct mapping_key key = table->store.accounts[i].key;

		if (table->store.accounts[i].state == ACCOUNT_OPEN)
			flow_table_mapping_changed(table, &key, false);
	}
	for (uint32_t i = 0; i < table->store.flow_pool.used; i++)
		if (table->store.flows[i].state == FLOW_LIVE)
			note_repointed(table, &table->store.flows[i]);
}
