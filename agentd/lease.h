/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Until when this host may run what could run elsewhere: so long after the sending of the last
 * report that a leading scheduler has answered. Kept in a file, so that a restart of agentd neither
 * shortens nor lengthens it.
 *
 * The clock goes on while the machine sleeps (CLOCK_BOOTTIME), and begins anew when it boots: what
 * an earlier boot was allowed is over.
 */
#pragma once

#include "lib/error.h"
#include "lib/util.h"

struct lease {
	char *path;
	char boot[40];       /* id of this boot */
	uint64_t granted_ms; /* 0: never in this boot */
	uint64_t length_ms;  /* 0: for ever, once it was granted */
	uint64_t written_ms; /* what the file has of granted_ms */
};

int lease_init(struct lease *lease, const char *data_dir, struct error *err) _must_check_;
void lease_clear(struct lease *lease);

/* The answer to a report that was sent at this time grants so much. Writes the file where it is
 * more than a second behind: an older time in it is on the safe side. It does not wait for the
 * disk: the file says nothing to another boot. */
int lease_renew(struct lease *lease, uint64_t sent_ms, uint64_t length_ms, struct error *err)
	_must_check_;

/* What is left of it; 0: it is over. */
uint64_t lease_left_ms(const struct lease *lease, uint64_t now_ms);
