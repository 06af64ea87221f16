/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Puts into a container that never ran what makes its environment reachable: the SSH host key, the
 * login user with password hash and authorized keys, and the volumes' owner. It may be repeated.
 *
 * Only a container that never ran is written to: nobody can then turn a path under our hands into a
 * link. The secrets travel in the body of a request and nowhere else.
 */
#pragma once

#include "agentd/docker_api.h"
#include "agentd/volumes.h"
#include "proto/environment.h"

struct docker_seed;

/* The object lives until docker_seed_free, which may be called in on_done, and ends it. assignment
 * must outlive it. */
int docker_seed_start(struct docker_seed **ret, struct docker_api *api, struct volumes *volumes,
		      const char *container, const struct assignment *assignment,
		      void (*on_done)(void *userdata, int error, const char *message),
		      void *userdata) _must_check_;
void docker_seed_free(struct docker_seed *seed); /* NULL is fine */

DEFINE_CLEANUP(struct docker_seed *, docker_seed_free, cleanup_docker_seed)
