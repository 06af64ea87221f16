/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Whether this kernel would take a table. */
#pragma once

#include "gatewayd/shape.h"
#include "gatewayd/transact.h"

struct policy;

/* Sends the whole table in one batch without its END: the kernel checks all of it, answers every
 * error, and aborts. The table has the maps of both families, and with a policy a mapping with it.
 * Returns an error only where nothing was sent; all else is in *result. */
int dry_run(struct netlink *netlink, const struct shape *shape, const struct policy *policy,
	    struct transact_result *result) _must_check_;
