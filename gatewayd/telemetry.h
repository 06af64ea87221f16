/* SPDX-License-Identifier: GPL-2.0-or-later */
/* gatewayd's metric families, filled from the modules' own numbers when they are read. */
#pragma once

#include "gatewayd/reconcile.h"
#include "gatewayd/upstream.h"
#include "lib/metrics.h"

struct telemetry;

/* upstream may be NULL. Both, and the registry, must outlive it. */
int telemetry_new(struct telemetry **ret, struct metrics *metrics,
		  const struct reconciler *reconciler, const struct upstream *upstream)
	_must_check_;
void telemetry_free(struct telemetry *telemetry); /* NULL is fine */
