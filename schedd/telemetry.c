/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The families and how they are set. */
#include "schedd/telemetry.h"

#include <errno.h>

#include "lib/clock.h"

struct telemetry {
	const struct scheduler *scheduler;
	const struct feed *feed;
	const struct http_server *server;
	const struct forward *forward;
	struct metric *role, *stale, *passed;
	struct metric *up, *environments, *hosts, *gateways, *ports, *queue;
	struct metric *cpu, *memory, *epoch, *revision, *watchers;
	struct metric *placements, *placement_seconds, *commits, *commit_seconds, *rows;
	struct metric *requests, *connections, *connections_refused, *timeouts, *handshakes;
	struct metric *watches_ended, *keys;
};

static void set(struct metric *metric, double value)
{
	metric_set(metric, NULL, value);
}

static void set_labelled(struct metric *metric, const char *label, double value)
{
	metric_set(metric, (const char *const[]){ label, NULL }, value);
}

static void count(struct metric *metric, const char *label)
{
	metric_add(metric, (const char *const[]){ label, NULL }, 1);
}

static void collect_environments(struct telemetry *telemetry, const struct state *state)
{
	struct environment_entry *entry;
	unsigned queue = 0;

	metric_clear(telemetry->environments);
	for (int phase = 0; phase < PHASE_DELETED; phase++)
		set_labelled(telemetry->environments, phase_name((enum environment_phase)phase), 0);
	STATE_FOREACH(state, RECORD_ENVIRONMENT, entry)
	{
		const struct environment *environment = environment_committed(entry);

		if (!environment)
			continue;
		count(telemetry->environments, phase_name(environment->phase));
		queue += environment->phase == PHASE_PENDING;
	}
	set(telemetry->queue, queue);
}

static void collect_hosts(struct telemetry *telemetry, const struct state *state)
{
	static const char *const statuses[] = { "online", "offline", "draining", "maintenance" };
	double cpu = 0, cpu_used = 0, memory = 0, memory_used = 0;
	struct host_entry *entry;

	metric_clear(telemetry->hosts);
	for (size_t i = 0; i < ARRAY_SIZE(statuses); i++)
		set_labelled(telemetry->hosts, statuses[i], 0);
	STATE_FOREACH(state, RECORD_HOST, entry)
	{
		const struct host *host = host_committed(entry);

		if (!host)
			continue;
		count(telemetry->hosts, host_status_name(host));
		cpu += (double)state_host_cpu(state, host);
		memory += (double)host->origin->registration.capacity.memory_bytes;
		cpu_used += (double)entry->committed.cpu_milli;
		memory_used += (double)entry->committed.memory_bytes;
	}
	set_labelled(telemetry->cpu, "used", cpu_used / 1000);
	set_labelled(telemetry->cpu, "free", (cpu - cpu_used) / 1000);
	set_labelled(telemetry->memory, "used", memory_used);
	set_labelled(telemetry->memory, "free", memory - memory_used);
}

static void collect_gateways_and_ports(struct telemetry *telemetry, const struct state *state)
{
	struct gateway_entry *gateway;
	struct port_entry *port;

	metric_clear(telemetry->gateways);
	set_labelled(telemetry->gateways, "online", 0);
	set_labelled(telemetry->gateways, "offline", 0);
	STATE_FOREACH(state, RECORD_GATEWAY, gateway)
	if (gateway_committed(gateway))
		count(telemetry->gateways,
		      gateway_committed(gateway)->online ? "online" : "offline");
	metric_clear(telemetry->ports);
	for (int i = 0; i < PORT_STATE_MAX; i++)
		set_labelled(telemetry->ports, port_state_name((enum port_state)i), 0);
	STATE_FOREACH(state, RECORD_PORT, port)
	if (port_committed(port))
		count(telemetry->ports, port_state_name(port_committed(port)->state));
	set_labelled(telemetry->ports, "free",
		     (double)(port_pool_size(&state->pool) - port_pool_taken(&state->pool)));
}

static void collect_standing(struct telemetry *telemetry)
{
	struct scheduler_standing standing;
	uint64_t passed, failed;

	scheduler_standing(telemetry->scheduler, &standing);
	forward_stats(telemetry->forward, &passed, &failed);
	set_labelled(telemetry->role, "standby", standing.standby);
	set_labelled(telemetry->role, "leader",
		     !standing.standby && scheduler_loaded(telemetry->scheduler));
	set(telemetry->stale,
	    standing.stale_since > 0 ? (double)(clock_unix_seconds() - standing.stale_since) : 0);
	set_labelled(telemetry->passed, "answered", (double)(passed - failed));
	set_labelled(telemetry->passed, "failed", (double)failed);
}

static void collect_counters(struct telemetry *telemetry)
{
	struct http_server_stats server;
	struct scheduler_stats stats;

	scheduler_stats(telemetry->scheduler, &stats);
	http_server_stats(telemetry->server, &server);
	set_labelled(telemetry->placements, "placed", (double)stats.placements);
	set_labelled(telemetry->placements, "refused", (double)stats.placement_refusals);
	set(telemetry->placement_seconds, stats.placement_seconds);
	set_labelled(telemetry->commits, "committed", (double)stats.commits);
	set_labelled(telemetry->commits, "failed", (double)stats.commit_failures);
	set(telemetry->commit_seconds, stats.commit_seconds);
	set(telemetry->rows, (double)stats.rows_committed);
	set(telemetry->requests, (double)server.requests);
	set(telemetry->connections, (double)server.connections_open);
	set(telemetry->connections_refused, (double)server.connections_refused);
	set(telemetry->timeouts, (double)server.timeouts);
	set(telemetry->handshakes, (double)server.handshakes_failed);
	set(telemetry->watchers, feed_count(telemetry->feed));
	for (int why = 0; why < FEED_END_MAX; why++)
		set_labelled(telemetry->watches_ended, feed_end_name((enum feed_end)why),
			     (double)feed_ended(telemetry->feed, (enum feed_end)why));
}

