/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Whether all services of one running instance answer on the ports where they are published. */
#pragma once

#include <event2/event.h>

#include "agentd/driver.h"
#include "proto/environment.h"

struct health;

/* Watches from now on. on_change runs whenever health_ready or health_reason may have changed. A
 * UDP service counts as answering; one without a published port never does. */
int health_new(struct health **ret, struct event_base *base, const struct environment_spec *spec,
	       const struct instance *instance, void (*on_change)(void *userdata), void *userdata)
	_must_check_;
void health_free(struct health *health); /* NULL is fine */

/* Whether it watches just these ports, of the same start. */
bool health_matches(const struct health *health, const struct environment_spec *spec,
		    const struct instance *instance);

bool health_ready(const struct health *health);
/* "service ssh: 10.0.0.5:40022: Connection refused"; "" where all answer. Returns buffer. */
const char *health_reason(const struct health *health, char *buffer, size_t size);

/* Where a service is published; NULL: nowhere. Borrowed from instance. */
const struct instance_port *instance_find_port(const struct instance *instance,
					       const struct service *service);

DEFINE_CLEANUP(struct health *, health_free, cleanup_health)
