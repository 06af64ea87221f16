/* SPDX-License-Identifier: GPL-2.0-or-later */
/* schedd's metrics, portico_sched_*: set from state and counters when they are asked for. */
#pragma once

#include "lib/http_server.h"
#include "lib/metrics.h"
#include "schedd/feed.h"
#include "schedd/forward.h"
#include "schedd/scheduler.h"

struct telemetry;

/* Everything is borrowed and must outlive it. */
int telemetry_new(struct telemetry **ret, struct metrics *metrics,
		  const struct scheduler *scheduler, const struct feed *feed,
		  const struct http_server *server, const struct forward *forward) _must_check_;
void telemetry_free(struct telemetry *telemetry); /* NULL is fine; metrics are not written after */

DEFINE_CLEANUP(struct telemetry *, telemetry_free, cleanup_telemetry)
