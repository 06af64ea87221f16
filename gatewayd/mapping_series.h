/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The series of each mapping, or of those with most traffic: counters as they are at one moment,
 * and their lines of a scrape, written by hand and piece by piece.
 */
#pragma once

#include <event2/buffer.h>

#include "gatewayd/accounting.h"
#include "gatewayd/ledger.h"

struct mapping_series;

struct mapping_series_view {
	const struct accounting *accounting;
	const struct ledger *ledger;
	size_t limit; /* mappings that have series */
};

/* The counters of now. -ENOMEM. */
int mapping_series_new(struct mapping_series **ret, const struct mapping_series_view *view)
	_must_check_;
void mapping_series_free(struct mapping_series *series); /* NULL is fine */

enum mapping_count {
	MAPPING_BYTES, /* by direction, as packets are */
	MAPPING_PACKETS,
	MAPPING_CONNECTIONS,
};

/* Appends the next lines of a family of this name, from index on (0 at first), which is moved. 1:
 * there are more, 0: these were the last; -ENOMEM. */
int mapping_series_write(const struct mapping_series *series, enum mapping_count count,
			 const char *name, size_t *index, struct evbuffer *out) _must_check_;

DEFINE_CLEANUP(struct mapping_series *, mapping_series_free, cleanup_mapping_series)
