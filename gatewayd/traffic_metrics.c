/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The metrics of traffic: sums of the gateway, and the families of the mappings' own series. */
#include "gatewayd/traffic_metrics.h"

#include <errno.h>

#include "gatewayd/mapping_series.h"

struct traffic_metrics {
	const struct accounting *accounting;
	struct mapping_series_view view;
	struct metric *bytes, *packets, *connections, *sessions, *entries, *entries_limit,
		*insert_failed, *drop, *early_drop, *age, *rounds, *failures, *cpu, *overruns,
		*untracked;
};

/* ---- of each mapping ---- */

static void release_series(void *data)
{
	mapping_series_free(data);
}

/* A scrape has one set of counters for its three families. */
static int write_count(const char *name, enum mapping_count count, struct metrics_cursor *cursor,
		       struct evbuffer *out, const struct traffic_metrics *metrics)
{
	struct mapping_series *series = cursor->data;
	int r;

	if (!series) {
		r = mapping_series_new(&series, &metrics->view);
		if (r < 0)
			return r;
		cursor->data = series;
		cursor->release = release_series;
	}
	return mapping_series_write(series, count, name, &cursor->index, out);
}

static int write_bytes(const char *name, struct metrics_cursor *cursor, struct evbuffer *out,
		       void *userdata)
{
	return write_count(name, MAPPING_BYTES, cursor, out, userdata);
}

static int write_packets(const char *name, struct metrics_cursor *cursor, struct evbuffer *out,
			 void *userdata)
{
	return write_count(name, MAPPING_PACKETS, cursor, out, userdata);
}

static int write_connections(const char *name, struct metrics_cursor *cursor, struct evbuffer *out,
			     void *userdata)
{
	return write_count(name, MAPPING_CONNECTIONS, cursor, out, userdata);
}

/* ---- sums ---- */

static void set(struct metric *metric, double value)
{
	metric_set(metric, NULL, value);
}

static void set_by_direction(struct metric *metric, const uint64_t values[CT_DIRECTION_MAX])
{
	static const char *const names[CT_DIRECTION_MAX] = { [CT_IN] = "in", [CT_OUT] = "out" };

	for (int d = 0; d < CT_DIRECTION_MAX; d++)
		metric_set(metric, (const char *const[]){ names[d] }, (double)values[d]);
}

static void collect(void *userdata)
{
	struct traffic_metrics *metrics = userdata;
	struct accounting_status status;

	accounting_status(metrics->accounting, &status);
	set_by_direction(metrics->bytes, status.totals.traffic.bytes);
	set_by_direction(metrics->packets, status.totals.traffic.packets);
	set(metrics->connections, (double)status.totals.connections);
	set(metrics->sessions, (double)status.sessions);
	set(metrics->entries, (double)status.conntrack.entries);
	set(metrics->entries_limit, (double)status.conntrack.limit);
	set(metrics->insert_failed, (double)status.conntrack.insert_failed);
	set(metrics->drop, (double)status.conntrack.drop);
	set(metrics->early_drop, (double)status.conntrack.early_drop);
	set(metrics->age, MAX(status.age_seconds, 0.0));
	set(metrics->rounds, (double)status.collector.rounds);
	set(metrics->failures, (double)status.collector.failures);
	set(metrics->cpu, status.collector.cpu_seconds);
	set(metrics->overruns, (double)status.event_overruns);
	set(metrics->untracked, (double)status.untracked);
}

static void register_sums(struct traffic_metrics *t, struct metrics *metrics)
{
	static const char *const by_direction[] = { "direction", NULL };

	t->bytes = metrics_register(metrics, METRIC_COUNTER, "portico_gateway_bytes_total",
				    "Bytes of all mappings, in from clients and out to them",
				    by_direction);
	t->packets = metrics_register(metrics, METRIC_COUNTER, "portico_gateway_packets_total",
				      "Packets of all mappings, in from clients and out to them",
				      by_direction);
	t->connections =
		metrics_register(metrics, METRIC_COUNTER, "portico_gateway_connections_total",
				 "Connections of all mappings", NULL);
	t->sessions = metrics_register(metrics, METRIC_GAUGE, "portico_gateway_sessions",
				       "Live connections of all mappings", NULL);
	t->entries = metrics_register(metrics, METRIC_GAUGE, "portico_gateway_conntrack_entries",
				      "Entries of connection tracking, also of others", NULL);
	t->entries_limit =
		metrics_register(metrics, METRIC_GAUGE, "portico_gateway_conntrack_limit",
				 "Entries that connection tracking may have", NULL);
	t->insert_failed = metrics_register(
		metrics, METRIC_COUNTER, "portico_gateway_conntrack_insert_failed_total",
		"Connections that connection tracking could not take in", NULL);
	t->drop = metrics_register(metrics, METRIC_COUNTER, "portico_gateway_conntrack_drop_total",
				   "Packets dropped because connection tracking was full", NULL);
	t->early_drop = metrics_register(metrics, METRIC_COUNTER,
					 "portico_gateway_conntrack_early_drop_total",
					 "Connections ended to make room for new ones", NULL);
}

static void register_accounting(struct traffic_metrics *t, struct metrics *metrics)
{
	t->age = metrics_register(metrics, METRIC_GAUGE, "portico_gateway_accounting_age_seconds",
				  "Age of the oldest count of a live connection", NULL);
	t->rounds = metrics_register(metrics, METRIC_COUNTER, "portico_gateway_collections_total",
				     "Listings of the live connections", NULL);
	t->failures = metrics_register(metrics, METRIC_COUNTER,
				       "portico_gateway_collection_failures_total",
				       "Listings that were given up", NULL);
	t->cpu = metrics_register(metrics, METRIC_COUNTER,
				  "portico_gateway_collection_cpu_seconds_total",
				  "CPU time that the listings took", NULL);
	t->overruns =
		metrics_register(metrics, METRIC_COUNTER, "portico_gateway_event_overruns_total",
				 "Times that ended connections waited in the kernel", NULL);
	t->untracked = metrics_register(metrics, METRIC_COUNTER,
					"portico_gateway_untracked_connections_total",
					"Connections that found no room to be followed", NULL);
}

static void register_mappings(struct traffic_metrics *t, struct metrics *metrics)
{
	if (t->view.limit == 0)
		return;
	(void)metrics_register_written(
		metrics, METRIC_COUNTER, "portico_gateway_mapping_bytes_total",
		"Bytes of a mapping, in from clients and out to them", write_bytes, t);
	(void)metrics_register_written(
		metrics, METRIC_COUNTER, "portico_gateway_mapping_packets_total",
		"Packets of a mapping, in from clients and out to them", write_packets, t);
	(void)metrics_register_written(metrics, METRIC_COUNTER,
				       "portico_gateway_mapping_connections_total",
				       "Connections of a mapping", write_connections, t);
}

int traffic_metrics_new(struct traffic_metrics **ret, struct metrics *metrics,
			const struct accounting *accounting, const struct ledger *ledger,
			size_t limit)
{
	struct traffic_metrics *t = calloc(1, sizeof(*t));
	int r;

	if (!t)
		return -ENOMEM;
	t->accounting = accounting;
	t->view = (struct mapping_series_view){ accounting, ledger, limit };
	register_sums(t, metrics);
	register_accounting(t, metrics);
	register_mappings(t, metrics);
	r = metrics_on_write(metrics, collect, t);
	if (r < 0) {
		free(t);
		return r;
	}
	*ret = t;
	return 0;
}

void traffic_metrics_free(struct traffic_metrics *metrics)
{
	free(metrics);
}
