/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The next step for one environment: a pure function of what should be and what is. It does not
 * know time, back-off or limits; those delay a step and never change it.
 */
#pragma once

#include "agentd/driver.h"

enum plan_action {
	PLAN_NOTHING,
	PLAN_CREATE,
	PLAN_START,
	PLAN_STOP,
	PLAN_REMOVE,
	PLAN_FORGET, /* neither assigned nor there, and nothing left of it */
};

struct plan_input {
	const struct assignment *assignment; /* NULL: not assigned */
	const char *refusal;                 /* why this host can never run it; NULL: it can */
	const char *digest;                  /* of the assignment */
	const struct instance *instance;     /* NULL: there is none */
	/* A complete list of this host's assignments has arrived: only then is an instance that is
	 * not assigned known to be unwanted. */
	bool complete;
	bool kept; /* its volumes may be there, also without an instance */
	/* Its lease is over: it may run elsewhere by now, and must not run here. */
	bool lapsed;
};

struct plan {
	enum plan_action action;
	bool hold;                  /* with STOP: see driver_request */
	bool purge;                 /* with REMOVE */
	enum container_state state; /* to report while nothing else is known */
	char reason[160];           /* "" if none */
};

void plan_next(const struct plan_input *input, struct plan *ret);