static void collect(void *userdata)
{
	struct telemetry *telemetry = userdata;
	const struct state *state = scheduler_state(telemetry->scheduler);

	set(telemetry->up, scheduler_ready(telemetry->scheduler, NULL) == 0);
	set(telemetry->epoch, (double)state->epoch);
	set(telemetry->revision, (double)state->revision);
	set(telemetry->keys, state_count(state, RECORD_KEY));
	collect_environments(telemetry, state);
	collect_hosts(telemetry, state);
	collect_gateways_and_ports(telemetry, state);
	collect_standing(telemetry);
	collect_counters(telemetry);
}

int telemetry_new(struct telemetry **ret, struct metrics *metrics,
		  const struct scheduler *scheduler, const struct feed *feed,
		  const struct http_server *server, const struct forward *forward)
{
	static const char *const phase[] = { "phase", NULL }, *const status[] = { "status", NULL };
	static const char *const label_state[] = { "state", NULL };
	static const char *const result[] = { "result", NULL },
				 *const reason[] = { "reason", NULL },
				 *const role[] = { "role", NULL };
	struct telemetry *t = calloc(1, sizeof(*t));
	const struct {
		struct metric **metric;
		enum metric_type type;
		const char *name, *help;
		const char *const *labels;
	} families[] = {
		{ &t->up, METRIC_GAUGE, "portico_sched_ready", "1 while requests are taken.",
		  NULL },
		{ &t->environments, METRIC_GAUGE, "portico_sched_environments",
		  "Environments by phase.", phase },
		{ &t->queue, METRIC_GAUGE, "portico_sched_queue_length",
		  "Environments that wait for a host.", NULL },
		{ &t->hosts, METRIC_GAUGE, "portico_sched_hosts", "Hosts by status.", status },
		{ &t->gateways, METRIC_GAUGE, "portico_sched_gateways", "Gateways by status.",
		  status },
		{ &t->ports, METRIC_GAUGE, "portico_sched_ports", "External ports by state.",
		  label_state },
		{ &t->cpu, METRIC_GAUGE, "portico_sched_cpu_cores", "CPU of all hosts.",
		  label_state },
		{ &t->memory, METRIC_GAUGE, "portico_sched_memory_bytes", "Memory of all hosts.",
		  label_state },
		{ &t->role, METRIC_GAUGE, "portico_sched_role",
		  "1 for what this schedd is: leader or standby.", role },
		{ &t->stale, METRIC_GAUGE, "portico_sched_stale_seconds",
		  "Age of what is read from, while the database is away; else 0.", NULL },
		{ &t->passed, METRIC_COUNTER, "portico_sched_forwarded_requests_total",
		  "Requests that a standby passed on to the leader, by result.", result },
		{ &t->epoch, METRIC_GAUGE, "portico_sched_epoch", "Epoch of this leader.", NULL },
		{ &t->revision, METRIC_GAUGE, "portico_sched_revision", "Last committed revision.",
		  NULL },
		{ &t->watchers, METRIC_GAUGE, "portico_sched_watchers", "Open watch streams.",
		  NULL },
		{ &t->watches_ended, METRIC_COUNTER, "portico_sched_watches_ended_total",
		  "Watch streams ended by schedd.", reason },
		{ &t->placements, METRIC_COUNTER, "portico_sched_placements_total",
		  "Placements by result.", result },
		{ &t->placement_seconds, METRIC_COUNTER, "portico_sched_placement_seconds_total",
		  "Time spent in placement.", NULL },
		{ &t->commits, METRIC_COUNTER, "portico_sched_commits_total", "Commits by result.",
		  result },
		{ &t->commit_seconds, METRIC_COUNTER, "portico_sched_commit_seconds_total",
		  "Time from sending a commit to its confirmation.", NULL },
		{ &t->rows, METRIC_COUNTER, "portico_sched_committed_rows_total",
		  "Rows written; over commits it is the size of a batch.", NULL },
		{ &t->requests, METRIC_COUNTER, "portico_sched_http_requests_total",
		  "HTTP requests.", NULL },
		{ &t->connections, METRIC_GAUGE, "portico_sched_http_connections",
		  "Open connections.", NULL },
		{ &t->connections_refused, METRIC_COUNTER,
		  "portico_sched_http_connections_refused_total",
		  "Connections that were closed as there were too many.", NULL },
		{ &t->keys, METRIC_GAUGE, "portico_sched_idempotency_keys",
		  "Idempotency keys that are remembered.", NULL },
		{ &t->timeouts, METRIC_COUNTER, "portico_sched_http_timeouts_total",
		  "Requests that took too long to arrive.", NULL },
		{ &t->handshakes, METRIC_COUNTER, "portico_sched_tls_handshakes_failed_total",
		  "Connections dropped before their handshake was done.", NULL },
	};

	if (!t)
		return -ENOMEM;
	t->scheduler = scheduler;
	t->feed = feed;
	t->server = server;
	t->forward = forward;
	for (size_t i = 0; i < ARRAY_SIZE(families); i++) {
		*families[i].metric = metrics_register(metrics, families[i].type, families[i].name,
						       families[i].help, families[i].labels);
		if (!*families[i].metric) {
			free(t);
			return -ENOMEM;
		}
	}
	if (metrics_on_write(metrics, collect, t) < 0) {
		free(t);
		return -ENOMEM;
	}
	*ret = t;
	return 0;
}

void telemetry_free(struct telemetry *telemetry)
{
	free(telemetry);
}
