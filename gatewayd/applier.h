/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The applier makes the kernel's table what the ledger says: it runs plan, encode, transact and
 * dump until there is no difference, and decides what each outcome of a transaction means. It never
 * decides what should be.
 */
#pragma once

#include "gatewayd/dump.h"
#include "gatewayd/ledger.h"
#include "gatewayd/netlink.h"
#include "gatewayd/plan.h"
#include "gatewayd/shape.h"
#include "lib/error.h"

/* Why the table was read in full. */
enum resync_reason {
	RESYNC_START,
	RESYNC_AUDIT,
	RESYNC_FOREIGN,    /* someone else changed our table */
	RESYNC_CONFLICT,   /* the kernel had other elements than we believed */
	RESYNC_GENERATION, /* the ruleset changed between dump and commit */
	RESYNC_UNKNOWN,    /* a transaction without a clear outcome */
	RESYNC_REASON_MAX,
	RESYNC_REASON_INVALID = -1,
};
const char *resync_reason_name(enum resync_reason reason);

enum apply_outcome {
	APPLY_DONE,    /* the kernel has exactly what the ledger says */
	APPLY_REFUSED, /* the kernel refuses the elements named in the result; nothing was done */
	APPLY_FAILED,  /* not now: the sentence says why; the ledger's dirty list stays */
};

#define APPLY_REFUSALS_MAX 64

struct apply_refusal {
	bool of_mapping;          /* else of a member that stands alone */
	struct mapping_key key;   /* where of_mapping */
	struct member_key member; /* where not */
	char reason[160];
};

struct apply_result {
	size_t n_changes;  /* mappings that were changed in the kernel */
	bool restructured; /* tables, maps or chains were made anew */
	struct apply_refusal refusals[APPLY_REFUSALS_MAX];
	size_t n_refusals;
};

struct applier_stats {
	uint64_t transactions[3]; /* by committed, rejected, unknown */
	uint64_t resyncs[RESYNC_REASON_MAX];
	double last_seconds; /* the last transaction: encode to receipt */
	int64_t last_at;     /* when it was, Unix seconds; 0: none yet */
	size_t last_changes;
};
enum { APPLIER_COMMITTED, APPLIER_REJECTED, APPLIER_UNKNOWN };

struct applier_hooks {
	/* Before each transaction, while the ledger's installed side is still the old one. The same
	 * difference may come several times, and only APPLY_DONE says that it is closed. */
	void (*on_plan)(const struct plan *plan, void *userdata);
	/* Around a transaction of very many elements. Of each the kernel makes an event for whoever
	 * listens, which takes it as long as the change itself: who listens for what others do
	 * may leave meanwhile. It is found out all the same if somebody did something. */
	void (*on_bulk)(bool begins, void *userdata);
	/* After each transaction. */
	void (*on_transaction)(double seconds, void *userdata);
	/* A new request socket: its port id is how the kernel names us in events. */
	void (*on_socket)(uint32_t port_id, void *userdata);
	void *userdata;
};

struct applier {
	struct shape shape;
	struct ledger *ledger; /* borrowed */
	struct applier_hooks hooks;
	struct netlink netlink;
	bool end_acked; /* the kernel acknowledges the end of a batch; else it is asked for an echo
			 */
	bool current;   /* structure and the ledger's installed side are what the kernel has */
	enum resync_reason why; /* where not current */
	unsigned shrink; /* the ways in which the next plan takes away sets that nobody uses */
	struct structure structure;
	uint32_t generation; /* the plan rests on the dump of this one; 0: on our own commits */
	struct applier_stats stats;
};

/* Opens the socket and finds out what the kernel can. -EPERM without CAP_NET_ADMIN. */
int applier_open(struct applier *ret, const struct shape *shape, struct ledger *ledger,
		 const struct applier_hooks *hooks, struct error *err) _must_check_;
void applier_close(struct applier *applier);

/* The links of SHAPE_FASTPATH; those that the flowtable lacks are added with the next run. */
void applier_set_devices(struct applier *applier, const struct shape_devices *devices);

/* What is known of the kernel counts no longer: the next run reads the table first. */
void applier_doubt(struct applier *applier, enum resync_reason reason);

/* Reads the table if it is not current. adopt (may be NULL) says of each element that is not
 * desired whether it becomes so. */
int applier_read(struct applier *applier,
		 bool (*adopt)(const struct dump_element *element, void *userdata), void *userdata,
		 struct error *err) _must_check_;

/* Closes the difference. err has a sentence where APPLY_FAILED. */
enum apply_outcome applier_run(struct applier *applier, struct apply_result *ret, struct error *err)
	_must_check_;
