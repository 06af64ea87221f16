/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Messages of connection tracking: its entries read, and requests for them made, in this one place.
 * It sends and receives nothing.
 */
#include "gatewayd/ctnetlink.h"

#include <arpa/inet.h>
#include <endian.h>
#include <errno.h>
#include <libmnl/libmnl.h>
#include <linux/netfilter/nf_conntrack_common.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netfilter/nfnetlink_conntrack.h>
#include <string.h>

/* The kernel's flags of CTA_FILTER, which its headers keep to itself. */
#define FILTER_ADDRESS_DESTINATION (1u << 1)
#define FILTER_PROTOCOL (1u << 3)
#define FILTER_PORT_DESTINATION (1u << 5)

#define NS_PER_SECOND UINT64_C(1000000000)

/* ---- reading ---- */

/* An entry has two dozen attributes, and entries come by the ten thousand: libmnl, whose every step
 * is a call, took a third of the time of reading them. */

static bool attr_ok(const struct nlattr *attr, const uint8_t *end)
{
	ptrdiff_t left = end - (const uint8_t *)attr;

	return left >= (ptrdiff_t)sizeof(*attr) && attr->nla_len >= sizeof(*attr) &&
	       attr->nla_len <= left;
}

static const struct nlattr *attr_next(const struct nlattr *attr)
{
	return (const struct nlattr *)((const uint8_t *)attr + NLA_ALIGN(attr->nla_len));
}

static const uint8_t *attr_payload(const struct nlattr *attr)
{
	return (const uint8_t *)attr + NLA_HDRLEN;
}

static const uint8_t *attr_end(const struct nlattr *attr)
{
	return (const uint8_t *)attr + attr->nla_len;
}

static unsigned attr_type(const struct nlattr *attr)
{
	return attr->nla_type & (unsigned)NLA_TYPE_MASK;
}

#define for_each_attr(attr, begin, end)                                     \
	for ((attr) = (const struct nlattr *)(begin); attr_ok((attr), end); \
	     (attr) = attr_next(attr))
#define for_each_nested(attr, nest) for_each_attr(attr, attr_payload(nest), attr_end(nest))

/* Nothing of it where it is of another size. */
static void read_bytes(const struct nlattr *attr, void *ret, size_t size)
{
	if ((size_t)(attr_end(attr) - attr_payload(attr)) == size)
		memcpy(ret, attr_payload(attr), size);
}

static uint8_t read_u8(const struct nlattr *attr)
{
	uint8_t value = 0;

	read_bytes(attr, &value, sizeof(value));
	return value;
}

static uint16_t read_u16(const struct nlattr *attr)
{
	uint16_t value = 0;

	read_bytes(attr, &value, sizeof(value));
	return ntohs(value);
}

static uint32_t read_u32(const struct nlattr *attr)
{
	uint32_t value = 0;

	read_bytes(attr, &value, sizeof(value));
	return ntohl(value);
}

static uint64_t read_u64(const struct nlattr *attr)
{
	uint64_t value = 0;

	read_bytes(attr, &value, sizeof(value));
	return be64toh(value);
}

static void read_address(const struct nlattr *nest, struct ct_tuple *tuple)
{
	const struct nlattr *attr;

	for_each_nested(attr, nest)
	{
		unsigned type = attr_type(attr);
		bool v6 = type == CTA_IP_V6_SRC || type == CTA_IP_V6_DST;
		struct address *address = type == CTA_IP_V4_SRC || type == CTA_IP_V6_SRC
						  ? &tuple->source.address
						  : &tuple->destination.address;

		if (attr_end(attr) - attr_payload(attr) != (v6 ? 16 : 4))
			continue;
		address->family = v6 ? AF_INET6 : AF_INET;
		memcpy(address->bytes, attr_payload(attr), v6 ? 16 : 4);
	}
}

static void read_protocol(const struct nlattr *nest, struct ct_tuple *tuple)
{
	const struct nlattr *attr;

	for_each_nested(attr, nest)
	{
		switch (attr_type(attr)) {
		case CTA_PROTO_NUM:
			tuple->protocol = read_u8(attr);
			break;
		case CTA_PROTO_SRC_PORT:
			tuple->source.port = read_u16(attr);
			break;
		case CTA_PROTO_DST_PORT:
			tuple->destination.port = read_u16(attr);
			break;
		}
	}
}

