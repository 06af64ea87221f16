/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The truth in memory: every row as up to three versions. `committed` is what PostgreSQL has and
 * what readers and watchers see; `flight` belongs to the commit on its way; `draft` to the batch
 * that is still open. Decisions (placement, ports, lifecycle) look at the newest of them.
 *
 * It does no I/O: the committer moves batches between it and the store. What followers report is
 * kept beside the rows and is never stored.
 */
#pragma once

#include "lib/min_heap.h"
#include "schedd/hash.h"
#include "schedd/model.h"
#include "schedd/ports.h"
#include "schedd/usage.h"

struct entry {
	char id[RECORD_ID_MAX];
	enum record_kind kind;
	struct record *committed, *flight, *draft;
	UT_hash_handle hh; /* by id, in order of creation */
};

struct host_entry {
	struct entry entry;
	struct usage newest, committed;
	struct environment_entry *environments; /* by the newest version; list */
	uint64_t told;                          /* feed's serial when its watchers were told last */
	uint64_t last_seen_ms;                  /* monotonic; start counts as seen */
	/* Monotonic: what it may have been granted last, by whoever led then, is not newer. */
	uint64_t lease_from_ms;
	/* What ran there by a lease was given up by this revision while nothing was heard of it, or
	 * it registered by it: it has to have received that before it gets another lease. */
	uint64_t lost_revision;
	int64_t last_heartbeat;    /* Unix seconds; 0: not since our start */
	bool reported;             /* report is from this epoch */
	struct host_report report; /* sorted: see report_news.h */
	uint64_t looked_ms;        /* monotonic: when a report led to a look at all that is there */
	bool changed;              /* for placement: see host_views.h */
	struct host_entry *changed_prev, *changed_next;
	size_t view; /* its index there */
};

struct gateway_entry {
	struct entry entry;
	uint64_t last_seen_ms;
	int64_t last_heartbeat;
	bool reported;
	struct gateway_report report;
};

struct port_entry {
	struct entry entry;
	struct environment_entry *environment; /* NULL once that has gone */
	uint64_t withdrawing_since_ms; /* monotonic: when that was seen first; 0: it is not */
	uint64_t waited_ms;            /* before that, under other leaders */
};

struct customer_entry {
	struct entry entry;
	uint64_t told; /* as of a host */
};

struct token_entry {
	struct entry entry;
	int64_t last_used_at; /* Unix seconds; newer than the row's */
};

struct key_entry {
	struct entry entry;
	struct key_holder *holder;     /* NULL: nobody's */
	struct key_entry *prev, *next; /* of the same holder */
};

/* A caller that has keys, of which there is at least one. */
struct key_holder {
	char caller[ACTOR_MAX + 1];
	unsigned n;
	struct key_entry *keys; /* the oldest first; list */
	UT_hash_handle hh;
};

/* "CUSTOMER/NAME", "/NAME" for one without owner */
#define OWNED_NAME_MAX (CUSTOMER_NAME_MAX + 1 + ENVIRONMENT_NAME_MAX)

/* What the environments of a customer, of which there is at least one, come to. */
struct owner {
	char customer[CUSTOMER_NAME_MAX + 1];
	struct tally tally;
	UT_hash_handle hh;
};

struct environment_entry {
	struct entry entry;
	UT_hash_handle by_name;
	char owned_name[OWNED_NAME_MAX + 1];
	struct host_entry *host; /* by the newest version */
	struct environment_entry *host_prev, *host_next;
	struct port_entry *ports[ENVIRONMENT_SERVICES_MAX]; /* in the order of services */
	size_t n_ports;
	bool counted; /* in its owner's tally */
	bool dirty;   /* waits for the reconciler */
	struct environment_entry *dirty_prev, *dirty_next;
	bool waiting; /* a port of it waits for a gateway */
	struct environment_entry *waiting_prev, *waiting_next;
	uint64_t unready_since_ms; /* monotonic; 0: ready, or not published */
	uint64_t recheck_ms;       /* monotonic; 0: no need but for events */
	struct min_heap_node by_recheck;
	bool homeless; /* on no host, by the newest version */
	struct environment_entry *homeless_prev, *homeless_next;
	char *no_room;          /* why no other host takes it from its draining one; may be NULL */
	uint64_t told_revision; /* of the newest batch in which watchers were told of it */
	uint64_t refused_until_ms; /* monotonic; see careful.h */
	uint32_t refused_delay_ms; /* 0: the database takes it */
};

