/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The flow store: what has been counted, for each mapping and each live connection, in a file that
 * is mapped into memory, so that a killed process loses nothing of it. It knows how records are
 * kept and changed in one step; what they mean is flow_table.c's.
 *
 * A change names at most one account and one flow with all that they are afterwards. It is written
 * beside the records first and then done, so that whoever opens the store after a kill in the
 * middle does it once more: all values are absolute, and doing it twice is doing it once.
 *
 * Events of the kernel are received straight into the store's inbox. How many of them are done with
 * is part of a change, so that none is lost or counted twice either.
 */
#pragma once

#include "gatewayd/ctnetlink.h"
#include "lib/error.h"

#define FLOW_STORE_ACCOUNTS_MAX (UINT32_C(1) << 21)
#define FLOW_STORE_FLOWS_MAX (UINT32_C(1) << 22)
#define FLOW_STORE_NONE UINT32_MAX

/* Slots of the inbox, each for one message. */
#define INBOX_SLOTS 64
#define INBOX_SLOT_SIZE 1024

struct traffic {
	uint64_t bytes[CT_DIRECTION_MAX], packets[CT_DIRECTION_MAX];
};

struct totals {
	struct traffic traffic;
	uint64_t connections;
};

enum account_state {
	ACCOUNT_FREE,
	ACCOUNT_OPEN,   /* of a mapping that there is */
	ACCOUNT_CLOSED, /* of one that there was: its connections count for nobody any more */
};

enum account_flags {
	ACCOUNT_REPOINTED = 1 << 0, /* its connections may lead to earlier targets */
};

struct account {
	struct mapping_key key;
	uint8_t state; /* enum account_state */
	uint8_t flags; /* enum account_flags */
	uint64_t owner;
	struct totals totals;
};

enum flow_state {
	FLOW_FREE,
	FLOW_LIVE,
	FLOW_ENDED, /* a listing that runs may still show it */
};

struct flow {
	uint32_t account; /* whose key is its original destination */
	uint32_t id;      /* the kernel's */
	struct endpoint source, target;
	uint16_t zone;
	uint8_t state; /* enum flow_state */
	int64_t since; /* Unix seconds */
	struct traffic counted;
};

struct flow_change {
	uint32_t account, flow; /* indices; FLOW_STORE_NONE: none */
	struct account account_after;
	struct flow flow_after;
	struct totals totals_after;
	uint32_t inbox_done;
};

struct record_pool {
	uint32_t used;     /* records from here on have never been used */
	uint32_t reserved; /* records that the file has room for */
	uint32_t max;
	uint32_t *free; /* owned: used ones that are free again */
	size_t n_free, n_allocated;
};

struct flow_store {
	int fd; /* -1: in memory only */
	void *base;
	struct store_header *header;
	struct account *accounts;
	struct flow *flows;
	uint8_t *inbox; /* INBOX_SLOTS times INBOX_SLOT_SIZE */
	struct record_pool account_pool, flow_pool;
};

/* Opens or makes the file; path NULL keeps all in memory. What a kill left half done is finished.
 * A file that cannot be right is set aside as PATH.bad with a line in the log, and one of another
 * boot or network namespace is begun anew, since its connections are gone. */
int flow_store_open(struct flow_store *ret, const char *path, struct error *err) _must_check_;
void flow_store_close(struct flow_store *store); /* the file stays; zeroed is fine */

/* A free record, which counts as used when a change or flow_store_put_account makes it so.
 * -ENOSPC at the limit, or where the file system is full. */
int flow_store_new_account(struct flow_store *store, uint32_t *ret) _must_check_;
int flow_store_new_flow(struct flow_store *store, uint32_t *ret) _must_check_;
/* Makes a new account's record, or gives one back that no flow refers to. */
void flow_store_put_account(struct flow_store *store, uint32_t index,
			    const struct account *account);
void flow_store_free_account(struct flow_store *store, uint32_t index);
void flow_store_free_flow(struct flow_store *store, uint32_t index);

/* All of it or nothing, whenever the process may be killed. The first half alone is what a kill
 * leaves; the next opening does the second. */
void flow_store_write_down(struct flow_store *store, const struct flow_change *change);
void flow_store_commit(struct flow_store *store, const struct flow_change *change);

/* Of all accounts that there are and were. */
const struct totals *flow_store_totals(const struct flow_store *store);

/* Messages of the inbox from this one on are not done with. */
uint32_t flow_store_inbox_done(const struct flow_store *store);
void flow_store_set_inbox_done(struct flow_store *store, uint32_t done);
/* The first n messages are done with and leave the inbox empty for the next. */
void flow_store_clear_inbox(struct flow_store *store, uint32_t n);
