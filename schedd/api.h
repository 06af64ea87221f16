/* SPDX-License-Identifier: GPL-2.0-or-later */
/* schedd's HTTP API under /v1: requests become calls of the scheduler, and rows become answers. It
 * decides nothing. proto/openapi.yaml describes it.
 */
#pragma once

#include <event2/event.h>

#include "lib/http_server.h"
#include "lib/metrics.h"
#include "schedd/event_log.h"
#include "schedd/feed.h"
#include "schedd/log_sessions.h"
#include "schedd/password.h"
#include "schedd/scheduler.h"

struct api;

struct api_config {
	struct http_server *server; /* routes are added to it */
	struct scheduler *scheduler;
	struct feed *feed;
	struct archive *archive;
	struct log_sessions *logs;
	struct password_hasher *hasher;
	struct metrics *metrics;
	const char *public_name;          /* borrowed; NULL: the ports' own addresses */
	const char *login;                /* borrowed: the user of new environments */
	const struct string_list *images; /* borrowed: that customers may use; see tenancy_check */
};

int api_new(struct api **ret, const struct api_config *config) _must_check_;
/* Answers what is waiting: with 504 what is being committed, else with 503. Free it before what its
 * configuration names. NULL is fine. */
void api_free(struct api *api);

DEFINE_CLEANUP(struct api *, api_free, cleanup_api)
