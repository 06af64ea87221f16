/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The metrics of traffic: series for each mapping, or for those with most traffic, and sums of the
 * gateway. They are written from memory, and fast: a hundred thousand mappings are half a million
 * lines.
 */
#pragma once

#include "gatewayd/accounting.h"
#include "gatewayd/ledger.h"
#include "lib/metrics.h"

struct traffic_metrics;

/* limit: so many mappings have series of their own, the ones with most traffic of late; 0: none,
 * SIZE_MAX: all. All that is given must outlive it. */
int traffic_metrics_new(struct traffic_metrics **ret, struct metrics *metrics,
			const struct accounting *accounting, const struct ledger *ledger,
			size_t limit) _must_check_;
void traffic_metrics_free(struct traffic_metrics *metrics); /* NULL is fine */
