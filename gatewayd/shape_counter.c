/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The named counters of our nftables table: how many packets its rules have refused, by reason.
 * Named counters outlive the rules that count with them.
 */
#include "gatewayd/shape_counter.h"

#include <arpa/inet.h>
#include <endian.h>
#include <libmnl/libmnl.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>
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

enum shape_counter shape_counter_read(const struct nlmsghdr *message, bool *ret_ours,
				      uint64_t *ret_packets)
{
	const struct nfgenmsg *nfgen = mnl_nlmsg_get_payload(message);
	const char *table = "", *name = "";
	const struct nlattr *attr, *data = NULL, *inner;
	uint32_t type = 0;

	mnl_attr_for_each(attr, message, sizeof(*nfgen))
	{
		if (mnl_attr_get_type(attr) == NFTA_OBJ_TABLE)
			table = mnl_attr_get_str(attr);
		else if (mnl_attr_get_type(attr) == NFTA_OBJ_NAME)
			name = mnl_attr_get_str(attr);
		else if (mnl_attr_get_type(attr) == NFTA_OBJ_TYPE)
			type = ntohl(mnl_attr_get_u32(attr));
		else if (mnl_attr_get_type(attr) == NFTA_OBJ_DATA)
			data = attr;
	}
	*ret_ours = shape_is_table(table, nfgen->nfgen_family);
	*ret_packets = 0;
	if (!*ret_ours || type != NFT_OBJECT_COUNTER || !data)
		return SHAPE_COUNTER_INVALID;
	mnl_attr_for_each_nested(inner, data)
	{
		if (mnl_attr_get_type(inner) == NFTA_COUNTER_PACKETS)
			*ret_packets = be64toh(mnl_attr_get_u64(inner));
	}
	return shape_counter_parse(name);
}
