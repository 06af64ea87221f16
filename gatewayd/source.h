/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What source handling puts into the table beside its rules: the addresses of SOURCE_SNAT by
 * number, and for SOURCE_PRESERVE each link with itself. It changes the desired side of members
 * only.
 */
#pragma once

#include "gatewayd/members.h"

struct source {
	enum source_mode mode;
	const struct address *addresses; /* borrowed; of SOURCE_SNAT, both families */
	size_t n_addresses;
};

/* Addresses of this family. */
uint32_t source_count(const struct source *source, uint8_t family);

/* Makes exactly these the desired members of the sets that are source handling's: links are their
 * indexes, of which those over SHAPE_LINKS_MAX are left out. -ENOMEM. */
int source_desire(const struct source *source, const int *links, size_t n_links,
		  struct members *members) _must_check_;
