/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The flow table: which connections are whose, and what they carried. Listings of the kernel and
 * its events of ended connections both add what is new to the mapping's account, whichever comes
 * first, so that totals only grow and nothing counts twice. It reads no socket; the records are in
 * flow_store.c, and which account a connection counts for is flow_accounts.c's.
 *
 * An account is made with the first connection of a mapping. It ends with its mapping, or when the
 * mapping changes hands (its environment); the next life of that port has an account of its own.
 */
#pragma once

#include "gatewayd/flow_store.h"
#include "gatewayd/ledger.h"
#include "gatewayd/slot_index.h"

/* What is known of a flow beside its record, as of the listing that showed it last. */
struct flow_live {
	uint32_t seen;    /* the round; 0: not since the start */
	uint32_t seen_at; /* the table's time then */
	uint16_t status;
	uint8_t tcp_state;
};

struct rates {
	double bytes[CT_DIRECTION_MAX], connections; /* a second */
};

struct account_live {
	uint32_t n_flows;                 /* that refer to it, ended ones included */
	uint32_t closed;                  /* the table's time when it was closed */
	uint32_t window;                  /* that current counts for */
	uint64_t current[3], previous[3]; /* bytes in, bytes out, connections */
	double activity; /* bytes up to this window, each window's worth nine tenths of the next */
};

struct flow_table {
	struct flow_store store;
	const struct ledger *ledger; /* borrowed; NULL before flow_table_start */
	struct slot_index account_index, flow_index;
	struct flow_live *flow_live; /* owned, as is account_live */
	struct account_live *account_live;
	size_t n_flow_live, n_account_live; /* allocated */
	struct index_list ended;            /* flows that a running listing may still show */
	struct index_list closed;           /* accounts */
	uint32_t round; /* that runs or ran last; windows of rates are rounds too */
	bool round_runs;
	uint32_t time;         /* monotonic seconds, as of the last round's end */
	uint32_t started;      /* the same of the start */
	uint32_t sweep;        /* where to look next for flows that ended unheard */
	size_t n_seen;         /* flows of the running round */
	size_t n_live;         /* flows of the last complete round */
	uint64_t untracked;    /* connections that found no room */
	uint64_t window_began; /* monotonic ms, as is now everywhere */
	double window_seconds; /* of the previous window */
};

/* path NULL: in memory only. The table must not be moved afterwards. */
int flow_table_open(struct flow_table *ret, const char *path, struct error *err) _must_check_;
void flow_table_close(struct flow_table *table);

/* The ledger is filled: from here on connections are counted. Accounts of mappings that are gone
 * are closed. */
void flow_table_start(struct flow_table *table, const struct ledger *ledger, uint64_t now);

/* ---- what the kernel says ---- */

/* A listing begins. What is seen until it ends is of this round. */
void flow_table_begin_round(struct flow_table *table);
/* It is complete, or was given up: then nothing follows from what it did not show. */
void flow_table_end_round(struct flow_table *table, bool complete, uint64_t now);
/* A listing shows this entry. */
void flow_table_see(struct flow_table *table, const struct ct_entry *entry, int64_t wall);
/* This entry is about to be deleted because of its mapping, which may be gone already. */
void flow_table_claim(struct flow_table *table, const struct ct_entry *entry, int64_t wall);
/* The message of the inbox at this place says that the entry has ended, with its last counts. */
void flow_table_end(struct flow_table *table, const struct ct_entry *entry, uint32_t place,
		    int64_t wall);

/* ---- what the mappings do ---- */

/* Whether a mapping of this key has an open account. */
bool flow_table_has_account(const struct flow_table *table, const struct mapping_key *key);
/* The mapping has changed in the kernel: ends its account where it is gone or has changed hands.
 * repointed: its connections to the earlier target stay its own. */
void flow_table_mapping_changed(struct flow_table *table, const struct mapping_key *key,
				bool repointed);

/* ---- looking ---- */

/* The open account of a mapping; NULL where nothing has been counted. */
const struct account *flow_table_account(const struct flow_table *table,
					 const struct mapping_key *key, uint32_t *ret_index);
struct rates flow_table_rates(const struct flow_table *table, uint32_t account);
/* How much it carried of late: the more, and the more lately, the larger. */
double flow_table_activity(const struct flow_table *table, uint32_t account);
/* What activity is after so many further windows. */
double activity_decay(double activity, uint32_t windows);
/* Whether the last complete round showed it, or the one that runs. */
bool flow_table_is_live(const struct flow_table *table, uint32_t flow);
/* The API's name of a flow: unique, and the same as long as it lives. */
uint64_t flow_table_id(const struct flow_table *table, uint32_t flow);
/* FLOW_STORE_NONE where there is none. */
uint32_t flow_table_find(const struct flow_table *table, uint64_t id);
/* As much of the kernel's entry as a request to delete it needs. */
struct ct_entry flow_table_entry(const struct flow_table *table, uint32_t flow);
