/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Connection tracking entries of our mappings: finding and deleting those that no longer lead where
 * their mapping does. It touches no entry of a port that it is not asked for.
 */
#include "gatewayd/conntrack.h"

#include <arpa/inet.h>
#include <errno.h>
#include <libmnl/libmnl.h>
#include <linux/netfilter/nf_conntrack_common.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netfilter/nfnetlink_conntrack.h>
#include <string.h>

#define TIMEOUT_MS 10000
#define REQUEST_MAX 512

/* The kernel's flags of CTA_FILTER, which its headers keep to itself. */
#define FILTER_ADDRESS_DESTINATION (1u << 1)
#define FILTER_PROTOCOL (1u << 3)
#define FILTER_PORT_DESTINATION (1u << 5)

/* A delete request that waits for the listing to end: its bytes follow. */
struct victim {
	struct victim *next;
	size_t length;
	uint8_t request[];
};

struct sweeper {
	const struct sweep *sweeps;
	size_t n_sweeps;
	uint8_t family;
	struct victim *victims;
};

static int compare_sweeps(const void *a, const void *b)
{
	return mapping_key_compare(&((const struct sweep *)a)->key,
				   &((const struct sweep *)b)->key);
}

struct tuple {
	struct endpoint source, destination;
	uint8_t protocol;
};

static void read_tuple_address(const struct nlattr *nest, struct tuple *tuple)
{
	const struct nlattr *attr;

	mnl_attr_for_each_nested(attr, nest)
	{
		uint16_t type = mnl_attr_get_type(attr);
		bool v6 = type == CTA_IP_V6_SRC || type == CTA_IP_V6_DST;
		struct address *address = type == CTA_IP_V4_SRC || type == CTA_IP_V6_SRC
						  ? &tuple->source.address
						  : &tuple->destination.address;

		if (mnl_attr_get_payload_len(attr) != (v6 ? 16 : 4))
			continue;
		address->family = v6 ? AF_INET6 : AF_INET;
		memcpy(address->bytes, mnl_attr_get_payload(attr), v6 ? 16 : 4);
	}
}

static void read_tuple_protocol(const struct nlattr *nest, struct tuple *tuple)
{
	const struct nlattr *attr;

	mnl_attr_for_each_nested(attr, nest)
	{
		switch (mnl_attr_get_type(attr)) {
		case CTA_PROTO_NUM:
			if (mnl_attr_validate(attr, MNL_TYPE_U8) >= 0)
				tuple->protocol = mnl_attr_get_u8(attr);
			break;
		case CTA_PROTO_SRC_PORT:
			if (mnl_attr_validate(attr, MNL_TYPE_U16) >= 0)
				tuple->source.port = ntohs(mnl_attr_get_u16(attr));
			break;
		case CTA_PROTO_DST_PORT:
			if (mnl_attr_validate(attr, MNL_TYPE_U16) >= 0)
				tuple->destination.port = ntohs(mnl_attr_get_u16(attr));
			break;
		}
	}
}

static void read_tuple(const struct nlattr *nest, struct tuple *tuple)
{
	const struct nlattr *attr;

	mnl_attr_for_each_nested(attr, nest)
	{
		if (mnl_attr_get_type(attr) == CTA_TUPLE_IP)
			read_tuple_address(attr, tuple);
		else if (mnl_attr_get_type(attr) == CTA_TUPLE_PROTO)
			read_tuple_protocol(attr, tuple);
	}
}

struct entry_parts {
	struct tuple original, reply;
	uint32_t status;
	const struct nlattr *original_attr, *id, *zone;
};

static void read_entry(const struct nlmsghdr *message, struct entry_parts *parts)
{
	const struct nlattr *attr;

	mnl_attr_for_each(attr, message, sizeof(struct nfgenmsg))
	{
		switch (mnl_attr_get_type(attr)) {
		case CTA_TUPLE_ORIG:
			parts->original_attr = attr;
			read_tuple(attr, &parts->original);
			break;
		case CTA_TUPLE_REPLY:
			read_tuple(attr, &parts->reply);
			break;
		case CTA_STATUS:
			if (mnl_attr_validate(attr, MNL_TYPE_U32) >= 0)
				parts->status = ntohl(mnl_attr_get_u32(attr));
			break;
		case CTA_ID:
			parts->id = attr;
			break;
		case CTA_ZONE:
			parts->zone = attr;
			break;
		}
	}
}

static bool is_stale(const struct sweep *sweep, const struct entry_parts *parts)
{
	bool translated = parts->status & IPS_DST_NAT;

	if (!translated)
		return sweep->key.protocol == PROTOCOL_UDP;
	/* The reply comes from where the connection was led to. */
	return !sweep->mapped || endpoint_compare(&parts->reply.source, &sweep->target) != 0;
}

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

static bool copy_attr(struct nlmsghdr *header, const struct nlattr *attr)
{
	/* With its flags: the kernel wants to see that a tuple is nested. */
	return !attr ||
	       mnl_attr_put_check(header, REQUEST_MAX, attr->nla_type,
				  mnl_attr_get_payload_len(attr), mnl_attr_get_payload(attr));
}

