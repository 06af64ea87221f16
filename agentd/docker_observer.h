/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What containers of ours exist in Docker, and how they are. It follows the event stream, lists
 * again after each gap and slowly all the time, and inspects whatever changed: events only say
 * where to look. It changes nothing in Docker.
 */
#pragma once

#include <event2/event.h>

#include "agentd/docker_api.h"
#include "agentd/driver.h"
#include "agentd/volumes.h"

struct docker_observer;

struct docker_observer_config {
	struct event_base *base;
	struct docker_api *api;
	struct volumes *volumes; /* for the mark of what was stopped on request */
	const char *host;        /* name of this host, copied */
	uint32_t list_ms;        /* full look at least this often; 0: 60 s */
};

/* Begins at once, from the loop. */
int docker_observer_new(struct docker_observer **ret, const struct docker_observer_config *config,
			const struct driver_events *events, void *userdata) _must_check_;
void docker_observer_free(struct docker_observer *observer); /* NULL is fine */

/* Looks at one container now; on_fresh runs once a look that began after this call has been told as
 * event. One waiter a container. */
int docker_observer_refresh(struct docker_observer *observer, const char *id,
			    void (*on_fresh)(void *userdata), void *userdata) _must_check_;
/* The waiter of this container does not wait any more. */
void docker_observer_forget(struct docker_observer *observer, const char *id);

/* Lists all containers again, soon. */
void docker_observer_relist(struct docker_observer *observer);

DEFINE_CLEANUP(struct docker_observer *, docker_observer_free, cleanup_docker_observer)
