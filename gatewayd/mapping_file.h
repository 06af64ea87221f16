/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The file of mappings of a gateway that stands alone: read at start and at SIGHUP, it says what
 * all mappings are. It never writes the file, and a file that cannot be taken in changes nothing.
 */
#pragma once

#include <event2/event.h>

#include "gatewayd/admit.h"
#include "gatewayd/finding.h"
#include "gatewayd/guard.h"
#include "gatewayd/reconcile.h"

struct mapping_file;

struct mapping_file_config {
	const char *path;                  /* borrowed; NULL: there is none, and SIGHUP says so */
	const struct admission *admission; /* borrowed */
	struct reconciler *reconciler;
	struct guard *guard;
};

/* Takes SIGHUP, and submits what the file says. What is wrong with it is logged and a finding: the
 * mappings of before stay. A mapping whose port cannot be had is left out until the next reading.
 * -ENOMEM. */
int mapping_file_new(struct mapping_file **ret, struct event_base *base,
		     const struct mapping_file_config *config) _must_check_;
/* Its changes must have been answered: free the reconciler first. NULL is fine. */
void mapping_file_free(struct mapping_file *file);

/* What of the file is not in the kernel, and why. */
void mapping_file_findings(const struct mapping_file *file, struct findings *findings);
/* The same for a file that is looked at only. */
void mapping_file_check(const char *path, const struct admission *admission,
			struct findings *findings);

DEFINE_CLEANUP(struct mapping_file *, mapping_file_free, cleanup_mapping_file)
