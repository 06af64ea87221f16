/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Short ways for the tests of flows to say what the kernel says. */
#pragma once

#include <linux/netfilter/nf_conntrack_common.h>

#include "gatewayd/flow_table.h"
#include "tests/unit/gatewayd/make.h"

/* An entry as listings show it: connection number id from client port 40000 + id to a key, led to a
 * target, with these bytes in; out are twice as many, packets a tenth. */
static inline struct ct_entry entry_of(uint32_t id, const char *key, const char *target,
				       uint64_t bytes)
{
	const struct mapping_key k = key_of(key);

	return (struct ct_entry){
		.original = { .source = { .address = endpoint_of("198.51.100.2:1").address,
					  .port = (uint16_t)(40000 + id) },
			      .destination = { .address = k.address, .port = k.port },
			      .protocol = k.protocol },
		.reply = { .source = endpoint_of(target), .protocol = k.protocol },
		.status = IPS_DST_NAT | IPS_SEEN_REPLY,
		.id = id,
		.bytes = { bytes, 2 * bytes },
		.packets = { bytes / 10, bytes / 5 },
	};
}

/* What its mapping's account has, all 0 where there is none. */
static inline struct totals totals_of(const struct flow_table *table, const char *key)
{
	const struct mapping_key k = key_of(key);
	const struct account *account = flow_table_account(table, &k, NULL);

	return account ? account->totals : (struct totals){ 0 };
}

static inline void expect(const struct totals *totals, uint64_t bytes, uint64_t connections,
			  int line)
{
	cr_assert_eq(totals->traffic.bytes[CT_IN], bytes, "line %d: %ju bytes", line,
		     (uintmax_t)totals->traffic.bytes[CT_IN]);
	cr_assert_eq(totals->traffic.bytes[CT_OUT], 2 * bytes, "line %d", line);
	cr_assert_eq(totals->traffic.packets[CT_IN], bytes / 10, "line %d", line);
	cr_assert_eq(totals->traffic.packets[CT_OUT], bytes / 5, "line %d", line);
	cr_assert_eq(totals->connections, connections, "line %d: %ju connections", line,
		     (uintmax_t)totals->connections);
}
