/* SPDX-License-Identifier: GPL-2.0-or-later */
/* How often in a row an environment's command has ended by itself, with what status, and when it is
 * started again. Plain data: no clock, no timer.
 */
#pragma once

#include "agentd/driver.h"

/* A command that has run well for so long starts a new row. Docker's own delay begins anew after
 * the same time. */
#define ENDS_FORGIVEN_MS 10000

struct ends {
	char *run;         /* owned: the start of the run that was counted last; NULL: none was */
	unsigned restarts; /* of the engine, as seen last by us or by an agentd before */
	unsigned count;    /* in a row */
	int exit_code;     /* EXIT_CODE_NONE: it never ended */
	uint32_t delay_ms; /* the engine's before its next start */
	int64_t next_try;  /* Unix seconds; 0: nothing starts it, or it runs */
	bool changed;      /* in what is kept; whoever keeps it clears this */
};

void ends_init(struct ends *ends);
void ends_clear(struct ends *ends);

/* Takes what was just observed, at this time. True where something has changed that is told. */
bool ends_observe(struct ends *ends, const struct instance *instance, int64_t now);
/* It is started again by us, after this time. */
void ends_wait(struct ends *ends, int64_t now, uint64_t delay_ms);
/* It has run well for ENDS_FORGIVEN_MS, or something else is wanted of it. */
void ends_forgive(struct ends *ends);
