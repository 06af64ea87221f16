/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Closes the difference between what is assigned to this host and what its engine runs: one step at
 * a time for each environment, several environments at a time. It decides when; plan.h decides
 * what.
 *
 * It never removes an instance before a complete list of assignments has arrived, and never one
 * that the driver has not told of as ours.
 */
#pragma once

#include <event2/event.h>

#include "agentd/driver.h"
#include "lib/json.h"
#include "lib/metrics.h"
#include "proto/report.h"

struct reconcile;

struct reconcile_config {
	struct event_base *base;
	struct driver *driver;     /* borrowed; must outlive it, and is started by it */
	unsigned parallel;         /* steps that make and start, and as many that stop and remove */
	const struct lease *lease; /* borrowed */
	const char *data_dir;      /* borrowed; see ends_file.h */
	struct metric *seconds;    /* histogram by action; may be NULL */
	/* Something that a report would tell has changed. */
	void (*on_change)(void *userdata);
	void *userdata;
};

int reconcile_new(struct reconcile **ret, const struct reconcile_config *config) _must_check_;
/* Ends steps under way where they are; containers stay as they are. NULL is fine. */
void reconcile_free(struct reconcile *reconcile);

/* What arrives on the watch stream; see proto/watch.h. -ENOMEM: some of it was lost, and what was
 * kept is not at its revision; it has to be asked for anew. */
int reconcile_snapshot(struct reconcile *reconcile, uint64_t epoch, json_t *items) _must_check_;
int reconcile_apply(struct reconcile *reconcile, uint64_t epoch, json_t *put, json_t *deleted)
	_must_check_;

/* The lease was renewed. */
void reconcile_renew(struct reconcile *reconcile);

/* Whether the engine has been seen in full at least once. */
bool reconcile_looked(const struct reconcile *reconcile);
/* Why the engine does not answer; NULL: it does. */
const char *reconcile_engine_error(const struct reconcile *reconcile);

/* Fills containers and n_containers of *report. */
int reconcile_report(const struct reconcile *reconcile, struct host_report *report) _must_check_;
void reconcile_count(const struct reconcile *reconcile, size_t counts[CONTAINER_STATE_MAX]);

DEFINE_CLEANUP(struct reconcile *, reconcile_free, cleanup_reconcile)
