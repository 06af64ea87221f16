/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The logs that somebody reads through schedd: what the driver gives of each is posted in pieces,
 * as proto/log_session.h says. The driver is read no faster than the pieces are taken, and a
 * session that schedd does not know any more is dropped.
 */
#pragma once

#include <event2/event.h>

#include "agentd/driver.h"
#include "lib/http_client.h"
#include "lib/metrics.h"
#include "proto/follower.h"

#define LOG_UPLOADS_MAX 64 /* at a time; more are refused with a reason */

struct log_uploads;

struct log_uploads_config {
	struct event_base *base;
	struct http_client *client; /* the follower's */
	struct follower *follower;  /* pieces go where it goes */
	struct driver *driver;
	struct metric *bytes; /* log_bytes_total; may be NULL */
};

int log_uploads_new(struct log_uploads **ret, const struct log_uploads_config *config) _must_check_;
/* Drops every session. Before the follower and the driver; NULL is fine. */
void log_uploads_free(struct log_uploads *uploads);

/* A session is wanted, or not any more; one that is known already is nothing new. */
void log_uploads_ask(struct log_uploads *uploads, json_t *session);

unsigned log_uploads_count(const struct log_uploads *uploads);

DEFINE_CLEANUP(struct log_uploads *, log_uploads_free, cleanup_log_uploads)