/* Who did what, for table events. */
struct audit {
	enum record_kind kind;
	char customer[CUSTOMER_NAME_MAX + 1]; /* whose it is; "": nobody's */
	char id[RECORD_ID_MAX];
	char actor[ACTOR_MAX + 1];
	const char *action; /* static */
	char message[REASON_MAX];
};

struct change {
	struct entry *entry;
	struct record *old; /* the committed version before; set while the batch is committed */
};

struct batch {
	struct change *changes;
	size_t n, capacity;
	struct audit *audits; /* one or a few for each change and request */
	size_t n_audits, audits_capacity;
	bool unaudited; /* there was no memory for one of them: it must not be committed */
	uint64_t from_revision, to_revision; /* once closed */
	bool copied;                         /* a standby's: what was audited is not in it */
};

struct state {
	uint64_t epoch, revision;  /* committed */
	uint64_t mapping_revision; /* the same, at which a gateway's item changed last */
	unsigned cpu_overcommit;   /* of hosts without their own, in percent */
	struct entry *tables[RECORD_KIND_MAX];
	struct environment_entry *names; /* live environments by owner and name */
	struct owner *owners;
	struct key_holder *key_holders;
	struct environment_entry *dirty;
	struct environment_entry *waiting;
	struct environment_entry *homeless;
	struct min_heap due;              /* environments by recheck_ms */
	struct host_entry *changed_hosts; /* by the newest version, or by what is on them */
	bool hosts_replaced;              /* there are others, or any may have changed */
	struct port_pool pool;
	struct batch open, flight;
	bool in_flight;
};

/* pool is taken over. */
void state_init(struct state *state, struct port_pool *pool);
void state_clear(struct state *state);

/* The entry of a table; NULL where there is none. */
struct entry *state_find(const struct state *state, enum record_kind kind, const char *id);
struct host_entry *state_host(const struct state *state, const char *id);
struct gateway_entry *state_gateway(const struct state *state, const char *id);
struct port_entry *state_port(const struct state *state, const struct mapping_key *key);
struct environment_entry *state_environment(const struct state *state, const char *id);
/* Names are unique among the live environments of one customer; customer NULL: of none. */
struct environment_entry *state_environment_named(const struct state *state, const char *customer,
						  const char *name);
struct customer_entry *state_customer(const struct state *state, const char *id);
struct token_entry *state_token(const struct state *state, const char *id);
struct key_entry *state_key(const struct state *state, const char *id);
unsigned state_count(const struct state *state, enum record_kind kind);

#define STATE_FOREACH(state, kind, entry_pointer)                                     \
	for (struct entry *_e = (state)->tables[kind], *_n = _e ? _e->hh.next : NULL; \
	     ((entry_pointer) = (__typeof__(entry_pointer))_e) != NULL;               \
	     _e = _n, _n = _e ? _e->hh.next : NULL)

/* The newest version; never NULL for an entry in a table. */
const struct record *entry_newest(const struct entry *entry);
/* Is a version on its way that readers will see? */
bool entry_is_changing(const struct entry *entry);
const struct host *host_newest(const struct host_entry *entry);
const struct gateway *gateway_newest(const struct gateway_entry *entry);
const struct port *port_newest(const struct port_entry *entry);
const struct environment *environment_newest(const struct environment_entry *entry);
const struct token *token_newest(const struct token_entry *entry);
const struct key *key_newest(const struct key_entry *entry);

/* The committed version, for readers; NULL where the row has not been committed yet. */
const struct host *host_committed(const struct host_entry *entry);
const struct gateway *gateway_committed(const struct gateway_entry *entry);
const struct port *port_committed(const struct port_entry *entry);
const struct environment *environment_committed(const struct environment_entry *entry);
const struct customer *customer_committed(const struct customer_entry *entry);
const struct token *token_committed(const struct token_entry *entry);

/* What a customer has, with what is being made. */
struct tally state_tally(const struct state *state, const char *customer);

/* How many keys a caller has, with those that are being made; its oldest is *ret_oldest, NULL where
 * there is none. */
unsigned state_count_keys(const struct state *state, const char *caller,
			  const struct key_entry **ret_oldest);

/* The percentage of a host's CPU that environments may have, and what that comes to. */
unsigned state_cpu_overcommit(const struct state *state, const struct host *host);
uint64_t state_host_cpu(const struct state *state, const struct host *host);