static void read_tuple(const struct nlattr *nest, struct ct_tuple *tuple)
{
	const struct nlattr *attr;

	for_each_nested(attr, nest)
	{
		if (attr_type(attr) == CTA_TUPLE_IP)
			read_address(attr, tuple);
		else if (attr_type(attr) == CTA_TUPLE_PROTO)
			read_protocol(attr, tuple);
	}
}

static void read_counters(const struct nlattr *nest, struct ct_entry *entry,
			  enum ct_direction direction)
{
	const struct nlattr *attr;

	for_each_nested(attr, nest)
	{
		if (attr_type(attr) == CTA_COUNTERS_BYTES)
			entry->bytes[direction] = read_u64(attr);
		else if (attr_type(attr) == CTA_COUNTERS_PACKETS)
			entry->packets[direction] = read_u64(attr);
	}
}

static void read_started(const struct nlattr *nest, struct ct_entry *entry)
{
	const struct nlattr *attr;

	for_each_nested(attr, nest)
	{
		if (attr_type(attr) == CTA_TIMESTAMP_START)
			entry->started = (int64_t)(read_u64(attr) / NS_PER_SECOND);
	}
}

static void read_tcp_state(const struct nlattr *nest, struct ct_entry *entry)
{
	const struct nlattr *attr, *inner;

	for_each_nested(attr, nest)
	{
		if (attr_type(attr) != CTA_PROTOINFO_TCP)
			continue;
		for_each_nested(inner, attr)
		{
			if (attr_type(inner) == CTA_PROTOINFO_TCP_STATE)
				entry->tcp_state = read_u8(inner);
		}
	}
}

static void read_attribute(const struct nlattr *attr, struct ct_entry *entry)
{
	switch (attr_type(attr)) {
	case CTA_TUPLE_ORIG:
		read_tuple(attr, &entry->original);
		break;
	case CTA_TUPLE_REPLY:
		read_tuple(attr, &entry->reply);
		break;
	case CTA_STATUS:
		entry->status = read_u32(attr);
		break;
	case CTA_ID:
		entry->id = read_u32(attr);
		break;
	case CTA_ZONE:
		entry->zone = read_u16(attr);
		break;
	case CTA_COUNTERS_ORIG:
		read_counters(attr, entry, CT_IN);
		break;
	case CTA_COUNTERS_REPLY:
		read_counters(attr, entry, CT_OUT);
		break;
	case CTA_TIMESTAMP:
		read_started(attr, entry);
		break;
	case CTA_PROTOINFO:
		read_tcp_state(attr, entry);
		break;
	}
}

int ct_entry_parse(const struct nlmsghdr *message, struct ct_entry *ret)
{
	struct ct_entry entry = { 0 };
	const struct nlattr *attr;
	const uint8_t *begin;

	if (message->nlmsg_type >> 8 != NFNL_SUBSYS_CTNETLINK ||
	    mnl_nlmsg_get_payload_len(message) < sizeof(struct nfgenmsg))
		return -EBADMSG;
	begin = (const uint8_t *)mnl_nlmsg_get_payload(message) +
		NLMSG_ALIGN(sizeof(struct nfgenmsg));
	for_each_attr(attr, begin, (const uint8_t *)message + message->nlmsg_len)
		read_attribute(attr, &entry);
	if (entry.original.destination.address.family == AF_UNSPEC)
		return -EBADMSG;
	*ret = entry;
	return 0;
}

bool ct_entry_is_translated(const struct ct_entry *entry)
{
	return entry->status & IPS_DST_NAT;
}

struct mapping_key ct_entry_key(const struct ct_entry *entry)
{
	return (struct mapping_key){ .address = entry->original.destination.address,
				     .port = entry->original.destination.port,
				     .protocol = entry->original.protocol };
}

/* ---- requests ---- */

static struct nlmsghdr *put_header(void *buffer, uint16_t type, uint16_t flags, uint8_t family)
{
	struct nlmsghdr *header = mnl_nlmsg_put_header(buffer);
	struct nfgenmsg *nfgen;

