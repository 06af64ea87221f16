/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Reading the structure of our table back from the kernel, table, sets, counters, flowtable, chains
 * and rules, and comparing each with our shape. It changes nothing in the kernel.
 */
#pragma once

#include "gatewayd/netlink.h"
#include "gatewayd/plan.h"

/* A listing takes a while where there is much to list; the kernel answers each piece at once. */
#define DUMP_TIMEOUT_MS 30000

/* Fills structure, which is zeroed; also after an error it has to be cleared. -ENOENT where the
 * table went while it was read. After any error the socket has to be closed. */
int dump_structure(struct netlink *netlink, const struct shape *shape, struct structure *structure)
	_must_check_;
