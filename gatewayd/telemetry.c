/* SPDX-License-Identifier: GPL-2.0-or-later */
/* gatewayd's metric families, filled from the modules' own numbers when they are read. */
#include "gatewayd/telemetry.h"

#include <errno.h>
#include <string.h>

struct telemetry {
	const struct reconciler *reconciler;
	const struct upstream *upstream;
	struct metric *mappings, *desired, *in_sync, *transactions, *resyncs, *conntrack_deleted,
		*conntrack_pending, *applied_revision, *failed, *connected, *refusals;
	/* Counters are added to, so what was added already is kept. */
	struct reconciler_status last;
	uint64_t last_refused[SHAPE_COUNTER_MAX];
};

static void raise(struct metric *metric, const char *label, uint64_t now, uint64_t last)
{
	const char *const values[] = { label, NULL };

	metric_add(metric, label ? values : NULL, (double)(now - last));
}

static void collect_counters(struct telemetry *telemetry, const struct reconciler_status *now)
{
	static const char *const outcomes[] = {
		[APPLIER_COMMITTED] = "committed",
		[APPLIER_REJECTED] = "rejected",
		[APPLIER_UNKNOWN] = "unknown",
	};
	const struct reconciler_status *last = &telemetry->last;

	for (size_t i = 0; i < ARRAY_SIZE(outcomes); i++)
		raise(telemetry->transactions, outcomes[i], now->applier.transactions[i],
		      last->applier.transactions[i]);
	for (int i = 0; i < RESYNC_REASON_MAX; i++)
		raise(telemetry->resyncs, resync_reason_name(i), now->applier.resyncs[i],
		      last->applier.resyncs[i]);
	raise(telemetry->conntrack_deleted, NULL, now->conntrack_deleted, last->conntrack_deleted);
	telemetry->last = *now;
}

static void collect_refusals(struct telemetry *telemetry)
{
	for (int i = 0; i < SHAPE_COUNTER_MAX; i++) {
		uint64_t now = reconciler_refused(telemetry->reconciler, i);

		raise(telemetry->refusals, shape_counter_reason(i), now,
		      telemetry->last_refused[i]);
		telemetry->last_refused[i] = now;
	}
}

static void collect(void *userdata)
{
	struct telemetry *telemetry = userdata;
	struct reconciler_status status;
	struct upstream_status upstream;
	uint64_t revision;

	reconciler_status(telemetry->reconciler, &status);
	revision = status.revision;
	metric_set(telemetry->mappings, NULL, (double)status.mappings);
	metric_set(telemetry->desired, NULL, (double)status.desired);
	metric_set(telemetry->in_sync, NULL, status.in_sync);
	metric_set(telemetry->conntrack_pending, NULL, (double)status.conntrack_pending);
	collect_counters(telemetry, &status);
	collect_refusals(telemetry);
	if (telemetry->upstream) {
		upstream_status(telemetry->upstream, &upstream);
		revision = upstream.applied_revision;
		metric_set(telemetry->failed, NULL, (double)upstream.n_failed);
		metric_set(telemetry->connected, NULL, strcmp(upstream.state, "synced") == 0);
	}
	metric_set(telemetry->applied_revision, NULL, (double)revision);
}

int telemetry_new(struct telemetry **ret, struct metrics *metrics,
		  const struct reconciler *reconciler, const struct upstream *upstream)
{
	static const char *const by_outcome[] = { "outcome", NULL };
	static const char *const by_reason[] = { "reason", NULL };
	struct telemetry *t = calloc(1, sizeof(*t));
	int r;

	if (!t)
		return -ENOMEM;
	t->reconciler = reconciler;
	t->upstream = upstream;
	t->mappings = metrics_register(metrics, METRIC_GAUGE, "portico_gateway_mappings",
				       "Mappings in the kernel", NULL);
	t->desired = metrics_register(metrics, METRIC_GAUGE, "portico_gateway_desired_mappings",
				      "Mappings that should be in the kernel", NULL);
	t->in_sync = metrics_register(metrics, METRIC_GAUGE, "portico_gateway_in_sync",
				      "1 where the kernel has what it should", NULL);
	t->transactions =
		metrics_register(metrics, METRIC_COUNTER, "portico_gateway_transactions_total",
				 "Kernel transactions by outcome", by_outcome);
	t->resyncs = metrics_register(metrics, METRIC_COUNTER, "portico_gateway_resyncs_total",
				      "Times that the table was read back in full", by_reason);
	t->refusals = metrics_register(metrics, METRIC_COUNTER, "portico_gateway_refusals_total",
				       "Packets of new connections refused, by reason", by_reason);
	t->conntrack_deleted = metrics_register(
		metrics, METRIC_COUNTER, "portico_gateway_conntrack_deleted_total",
		"Connections ended because their mapping was removed or changed", NULL);
	t->conntrack_pending = metrics_register(
		metrics, METRIC_GAUGE, "portico_gateway_conntrack_pending",
		"Mappings whose connections have not been looked through yet", NULL);
	t->applied_revision =
		metrics_register(metrics, METRIC_GAUGE, "portico_gateway_applied_revision",
				 "Newest revision that is in the kernel", NULL);
	if (upstream) {
		t->failed =
			metrics_register(metrics, METRIC_GAUGE, "portico_gateway_failed_mappings",
					 "Mappings of schedd that could not be applied", NULL);
		t->connected = metrics_register(metrics, METRIC_GAUGE,
						"portico_gateway_follower_connected",
						"1 while schedd's stream is open", NULL);
	}
	r = metrics_on_write(metrics, collect, t);
	if (r < 0) {
		free(t);
		return r;
	}
	*ret = t;
	return 0;
}

void telemetry_free(struct telemetry *telemetry)
{
	free(telemetry);
}