	header->nlmsg_type = (uint16_t)(NFNL_SUBSYS_CTNETLINK << 8 | type);
	header->nlmsg_flags = NLM_F_REQUEST | flags;
	nfgen = mnl_nlmsg_put_extra_header(header, sizeof(*nfgen));
	nfgen->nfgen_family = family;
	nfgen->version = NFNETLINK_V0;
	return header;
}

/* A source of no family is left out. */
static void put_tuple(struct nlmsghdr *header, const struct ct_tuple *tuple)
{
	const struct address *source = &tuple->source.address,
			     *destination = &tuple->destination.address;
	bool v6 = destination->family == AF_INET6, both = source->family != AF_UNSPEC;
	struct nlattr *nest = mnl_attr_nest_start(header, CTA_TUPLE_ORIG), *inner;

	inner = mnl_attr_nest_start(header, CTA_TUPLE_IP);
	if (both)
		mnl_attr_put(header, v6 ? CTA_IP_V6_SRC : CTA_IP_V4_SRC, address_length(source),
			     source->bytes);
	mnl_attr_put(header, v6 ? CTA_IP_V6_DST : CTA_IP_V4_DST, address_length(destination),
		     destination->bytes);
	mnl_attr_nest_end(header, inner);
	inner = mnl_attr_nest_start(header, CTA_TUPLE_PROTO);
	mnl_attr_put_u8(header, CTA_PROTO_NUM, tuple->protocol);
	if (both)
		mnl_attr_put_u16(header, CTA_PROTO_SRC_PORT, htons(tuple->source.port));
	mnl_attr_put_u16(header, CTA_PROTO_DST_PORT, htons(tuple->destination.port));
	mnl_attr_nest_end(header, inner);
	mnl_attr_nest_end(header, nest);
}

struct nlmsghdr *ct_request_of_key(void *buffer, const struct mapping_key *key)
{
	const struct ct_tuple tuple = {
		.destination = { .address = key->address, .port = key->port },
		.protocol = key->protocol,
	};
	struct nlmsghdr *header =
		put_header(buffer, IPCTNL_MSG_CT_GET, NLM_F_DUMP, key->address.family);
	struct nlattr *nest;

	put_tuple(header, &tuple);
	nest = mnl_attr_nest_start(header, CTA_FILTER);
	mnl_attr_put_u32(header, CTA_FILTER_ORIG_FLAGS,
			 FILTER_ADDRESS_DESTINATION | FILTER_PROTOCOL | FILTER_PORT_DESTINATION);
	mnl_attr_put_u32(header, CTA_FILTER_REPLY_FLAGS, 0);
	mnl_attr_nest_end(header, nest);
	return header;
}

struct nlmsghdr *ct_request_of_family(void *buffer, uint8_t family)
{
	return put_header(buffer, IPCTNL_MSG_CT_GET, NLM_F_DUMP, family);
}

struct nlmsghdr *ct_request_translated(void *buffer)
{
	struct nlmsghdr *header = put_header(buffer, IPCTNL_MSG_CT_GET, NLM_F_DUMP, AF_UNSPEC);

	/* An entry that is dying has told its end by an event. */
	mnl_attr_put_u32(header, CTA_STATUS, htonl(IPS_DST_NAT));
	mnl_attr_put_u32(header, CTA_STATUS_MASK, htonl(IPS_DST_NAT | IPS_DYING));
	return header;
}

struct nlmsghdr *ct_request_delete(void *buffer, const struct ct_entry *entry)
{
	struct nlmsghdr *header = put_header(buffer, IPCTNL_MSG_CT_DELETE, 0,
					     entry->original.destination.address.family);

	put_tuple(header, &entry->original);
	mnl_attr_put_u32(header, CTA_ID, htonl(entry->id));
	if (entry->zone != 0)
		mnl_attr_put_u16(header, CTA_ZONE, htons(entry->zone));
	return header;
}

struct nlmsghdr *ct_request_fill(void *buffer)
{
	return put_header(buffer, IPCTNL_MSG_CT_GET_STATS, 0, AF_UNSPEC);
}

struct nlmsghdr *ct_request_cpu_stats(void *buffer)
{
	return put_header(buffer, IPCTNL_MSG_CT_GET_STATS_CPU, NLM_F_DUMP, AF_UNSPEC);
}
