/* SPDX-License-Identifier: GPL-2.0-or-later */
/* gatewayd as a follower of schedd: its stream's mappings become changesets, and what became of
 * them is reported. It never touches the kernel itself.
 */
#pragma once

#include <event2/event.h>

#include "gatewayd/admit.h"
#include "gatewayd/guard.h"
#include "gatewayd/reconcile.h"
#include "gatewayd/state.h"
#include "lib/error.h"
#include "lib/http_client.h"

struct upstream;

struct upstream_config {
	const char *server; /* borrowed, as are name, token and token_file */
	const char *name;
	const char *token, *token_file; /* see follower.h */
	uint32_t heartbeat_ms;
	const struct admission *admission; /* borrowed; see upstream_reregister */
	struct reconciler *reconciler;
	struct guard *guard;
	struct state *state; /* borrowed: where epochs are kept; NULL: nowhere */
};

int upstream_new(struct upstream **ret, struct event_base *base, struct http_client *client,
		 const struct upstream_config *config) _must_check_;
void upstream_free(struct upstream *upstream); /* NULL is fine; free the reconciler before */

/* Something that the report shows has changed. */
void upstream_touch(struct upstream *upstream);

/* The addresses of the admission have changed. */
void upstream_reregister(struct upstream *upstream);

/* A mapping has reached its end; where schedd still has it, it learns why the port is closed. */
void upstream_expired(struct upstream *upstream, const struct mapping_key *key, int64_t expires_at);

const char *upstream_server(const struct upstream *upstream);

/* Why this mapping of schedd's could not be applied; NULL where it was, or is not schedd's. */
const char *upstream_failure(const struct upstream *upstream, const struct mapping_key *key);

struct upstream_status {
	const char *state;  /* "connecting", "synced" or "waiting" */
	const char *reason; /* "" unless waiting; borrowed */
	uint64_t epoch;
	uint64_t desired_revision; /* newest that was received */
	uint64_t applied_revision; /* newest that is in the kernel */
	size_t n_failed;
};
void upstream_status(const struct upstream *upstream, struct upstream_status *ret);

DEFINE_CLEANUP(struct upstream *, upstream_free, cleanup_upstream)
