/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The named counters of our nftables table: how many packets its rules have refused, by reason.
 * Named counters outlive the rules that count with them.
 */
#pragma once

#include <linux/netlink.h>

#include "gatewayd/shape_set.h"

enum shape_counter {
	SHAPE_REFUSED_ALLOW,
	SHAPE_REFUSED_RATE,
	SHAPE_REFUSED_CONNECTIONS,
	SHAPE_REFUSED_BAN,
	SHAPE_REFUSED_SOURCE_RATE,
	SHAPE_COUNTER_MAX,
	SHAPE_COUNTER_INVALID = -1,
};
#define SHAPE_COUNTER_BIT(counter) (1u << (counter))

/* "refused_allow", …; the counter of a name, SHAPE_COUNTER_INVALID for any other. */
const char *shape_counter_name(enum shape_counter counter);
enum shape_counter shape_counter_parse(const char *name);
/* "allow", …: why a packet was refused. */
const char *shape_counter_reason(enum shape_counter counter);
/* All counters of a table with these sets, as SHAPE_COUNTER_BITs. */
unsigned shape_counters(shape_sets sets);

/* Reads the message of a named object. SHAPE_COUNTER_INVALID where it is none of our counters;
 * *ret_ours says whether it is in our table at all. */
enum shape_counter shape_counter_read(const struct nlmsghdr *message, bool *ret_ours,
				      uint64_t *ret_packets);
