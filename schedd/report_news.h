/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A host's report as schedd keeps it, and what one says that the one before did not: most of them
 * are heartbeats, with all containers of the host, of which none has changed. Pure. */
#pragma once

#include "schedd/model.h"

/* Brings the containers into the order that the others here expect. */
void report_sort(struct host_report *report);

/* NULL: the host has none for this environment. */
const struct container_report *report_container(const struct host_report *report,
						const char *environment);

/* Can another decision about this environment, which has its place on the host, follow from `now`
 * than from `before`? Everything that lifecycle_host takes from a report is in the answer. */
bool report_has_news(const struct host_report *before, const struct host_report *now,
		     const struct environment *environment);
