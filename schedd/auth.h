/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The guard of the API: who calls (a bearer token, or root and our own user on the Unix socket),
 * and whether the route is theirs. Failures are counted and limited per source, and requests per
 * caller (limits.h). It notes when a token was used last and has that written now and then, many at
 * a time. A token's text goes nowhere from here.
 */
#pragma once

#include <event2/event.h>

#include "lib/metrics.h"
#include "schedd/access.h"
#include "schedd/limits.h"
#include "schedd/scheduler.h"

struct auth;

/* Sets itself as the server's guard. What is passed must outlive it. */
int auth_new(struct auth **ret, struct event_base *base, struct http_server *server,
	     struct scheduler *scheduler, struct metrics *metrics,
	     const struct limits_config *limits) _must_check_;
void auth_free(struct auth *auth); /* NULL is fine */

/* The request is about to become a watch. False: it was one too many, or its token was revoked
 * since it came, and it was answered. */
bool auth_takes_watch(struct http_request *request);

/* Answers with 429, counted: the request is over the limit of this option, for a reason that the
 * name alone does not tell, and can come again after a while. */
void auth_refuse_over(struct http_request *request, const char *limit, const char *why,
		      uint64_t wait_ms);

DEFINE_CLEANUP(struct auth *, auth_free, cleanup_auth)
