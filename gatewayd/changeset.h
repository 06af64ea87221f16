/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A changeset: what one caller wants changed, applied to the ledger's desired side with a journal
 * that can take it back. It knows nothing of the kernel.
 */
#pragma once

#include "gatewayd/ledger.h"
#include "lib/error.h"

struct change {
	bool removal;
	bool refused; /* its port leads nowhere instead: see the changeset's refusals */
	bool force;   /* also where the gateway itself listens on the port: see guard.h */
	struct mapping_key key;
	struct endpoint target; /* where not a removal */
	char *label;            /* owned; NULL: none */
	struct policy *policy;  /* owned; NULL: none */
	uint64_t revision;      /* of the mapping; 0: the changeset's */
};

struct refusal {
	struct mapping_key key;
	char reason[200];
};

struct changeset {
	struct change *changes; /* owned */
	size_t n_changes, allocated;
	size_t n_removed;         /* mappings that it has taken away; set by changeset_apply */
	bool replace;             /* what is not among the changes is removed */
	bool atomic;              /* all or nothing; else ports whose put is refused are closed */
	uint64_t revision;        /* of its sender; 0: the gateway counts itself */
	struct refusal *refusals; /* owned: what was left out, where not atomic */
	size_t n_refusals;
	struct error error; /* why it failed as a whole: errnum is not 0 */
	/* Exactly once: after the kernel has it, or with error set. The changeset is freed by the
	 * reconciler afterwards. */
	void (*on_done)(struct changeset *changeset, void *userdata);
	void *userdata;
	struct changeset *next; /* the reconciler's queues */
	uint64_t look;          /* the reconciler's: of the sweeper, which its answer waits for */
};

int changeset_new(struct changeset **ret, size_t n_changes) _must_check_;
/* One more change, empty; those before it may be elsewhere afterwards. NULL: out of memory. */
struct change *changeset_add(struct changeset *changeset);
void changeset_free(struct changeset *changeset); /* NULL is fine */
DEFINE_CLEANUP(struct changeset *, changeset_free, cleanup_changeset)

/* Fills a change from a mapping. -EINVAL (with sentence) where environment and service are too long
 * for an element's comment. */
int change_put(struct change *change, const struct mapping *mapping, const char *path,
	       struct error *err) _must_check_;
void change_clear(struct change *change); /* frees what it owns; changeset_free does it too */
void change_remove(struct change *change, const struct mapping_key *key);

/* Whether it may concern a UDP port. */
bool changeset_has_udp(const struct changeset *changeset);

/* What the desired side was before a change, so that it can be restored. */
struct journal {
	struct journal_record *records;
	size_t n, allocated;
};
void journal_clear(struct journal *journal);
/* The key of record number index, below n. */
const struct mapping_key *journal_key(const struct journal *journal, size_t index);

/* Applies the changes to the ledger's desired side, noting the old one in journal. Puts beyond
 * map_size mappings of one family are refused. revision is used where neither mapping nor changeset
 * has one. -ENOSPC (atomic, map full) or -ENOMEM with the changeset's error set and its own part of
 * the journal taken back. */
int changeset_apply(struct changeset *changeset, struct ledger *ledger, size_t map_size,
		    uint64_t revision, struct journal *journal) _must_check_;

/* Restores what the records from first on say, newest first, and forgets them. */
int journal_rollback(struct journal *journal, size_t first, struct ledger *ledger) _must_check_;

/* The kernel refuses this key: makes a removal of the change (and says so), or fails an atomic
 * changeset as a whole. False where the changeset does not put the key. */
bool changeset_refuse(struct changeset *changeset, const struct mapping_key *key,
		      const char *reason);
