/* SPDX-License-Identifier: GPL-2.0-or-later */
/* How many packets the admission chain has refused: by reason from the table's named counters, and
 * by mapping from the counters of its elements. They are read from the kernel in the background, a
 * part at a time; whoever asks is answered from memory.
 */
#pragma once

#include <event2/event.h>

#include "gatewayd/ledger.h"
#include "gatewayd/shape_counter.h"

struct refusals;

/* Shape and ledger are borrowed; the ledger's members are where the counts by mapping go. */
int refusals_new(struct refusals **ret, struct event_base *base, const struct shape *shape,
		 struct ledger *ledger) _must_check_;
void refusals_free(struct refusals *refusals); /* NULL is fine */

/* Reads the named counters and the next elements now. What cannot be read is read the next time. */
void refusals_read(struct refusals *refusals);

/* Packets refused for this reason. It never falls, also where the kernel's counter was made anew.
 */
uint64_t refusals_total(const struct refusals *refusals, enum shape_counter counter);

DEFINE_CLEANUP(struct refusals *, refusals_free, cleanup_refusals)
