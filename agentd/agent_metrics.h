/* SPDX-License-Identifier: GPL-2.0-or-later */
/* agentd's metrics, all of them named here. */
#pragma once

#include "lib/metrics.h"

struct agent_metrics {
	struct metrics *registry;
	struct metric *containers;        /* {state} */
	struct metric *reconcile_seconds; /* {action}, histogram */
	struct metric *docker_errors;     /* {operation} */
	struct metric *follower_connected;
	struct metric *engine_up;
	struct metric *revision, *epoch;
	struct metric *cpu_milli, *memory_bytes;
	struct metric *log_sessions, *log_bytes;
};

int agent_metrics_init(struct agent_metrics *metrics) _must_check_;
void agent_metrics_release(struct agent_metrics *metrics);
