/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The daemon put together: follower, reconciler, driver, metrics. It owns them and their order of
 * life, and carries what one of them says to the others.
 */
#pragma once

#include "agentd/options.h"
#include "lib/loop.h"

struct agent;

/* options must outlive it. */
int agent_new(struct agent **ret, struct loop *loop, const struct options *options,
	      struct error *err) _must_check_;
void agent_free(struct agent *agent); /* containers stay as they are; NULL is fine */

DEFINE_CLEANUP(struct agent *, agent_free, cleanup_agent)
