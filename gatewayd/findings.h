/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What of the machine keeps the gateway from working well, each with the command that mends it. It
 * looks and says; it changes nothing.
 */
#pragma once

#include "gatewayd/admit.h"
#include "gatewayd/ledger.h"
#include "gatewayd/shape.h"

#define FINDINGS_MAX 8

struct finding {
	bool error; /* it does not work at all; else: it may */
	char message[200];
	char remedy[160];
};

/* Host settings of this network namespace; with a ledger (may be NULL) also what its ports meet.
 * Returns how many there are. */
size_t findings_collect(struct finding ret[FINDINGS_MAX], const struct admission *admission,
			const struct ledger *ledger);

/* Whether the kernel takes our table: it is asked to check it, and to keep nothing of it. Adds what
 * is missing, privilege or feature, to the findings. */
size_t findings_kernel(struct finding ret[FINDINGS_MAX], size_t n, const struct shape *shape);
