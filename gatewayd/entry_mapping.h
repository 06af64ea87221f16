/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A ledger entry's desired side as the mapping that its owner wrote, for answers and for the state
 * file.
 */
#pragma once

#include "gatewayd/ledger.h"
#include "gatewayd/shape.h"

/* The mapping's strings are the label's, its allow-list is the entry's. */
struct entry_view {
	struct mapping mapping;
	struct shape_label label;
};

void entry_view(const struct entry *entry, struct entry_view *ret);
/* Its JSON; see mapping_write. */
size_t entry_write(const struct entry *entry, char buffer[MAPPING_TEXT_MAX]);
