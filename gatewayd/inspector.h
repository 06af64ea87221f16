/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The inspector looks at the machine again and again, says what is new and what is mended, and sets
 * host settings where the configuration says so. What is wrong is judged by findings.h.
 */
#pragma once

#include <event2/event.h>

#include "gatewayd/findings.h"
#include "lib/metrics.h"

struct inspector;

struct inspector_config {
	struct findings_view view; /* but listeners and survey, which it makes itself */
	bool set;                  /* set host settings that mend a finding */
	bool no_flowtable;         /* the kernel has none; see findings_features */
	/* Adds what other modules know at no cost, each time that somebody asks. May be NULL. */
	void (*on_collect)(struct findings *findings, void *userdata);
	void *userdata;
};

/* Looks for the first time, and then from the loop. What the view points to must outlive it. */
int inspector_new(struct inspector **ret, struct event_base *base,
		  const struct inspector_config *config, struct metrics *metrics) _must_check_;
void inspector_free(struct inspector *inspector); /* NULL is fine */

/* Something may have changed: look soon. */
void inspector_doubt(struct inspector *inspector);

/* What there is now: looked at anew where the last look is more than a moment old. */
const struct findings *inspector_findings(struct inspector *inspector);

DEFINE_CLEANUP(struct inspector *, inspector_free, cleanup_inspector)
