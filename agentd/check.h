/* SPDX-License-Identifier: GPL-2.0-or-later */
/* agentd --check: what stands in the way on this machine, with the remedy for each finding. It
 * changes nothing.
 */
#pragma once

#include "agentd/options.h"

/* Prints every finding to stdout. Returns their number. */
unsigned check_machine(const struct options *options);
