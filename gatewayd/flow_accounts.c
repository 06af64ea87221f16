/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The accounts of the flow table: one for each mapping that has had connections, from its first to
 * the last word of its last one. Which connection counts for which is decided here.
 */
#include "gatewayd/flow_table_private.h"

#include <string.h>

#include "gatewayd/shape.h"
#include "lib/log.h"

#define NONE FLOW_STORE_NONE
/* A closed account waits so long for the last events of connections that no listing showed. */
#define CLOSED_SECONDS 30

uint32_t flow_accounts_hash(const void *owner, uint32_t account)
{
	const struct flow_table *table = owner;

	return (uint32_t)ledger_hash(&table->store.accounts[account].key);
}

static int reserve_live(struct flow_table *table, uint32_t index)
{
	void *array = table->account_live;
	int r = flow_table_reserve(&array, &table->n_account_live, sizeof(*table->account_live),
				   index);

	table->account_live = array;
	return r;
}

static uint32_t find_account(const struct flow_table *table, const struct mapping_key *key,
			     enum account_state state)
{
	size_t cursor = slot_index_begin(&table->account_index, (uint32_t)ledger_hash(key));
	uint32_t account;

	while ((account = slot_index_next(&table->account_index, &cursor)) != SLOT_INDEX_NONE) {
		const struct account *record = &table->store.accounts[account];

		if (record->state == state && mapping_key_equal(&record->key, key))
			return account;
	}
	return NONE;
}

/* Whose traffic it is; the same mapping led elsewhere is still theirs. */
static uint64_t owner_of(const struct entry *entry)
{
	struct shape_label label;

	shape_label_parse(entry->label, &label);
	return hash_bytes(HASH_SEED, label.environment, strlen(label.environment));
}

uint32_t flow_accounts_make(struct flow_table *table, const struct mapping_key *key, uint64_t owner,
			    enum account_state state)
{
	const struct account account = { .key = *key, .state = (uint8_t)state, .owner = owner };
	uint32_t index;

	if (flow_store_new_account(&table->store, &index) < 0)
		return NONE;
	if (reserve_live(table, index) == 0) {
		table->account_live[index] = (struct account_live){ .closed = table->time };
		flow_store_put_account(&table->store, index, &account);
		if (slot_index_add(&table->account_index, index) == 0) {
			if (state != ACCOUNT_CLOSED || index_list_add(&table->closed, index) == 0)
				return index;
			slot_index_remove(&table->account_index, index);
		}
	}
	flow_store_free_account(&table->store, index);
	return NONE;
}

static void close_account(struct flow_table *table, uint32_t account)
{
	table->store.accounts[account].state = ACCOUNT_CLOSED;
	table->account_live[account].closed = table->time;
	if (index_list_add(&table->closed, account) < 0)
		log_error("counters", "out of memory: an account is not given up");
}

static bool is_account_done(const struct flow_table *table, uint32_t account)
{
	const struct account_live *live = &table->account_live[account];

	return live->n_flows == 0 && table->time - live->closed >= CLOSED_SECONDS;
}

void flow_accounts_give_up(struct flow_table *table)
{
	size_t kept = 0;

	for (size_t i = 0; i < table->closed.n; i++) {
		uint32_t account = table->closed.items[i];

		if (!is_account_done(table, account)) {
			table->closed.items[kept++] = account;
			continue;
		}
		slot_index_remove(&table->account_index, account);
		flow_store_free_account(&table->store, account);
	}
	table->closed.n = kept;
}

/* One that leads elsewhere than its mapping is of an earlier life of the port, unless the mapping
 * was led elsewhere itself. */
uint32_t flow_accounts_attribute(struct flow_table *table, const struct ct_entry *entry)
{
	const struct mapping_key key = ct_entry_key(entry);
	const struct entry *mapping = ledger_find(table->ledger, &key);
	uint32_t account;

	if (mapping && (mapping->flags & ENTRY_INSTALLED)) {
		account = find_account(table, &key, ACCOUNT_OPEN);
		if (account != NONE && (table->store.accounts[account].flags & ACCOUNT_REPOINTED))
			return account;
		if (endpoint_equal(&mapping->installed, &entry->reply.source))
			return account != NONE ? account
					       : flow_accounts_make(table, &key, owner_of(mapping),
								    ACCOUNT_OPEN);
	}
	return find_account(table, &key, ACCOUNT_CLOSED);
}

void flow_accounts_note_rates(struct flow_table *table, uint32_t account,
			      const struct traffic *traffic, uint64_t connections)
{
	struct account_live *live = &table->account_live[account];

	if (live->window != table->round) {
		if (live->window + 1 == table->round)
			memcpy(live->previous, live->current, sizeof(live->previous));
		else
			memset(live->previous, 0, sizeof(live->previous));
		live->activity = activity_decay(
			live->activity + (double)(live->current[0] + live->current[1]),
			table->round - live->window);
		memset(live->current, 0, sizeof(live->current));
		live->window = table->round;
	}
	live->current[0] += traffic->bytes[CT_IN];
	live->current[1] += traffic->bytes[CT_OUT];
	live->current[2] += connections;
}

/* ---- mappings ---- */

bool flow_table_has_account(const struct flow_table *table, const struct mapping_key *key)
{
	return find_account(table, key, ACCOUNT_OPEN) != NONE;
}

void flow_table_mapping_changed(struct flow_table *table, const struct mapping_key *key,
				bool repointed)
{
	const struct entry *mapping = ledger_find(table->ledger, key);
	uint32_t account = find_account(table, key, ACCOUNT_OPEN);
	bool installed = mapping && (mapping->flags & ENTRY_INSTALLED);

	if (account != NONE &&
	    (!installed || table->store.accounts[account].owner != owner_of(mapping))) {
		close_account(table, account);
		return;
	}
	if (!installed || !repointed)
		return;
	if (account == NONE)
		account = flow_accounts_make(table, key, owner_of(mapping), ACCOUNT_OPEN);
	if (account != NONE)
		table->store.accounts[account].flags |= ACCOUNT_REPOINTED;
}

int flow_accounts_index(struct flow_table *table)
{
	uint32_t used = table->store.account_pool.used;
	int r = used > 0 ? reserve_live(table, used - 1) : 0;

	for (uint32_t i = 0; i < used && r == 0; i++) {
		if (table->store.accounts[i].state == ACCOUNT_FREE)
			continue;
		r = slot_index_add(&table->account_index, i);
		if (r == 0 && table->store.accounts[i].state == ACCOUNT_CLOSED)
			r = index_list_add(&table->closed, i);
	}
	return r;
}

/* ---- looking ---- */

const struct account *flow_table_account(const struct flow_table *table,
					 const struct mapping_key *key, uint32_t *ret_index)
{
	uint32_t account = find_account(table, key, ACCOUNT_OPEN);

	if (account == NONE)
		return NULL;
	if (ret_index)
		*ret_index = account;
	return &table->store.accounts[account];
}
