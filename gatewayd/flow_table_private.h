/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What flow_table.c (connections) and flow_accounts.c (whose they are) share. */
#pragma once

#include "gatewayd/flow_table.h"

/* Makes room for what is known beside record number index; what is new is zeroed. -ENOMEM. */
int flow_table_reserve(void **array, size_t *allocated, size_t size, uint32_t index) _must_check_;

/* ---- flow_accounts.c; accounts are numbers, FLOW_STORE_NONE is none ---- */

/* Puts the store's accounts into the index. -ENOMEM. */
int flow_accounts_index(struct flow_table *table) _must_check_;
/* For the index; owner is the table. */
uint32_t flow_accounts_hash(const void *owner, uint32_t account);

uint32_t flow_accounts_make(struct flow_table *table, const struct mapping_key *key, uint64_t owner,
			    enum account_state state);
/* The account that a connection seen for the first time counts for. */
uint32_t flow_accounts_attribute(struct flow_table *table, const struct ct_entry *entry);
/* This much more counts for the account, as far as rates and activity go. */
void flow_accounts_note_rates(struct flow_table *table, uint32_t account,
			      const struct traffic *traffic, uint64_t connections);
/* Those that are closed, and whose last connection is long over. */
void flow_accounts_give_up(struct flow_table *table);
