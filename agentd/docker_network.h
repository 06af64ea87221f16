/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The network that all environments of a host share, and on which they cannot reach each other. */
#pragma once

#include "agentd/docker_api.h"

struct docker_network;

/* Makes the network where it is missing; refuses one that lets its containers talk. The object
 * lives until docker_network_free, which may be called in on_done, and ends it. */
int docker_network_ensure(struct docker_network **ret, struct docker_api *api,
			  void (*on_done)(void *userdata, int error, const char *message),
			  void *userdata) _must_check_;
void docker_network_free(struct docker_network *network); /* NULL is fine */

DEFINE_CLEANUP(struct docker_network *, docker_network_free, cleanup_docker_network)
