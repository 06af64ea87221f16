/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the local API answers about the gateway as a whole, as JSON. It changes nothing. */
#include "gatewayd/api_encode.h"

#include <string.h>

#include "gatewayd/sessions.h"
#include "lib/json.h"

/* All, or only those that the machine does not have just now. */
static json_t *encode_addresses(const struct public_addresses *addresses, bool missing)
{
	json_t *array = json_array();
	char text[ADDRESS_STRING_MAX];
	const struct public_address *list;
	size_t n;

	list = public_addresses_list(addresses, &n);
	for (size_t i = 0; array && i < n; i++) {
		if (missing && list[i].present)
			continue;
		if (json_array_append_new(
			    array, json_string(address_format(&list[i].address, text))) < 0) {
			json_decref(array);
			return NULL;
		}
	}
	return array;
}

static json_t *encode_last(const struct applier_stats *stats)
{
	if (stats->last_at == 0)
		return json_null();
	return json_pack("{s:o, s:f, s:I}", "at", json_time(stats->last_at), "seconds",
			 stats->last_seconds, "changes", (json_int_t)stats->last_changes);
}

static json_t *encode_resyncs(const struct applier_stats *stats)
{
	json_t *object = json_object();

	for (int i = 0; object && i < RESYNC_REASON_MAX; i++)
		if (json_object_set_new(object, resync_reason_name(i),
					json_integer((json_int_t)stats->resyncs[i])) < 0) {
			json_decref(object);
			return NULL;
		}
	return object;
}

static json_t *encode_findings(struct inspector *inspector)
{
	const struct findings *findings = inspector_findings(inspector);
	json_t *array = json_array();

	for (size_t i = 0; array && i < findings->n; i++) {
		const struct finding *finding = &findings->items[i];
		json_t *item = json_pack("{s:s, s:s, s:s, s:s, s:s}", "level",
					 finding_level_name(finding->level), "code", finding->code,
					 "subject", finding->subject, "message", finding->message,
					 "remedy", finding->remedy);

		if (json_array_append_new(array, item) < 0) {
			json_decref(array);
			return NULL;
		}
	}
	return array;
}

static json_t *encode_follower(const struct upstream *upstream)
{
	struct upstream_status status;

	if (!upstream)
		return json_null();
	upstream_status(upstream, &status);
	return json_pack("{s:s, s:s, s:s, s:I, s:I, s:I}", "server", upstream_server(upstream),
			 "state", status.state, "reason", status.reason, "epoch",
			 (json_int_t)status.epoch, "desired_revision",
			 (json_int_t)status.desired_revision, "failed",
			 (json_int_t)status.n_failed);
}

static json_t *encode_accounting(const struct accounting *accounting)
{
	struct accounting_status status;
	_cleanup_json_ json_t *json = NULL;

	accounting_status(accounting, &status);
	json = json_pack("{s:s, s:I, s:I, s:f, s:f, s:b, s:I, s:I, s:I, s:I}", "counts",
			 status.conntrack.counts_bytes ? "all" : "connections", "sessions",
			 (json_int_t)status.sessions, "connections",
			 (json_int_t)status.totals.connections, "age_seconds", status.age_seconds,
			 "interval_seconds", (double)status.collector.interval_ms / 1000.0,
			 "persistent", (int)status.persistent, "event_overruns",
			 (json_int_t)status.event_overruns, "untracked",
			 (json_int_t)status.untracked, "conntrack_entries",
			 (json_int_t)status.conntrack.entries, "conntrack_limit",
			 (json_int_t)status.conntrack.limit);
	if (!json || traffic_encode(json, &status.totals.traffic) < 0)
		return NULL;
	return TAKE_PTR(json);
}

static uint64_t epoch_of(const struct upstream *upstream)
{
	struct upstream_status status = { 0 };

	if (upstream)
		upstream_status(upstream, &status);
	return status.epoch;
}

static uint64_t revision_of(const struct status_view *view, const struct reconciler_status *status)
{
	struct upstream_status upstream;

	if (!view->upstream)
		return status->revision;
	upstream_status(view->upstream, &upstream);
	return upstream.applied_revision;
}

json_t *encode_status(const struct status_view *view)
{
	struct reconciler_status status;

	reconciler_status(view->reconciler, &status);
	return json_pack(
		"{s:s, s:s, s:I, s:I, s:I, s:I, s:b, s:s, s:o, s:o, s:s, s:s, s:I, s:o, "
		"s:{s:I, s:I, s:I}, s:o, s:{s:I, s:I}, s:o, s:o, s:o}",
		"name", view->name, "version", PORTICO_VERSION, "revision",
		(json_int_t)revision_of(view, &status), "epoch",
		(json_int_t)epoch_of(view->upstream), "mappings", (json_int_t)status.mappings,
		"desired", (json_int_t)status.desired, "in_sync", (int)status.in_sync, "reason",
		status.reason, "addresses", encode_addresses(view->addresses, false),
		"addresses_missing", encode_addresses(view->addresses, true), "addresses_from",
		public_addresses_found(view->addresses) ? "network" : "configuration", "source",
		source_mode_name(view->shape->source), "map_size",
		(json_int_t)view->shape->map_size, "last_transaction", encode_last(&status.applier),
		"transactions", "committed",
		(json_int_t)status.applier.transactions[APPLIER_COMMITTED], "rejected",
		(json_int_t)status.applier.transactions[APPLIER_REJECTED], "unknown",
		(json_int_t)status.applier.transactions[APPLIER_UNKNOWN], "resyncs",
		encode_resyncs(&status.applier), "conntrack", "deleted",
		(json_int_t)status.conntrack_deleted, "pending",
		(json_int_t)status.conntrack_pending, "accounting",
		encode_accounting(view->accounting), "follower", encode_follower(view->upstream),
		"findings", encode_findings(view->inspector));
}
