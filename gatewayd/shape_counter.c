/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The named counters of our nftables table: how many packets its rules have refused, by reason.
 * Named counters outlive the rules that count with them.
 */
#include "gatewayd/shape_counter.h"

#include <string.h>

#define PREFIX "refused_"

struct counter_spec {
	const char *name;
	shape_sets needs; /* it is there while the table has one of these sets */
};

#define PAIR(set) (SHAPE_BIT(set##4) | SHAPE_BIT(set##6))

static const struct counter_spec counters[SHAPE_COUNTER_MAX] = {
	[SHAPE_REFUSED_ALLOW] = { PREFIX "allow", PAIR(SHAPE_GUARDED) },
	[SHAPE_REFUSED_RATE] = { PREFIX "rate", PAIR(SHAPE_RATE) },
	[SHAPE_REFUSED_CONNECTIONS] = { PREFIX "connections", PAIR(SHAPE_CONNECTIONS) },
	[SHAPE_REFUSED_BAN] = { PREFIX "ban", PAIR(SHAPE_BAN) },
	[SHAPE_REFUSED_SOURCE_RATE] = { PREFIX "source_rate", PAIR(SHAPE_SOURCE_RATE) },
};

const char *shape_counter_name(enum shape_counter counter)
{
	return counters[counter].name;
}

enum shape_counter shape_counter_parse(const char *name)
{
	for (int i = 0; i < SHAPE_COUNTER_MAX; i++)
		if (strcmp(counters[i].name, name) == 0)
			return i;
	return SHAPE_COUNTER_INVALID;
}

const char *shape_counter_reason(enum shape_counter counter)
{
	return counters[counter].name + strlen(PREFIX);
}

unsigned shape_counters(shape_sets sets)
{
	unsigned bits = 0;

	for (int i = 0; i < SHAPE_COUNTER_MAX; i++)
		if (counters[i].needs & sets)
			bits |= SHAPE_COUNTER_BIT(i);
	return bits;
}