/* The customer that owns what a row is about; NULL: nobody. No row changes hands. */
const char *entry_owner(const struct entry *entry);

/* The revision that the open batch will have. */
uint64_t state_open_revision(const struct state *state);

/* A version in the open batch, to be edited until the batch is closed. NULL: no memory. A row that
 * is gone in the flight must not be edited. The fields that other rows' indices follow are changed
 * by the functions below only. */
struct host *state_edit_host(struct state *state, struct host_entry *entry);
struct gateway *state_edit_gateway(struct state *state, struct gateway_entry *entry);
struct port *state_edit_port(struct state *state, struct port_entry *entry);
struct environment *state_edit_environment(struct state *state, struct environment_entry *entry);
struct customer *state_edit_customer(struct state *state, struct customer_entry *entry);
struct token *state_edit_token(struct state *state, struct token_entry *entry);
struct key *state_edit_key(struct state *state, struct key_entry *entry);
/* The same for what only the next leader reads, as how long a host is silent: unless something else
 * of the row is edited as well, it keeps its revision, and watchers are not told. Nor is a standby,
 * whose copy nobody leads by. */
struct host *state_edit_host_quietly(struct state *state, struct host_entry *entry);
struct port *state_edit_port_quietly(struct state *state, struct port_entry *entry);

/* Adds a row to the open batch; takes record over, also on failure. -EEXIST where the key (or an
 * environment's name) is there, -ENOMEM. ret may be NULL. */
int state_add(struct state *state, struct record *record, struct entry **ret) _must_check_;
/* Adds a committed row at start: hosts before environments before ports. */
int state_load(struct state *state, struct record *record) _must_check_;

/* A standby's copy: takes a row that the leader has committed into the open batch, new or as
 * another version (record is taken over, also on failure), or notes there that one is gone. What is
 * gone comes first, in a batch of its own, for its key may have been given out again. */
int state_mirror(struct state *state, struct record *record) _must_check_;
int state_mirror_gone(struct state *state, enum record_kind kind, const char *id) _must_check_;

/* Gives the environment's resources on a host to it, or takes them back. Edits the environment's
 * host and gpus (borrowed; may be NULL). -ENOMEM. */
int state_place(struct state *state, struct environment_entry *environment, struct host_entry *host,
		json_t *gpus) _must_check_;
int state_release(struct state *state, struct environment_entry *environment) _must_check_;

/* Adds a line to the audit of the open batch. Without memory the batch is marked, and has to be
 * dropped: nothing is done of which nobody could read. */
void state_audit(struct state *state, const struct entry *entry, const char *actor,
		 const char *action, const char *format, ...) _printf_(5, 6);

/* Marks an environment for the reconciler. */
void state_mark(struct state *state, struct environment_entry *environment);
void state_mark_all(struct state *state);
void state_unmark(struct state *state, struct environment_entry *environment);
/* Notes whether a gateway's report concerns it, and marks all of these. */
void state_set_waiting(struct state *state, struct environment_entry *environment, bool waiting);
void state_mark_waiting(struct state *state);
/* Marks all that have no host. */
void state_mark_homeless(struct state *state);
/* It is to be looked at by this time, monotonic; with 0 by none. */
void state_set_due(struct state *state, struct environment_entry *environment, uint64_t ms);
uint64_t state_next_due_ms(const struct state *state); /* the earliest; 0: there is none */
/* Marks those whose time has come. */
void state_mark_due(struct state *state, uint64_t now_ms);

/* Of the hosts that have changed since it was taken last: one of them, or NULL. */
struct host_entry *state_take_changed_host(struct state *state);

/* Closes the open batch: it becomes state->flight, and a new one is open. False: it was empty. Not
 * while one is in flight. */
bool state_close_batch(struct state *state);
/* The same with nothing in it, where there is nothing: its commit shows who leads. */
void state_close_empty(struct state *state);
/* The same for a copy: the batch ends at the leader's revision, and rows keep theirs. Where nothing
 * is in it but the revision is another, the leader has edited quietly, and the batch tells that. */
bool state_close_mirror(struct state *state, uint64_t revision);
/* The flight is durable: its versions become the committed ones. The changes carry the versions
 * before them until state_finish_batch, which frees them and removes the rows that are gone. */
void state_commit_batch(struct state *state);
void state_finish_batch(struct state *state);
/* Forgets the open batch, or the flight and with it the open batch, which builds on it. */
void state_drop_open(struct state *state);
void state_drop_flight(struct state *state);
