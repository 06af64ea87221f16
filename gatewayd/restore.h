/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What should be at the start: from the kernel's table, which is adopted, and the state file, which
 * knows what a kernel cannot tell. It changes neither.
 */
#pragma once

#include "gatewayd/applier.h"
#include "gatewayd/state.h"

struct restore_config {
	struct applier *applier;
	struct ledger *ledger;
	const struct address *addresses; /* public ones; none: all count as ours */
	size_t n_addresses;
	size_t map_size;
	struct state *state;       /* NULL: the kernel only */
	struct sweep_list *sweeps; /* gets what an earlier process had not looked through */
};

struct restore_result {
	size_t adopted;  /* mappings that only the kernel's table had */
	size_t restored; /* mappings that the state file had, and that are kept */
	size_t dropped;  /* and those that are not: not for this gateway any more */
};

/* Fills both sides of the ledger. Where there is a table and the file is not behind it, the file
 * says what should be, and what the table has beyond is adopted. A file that is behind a table
 * gives only the fields of mappings that the table has with the same target. Without a table the
 * file is all there is. What has expired meanwhile is desired too: it has an end to come to. */
int restore_run(const struct restore_config *config, struct restore_result *ret, struct error *err)
	_must_check_;

/* Whether the file does not say what should be now, and must be written anew. */
bool restore_differs(const struct restore_result *result);
