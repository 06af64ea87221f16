/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Registration of the metric families. */
#include "agentd/agent_metrics.h"

#include <string.h>

static const double bounds[] = { 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 1800 };

static struct metric *gauge(struct metrics *registry, const char *name, const char *help)
{
	return metrics_register(registry, METRIC_GAUGE, name, help, NULL);
}

int agent_metrics_init(struct agent_metrics *metrics)
{
	struct metrics *registry;
	int r;

	memset(metrics, 0, sizeof(*metrics));
	r = metrics_new(&registry);
	if (r < 0)
		return r;
	metrics->registry = registry;
	metrics->containers = metrics_register(registry, METRIC_GAUGE, "portico_agent_containers",
					       "Environments on this host by state",
					       (const char *[]){ "state", NULL });
	metrics->reconcile_seconds = metrics_register_histogram(
		registry, "portico_agent_reconcile_seconds",
		"Duration of the steps that close the difference to the desired state",
		(const char *[]){ "action", NULL }, bounds, ARRAY_SIZE(bounds));
	metrics->docker_errors = metrics_register(
		registry, METRIC_COUNTER, "portico_agent_docker_errors_total",
		"Calls to Docker that failed", (const char *[]){ "operation", NULL });
	metrics->follower_connected = gauge(registry, "portico_agent_follower_connected",
					    "1 while the desired state is followed");
	metrics->engine_up =
		gauge(registry, "portico_agent_engine_up", "1 while the container engine answers");
	metrics->revision = gauge(registry, "portico_agent_desired_revision",
				  "Revision of the desired state received last");
	metrics->epoch =
		gauge(registry, "portico_agent_epoch", "Epoch of the scheduler followed last");
	metrics->cpu_milli = gauge(registry, "portico_agent_capacity_cpu_milli",
				   "Thousandths of a core that this host offers");
	metrics->memory_bytes = gauge(registry, "portico_agent_capacity_memory_bytes",
				      "Memory that this host offers");
	metrics->log_sessions = gauge(registry, "portico_agent_log_sessions",
				      "Logs that are read through the scheduler");
	metrics->log_bytes =
		metrics_register(registry, METRIC_COUNTER, "portico_agent_log_bytes_total",
				 "Bytes of logs that the scheduler has taken", NULL);
	return 0;
}

void agent_metrics_release(struct agent_metrics *metrics)
{
	metrics_free(metrics->registry);
	memset(metrics, 0, sizeof(*metrics));
}
