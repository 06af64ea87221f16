/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Waiting for an environment to run, to be stopped or to be gone, along its watch stream. */
#pragma once

#include "lib/error.h"
#include "lib/json.h"
#include "schedctl/command.h"

#define WAIT_TIMEOUT_DEFAULT_MS (15 * 60 * UINT64_C(1000))

enum wait_goal {
	WAIT_RUNNING,
	WAIT_STOPPED,
	WAIT_GONE,
};

/* The --timeout of args, or the default. 0: no end. */
int wait_timeout(const struct args *args, uint64_t *ret_ms, struct error *err) _must_check_;

/* Shows progress until the goal is reached. id is the environment's id or name; name is for
 * sentences. *ret_last (may be NULL) gets its last known answer or NULL, also on failure.
 * -ECANCELED with the reason where the goal can no longer be reached, -ETIMEDOUT, or client_watch's
 * errors. */
int wait_for(struct context *context, const char *id, const char *name, enum wait_goal goal,
	     uint64_t timeout_ms, json_t **ret_last, struct error *err) _must_check_;
