/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Hosts as placement sees them: what is free by the newest versions of rows, and why a host takes
 * nothing. They are kept beside each other between placements, of which each looks at all of them,
 * and those that have changed meanwhile are seen anew. */
#pragma once

#include "schedd/placement.h"
#include "schedd/state.h"

struct host_views {
	struct placement_host *hosts; /* in the order of the table; userdata: struct host_entry */
	size_t n;
	struct placement_gpu *gpus; /* of all hosts, in their order */
};

/* All zero is a valid start. Afterwards the views are those of the state's hosts as they are now,
 * until one of them changes; what they point to belongs to the rows. A state has one views only,
 * which takes its notes of what has changed. -ENOMEM. */
int host_views_refresh(struct host_views *views, struct state *state) _must_check_;
void host_views_clear(struct host_views *views);