/* The id makes sure that only this very entry goes, and not one that took its place. */
static int add_victim(struct sweeper *sweeper, const struct entry_parts *parts)
{
	_Alignas(struct nlmsghdr) uint8_t buffer[REQUEST_MAX] = { 0 };
	struct nlmsghdr *header = put_header(buffer, IPCTNL_MSG_CT_DELETE, 0, sweeper->family);
	struct victim *victim;

	if (!copy_attr(header, parts->original_attr) || !copy_attr(header, parts->id) ||
	    !copy_attr(header, parts->zone))
		return -EMSGSIZE;
	victim = malloc(sizeof(*victim) + header->nlmsg_len);
	if (!victim)
		return -ENOMEM;
	victim->length = header->nlmsg_len;
	memcpy(victim->request, buffer, header->nlmsg_len);
	victim->next = sweeper->victims;
	sweeper->victims = victim;
	return 0;
}

static int on_entry(const struct nlmsghdr *message, void *userdata)
{
	struct sweeper *sweeper = userdata;
	struct entry_parts parts = { 0 };
	struct sweep wanted = { 0 };
	const struct sweep *found;

	read_entry(message, &parts);
	if (!parts.original_attr)
		return 0;
	wanted.key.address = parts.original.destination.address;
	wanted.key.port = parts.original.destination.port;
	wanted.key.protocol = parts.original.protocol;
	found = bsearch(&wanted, sweeper->sweeps, sweeper->n_sweeps, sizeof(wanted),
			compare_sweeps);
	if (!found || !is_stale(found, &parts))
		return 0;
	return add_victim(sweeper, &parts);
}

/* Lets the kernel choose the entries of one mapping. */
static void put_filter(struct nlmsghdr *header, const struct mapping_key *key)
{
	struct nlattr *nest, *inner;
	bool v6 = key->address.family == AF_INET6;

	nest = mnl_attr_nest_start(header, CTA_TUPLE_ORIG);
	inner = mnl_attr_nest_start(header, CTA_TUPLE_IP);
	mnl_attr_put(header, v6 ? CTA_IP_V6_DST : CTA_IP_V4_DST, address_length(&key->address),
		     key->address.bytes);
	mnl_attr_nest_end(header, inner);
	inner = mnl_attr_nest_start(header, CTA_TUPLE_PROTO);
	mnl_attr_put_u8(header, CTA_PROTO_NUM, key->protocol);
	mnl_attr_put_u16(header, CTA_PROTO_DST_PORT, htons(key->port));
	mnl_attr_nest_end(header, inner);
	mnl_attr_nest_end(header, nest);
	nest = mnl_attr_nest_start(header, CTA_FILTER);
	mnl_attr_put_u32(header, CTA_FILTER_ORIG_FLAGS,
			 FILTER_ADDRESS_DESTINATION | FILTER_PROTOCOL | FILTER_PORT_DESTINATION);
	mnl_attr_put_u32(header, CTA_FILTER_REPLY_FLAGS, 0);
	mnl_attr_nest_end(header, nest);
}

static int list_family(struct netlink *netlink, struct sweeper *sweeper, uint8_t family)
{
	_Alignas(struct nlmsghdr) uint8_t buffer[REQUEST_MAX] = { 0 };
	struct nlmsghdr *header = put_header(buffer, IPCTNL_MSG_CT_GET, NLM_F_DUMP, family);

	sweeper->family = family;
	if (sweeper->n_sweeps == 1)
		put_filter(header, &sweeper->sweeps[0].key);
	return netlink_request(netlink, header, TIMEOUT_MS, on_entry, sweeper);
}

static int delete_victims(struct netlink *netlink, struct sweeper *sweeper, size_t *ret_deleted)
{
	int result = 0;

	while (sweeper->victims) {
		struct victim *victim = sweeper->victims;
		int r = result;

		sweeper->victims = victim->next;
		if (r == 0)
			r = netlink_request(netlink, (struct nlmsghdr *)victim->request, TIMEOUT_MS,
					    NULL, NULL);
		if (r == 0)
			(*ret_deleted)++;
		else if (r != -ENOENT) /* it ended by itself meanwhile */
			result = r;
		free(victim);
	}
	return result;
}

int conntrack_sweep(struct netlink *netlink, struct sweep *sweeps, size_t n_sweeps,
		    size_t *ret_deleted)
{
	static const uint8_t families[] = { AF_INET, AF_INET6 };
	struct sweeper sweeper = { .sweeps = sweeps, .n_sweeps = n_sweeps };
	int result = 0;

	*ret_deleted = 0;
	qsort(sweeps, n_sweeps, sizeof(*sweeps), compare_sweeps);
	for (size_t f = 0; f < ARRAY_SIZE(families) && result == 0; f++) {
		bool any = false;
		int r;

		for (size_t i = 0; i < n_sweeps && !any; i++)
			any = sweeps[i].key.address.family == families[f];
		if (!any)
			continue;
		result = list_family(netlink, &sweeper, families[f]);
		r = delete_victims(netlink, &sweeper, ret_deleted);
		if (result == 0)
			result = r;
	}
	return result;
}
