/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The reconciler: takes changesets from the local API and from schedd, joins those of one turn of
 * the event loop into one kernel transaction, answers each when its own is committed, and repairs
 * the table when it is not what it should be. It owns the ledger.
 */
#pragma once

#include <event2/event.h>

#include "gatewayd/accounting.h"
#include "gatewayd/applier.h"
#include "gatewayd/ban_keeper.h"
#include "gatewayd/changeset.h"
#include "gatewayd/conntrack.h"
#include "gatewayd/source.h"
#include "gatewayd/state.h"
#include "lib/error.h"
#include "lib/metrics.h"

struct reconciler;

struct reconciler_config {
	struct shape shape;
	const struct address *addresses; /* borrowed for the lifetime: whose mappings to adopt */
	size_t n_addresses;              /* 0: of every address */
	struct source source;            /* its addresses are borrowed for the lifetime */
	const int *links; /* indexes; borrowed for reconciler_new, see reconciler_set_links */
	size_t n_links;
	uint64_t audit_ms;
	/* A mapping has reached its expires_at and is no longer desired. May be NULL. */
	void (*on_expired)(const struct mapping_key *key, int64_t expires_at, void *userdata);
	struct state *state;           /* borrowed; NULL: nothing is kept */
	struct accounting *accounting; /* borrowed; NULL: nothing is counted */
	/* Around a transaction of very many elements; see applier_hooks. May be NULL. */
	void (*on_bulk)(bool begins, void *userdata);
	/* Called when something that /v1/status or a report shows has changed. May be NULL. */
	void (*on_change)(void *userdata);
	void *userdata;
};

/* Opens the kernel, reads the table back, adopts the mappings in it and closes the difference in
 * structure. Zero changes where nothing differs. */
int reconciler_new(struct reconciler **ret, struct event_base *base,
		   const struct reconciler_config *config, struct metrics *metrics,
		   struct error *err) _must_check_;
/* Changesets that are queued still are answered with -ECANCELED. The table stays. NULL is fine. */
void reconciler_free(struct reconciler *reconciler);

/* Queues a changeset, which is taken over. */
void reconciler_submit(struct reconciler *reconciler, struct changeset *changeset);

/* Queues a request for bans, which is taken over. It shares a transaction with changesets. */
void reconciler_submit_bans(struct reconciler *reconciler, struct ban_request *request);

/* Packets of new connections that were refused for this reason. */
uint64_t reconciler_refused(const struct reconciler *reconciler, enum shape_counter counter);

const struct ledger *reconciler_ledger(const struct reconciler *reconciler);
/* In the kernel; some may have ended by now. */
const struct bans *reconciler_bans(const struct reconciler *reconciler);

struct reconciler_status {
	uint64_t revision; /* of the newest changeset that is in the kernel */
	size_t mappings;   /* installed */
	size_t desired;
	bool in_sync;       /* the kernel has what it should, as far as we know */
	const char *reason; /* why not in sync, "" otherwise; borrowed */
	struct applier_stats applier;
	uint64_t conntrack_deleted;
	size_t conntrack_pending; /* mappings whose connections have not been looked through */
};
void reconciler_status(const struct reconciler *reconciler, struct reconciler_status *ret);

/* The links of this network namespace have changed: these are their indexes. */
void reconciler_set_links(struct reconciler *reconciler, const int *links, size_t n_links);

/* The same for the names of those that take the fast path; nothing without it. */
void reconciler_set_devices(struct reconciler *reconciler, const struct shape_devices *devices);

/* Someone else may have changed the table: look soon. */
void reconciler_doubt(struct reconciler *reconciler);
/* The port id of the request socket; it changes when the socket is opened anew. */
uint32_t reconciler_port_id(const struct reconciler *reconciler);
/* Tells of the current port id, and of each new one. */
void reconciler_on_socket(struct reconciler *reconciler,
			  void (*on_socket)(uint32_t port_id, void *userdata), void *userdata);

DEFINE_CLEANUP(struct reconciler *, reconciler_free, cleanup_reconciler)
