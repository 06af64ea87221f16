/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What our nftables table looks like: its names, maps, chains and rules as libnftnl objects, in
 * this one place, and whether what the kernel has is the same. It sends and receives nothing.
 */
#include "gatewayd/shape.h"

#include <arpa/inet.h>
#include <errno.h>
#include <libnftnl/udata.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter_ipv4.h>
#include <stdio.h>
#include <string.h>

#include "gatewayd/shape_rule.h"

/* nft's numbers for its data types, of which a concatenation has six bits each; with them it prints
 * the maps' keys as addresses, protocols and ports. */
enum nft_type {
	NFT_TYPE_IPV4_ADDRESS = 7,
	NFT_TYPE_IPV6_ADDRESS = 8,
	NFT_TYPE_PROTOCOL = 12,
	NFT_TYPE_SERVICE = 13,
};
#define NFT_TYPE_BITS 6

struct map_spec {
	const char *name;
	uint32_t key_type, key_length;
	uint32_t value_type, value_length;
	uint32_t id; /* within one batch, so that rules of it can refer to the map */
	uint8_t family;
};

#define KEY_TYPE(address)                                                            \
	(((address) << (2 * NFT_TYPE_BITS)) | (NFT_TYPE_PROTOCOL << NFT_TYPE_BITS) | \
	 NFT_TYPE_SERVICE)
#define VALUE_TYPE(address) (((address) << NFT_TYPE_BITS) | NFT_TYPE_SERVICE)

static const struct map_spec maps[SHAPE_MAP_MAX] = {
	[SHAPE_MAP4] = { "mapping4", KEY_TYPE(NFT_TYPE_IPV4_ADDRESS), 12,
			 VALUE_TYPE(NFT_TYPE_IPV4_ADDRESS), 8, 1, AF_INET },
	[SHAPE_MAP6] = { "mapping6", KEY_TYPE(NFT_TYPE_IPV6_ADDRESS), 24,
			 VALUE_TYPE(NFT_TYPE_IPV6_ADDRESS), 20, 2, AF_INET6 },
};

struct chain_spec {
	const char *name;
	uint32_t hook;
	int32_t priority;
};

static const struct chain_spec chains[SHAPE_CHAIN_MAX] = {
	[SHAPE_PREROUTING] = { "prerouting", NF_INET_PRE_ROUTING, NF_IP_PRI_NAT_DST },
	[SHAPE_OUTPUT] = { "output", NF_INET_LOCAL_OUT, NF_IP_PRI_NAT_DST },
	[SHAPE_POSTROUTING] = { "postrouting", NF_INET_POST_ROUTING, NF_IP_PRI_NAT_SRC },
};

const char *shape_map_name(enum shape_map map)
{
	return maps[map].name;
}

enum shape_map shape_map_parse(const char *name)
{
	for (int i = 0; i < SHAPE_MAP_MAX; i++)
		if (strcmp(maps[i].name, name) == 0)
			return i;
	return SHAPE_MAP_INVALID;
}

enum shape_map shape_map_of(const struct mapping_key *key)
{
	return key->address.family == AF_INET6 ? SHAPE_MAP6 : SHAPE_MAP4;
}

const char *shape_chain_name(enum shape_chain chain)
{
	return chains[chain].name;
}

bool shape_has_chain(const struct shape *shape, enum shape_chain chain)
{
	return chain != SHAPE_POSTROUTING || shape->masquerade;
}

struct nftnl_table *shape_make_table(void)
{
	_cleanup_(cleanup_nftnl_table) struct nftnl_table *table = nftnl_table_alloc();

	if (!table || nftnl_table_set_str(table, NFTNL_TABLE_NAME, SHAPE_TABLE) < 0)
		return NULL;
	nftnl_table_set_u32(table, NFTNL_TABLE_FAMILY, NFPROTO_INET);
	return TAKE_PTR(table);
}

/* nft notes the byte order of keys and values beside the set, for its own listing. */
static int set_byte_order(struct nftnl_set *set)
{
	_cleanup_(cleanup_nftnl_udata) struct nftnl_udata_buf *udata =
		nftnl_udata_buf_alloc(NFT_USERDATA_MAXLEN);

	if (!udata || !nftnl_udata_put_u32(udata, NFTNL_UDATA_SET_KEYBYTEORDER, 0) ||
	    !nftnl_udata_put_u32(udata, NFTNL_UDATA_SET_DATABYTEORDER, 0))
		return -ENOMEM;
	return nftnl_set_set_data(set, NFTNL_SET_USERDATA, nftnl_udata_buf_data(udata),
				  nftnl_udata_buf_len(udata));
}

struct nftnl_set *shape_make_map(const struct shape *shape, enum shape_map map)
{
	const struct map_spec *spec = &maps[map];
	_cleanup_(cleanup_nftnl_set) struct nftnl_set *set = nftnl_set_alloc();

	if (!set || nftnl_set_set_str(set, NFTNL_SET_TABLE, SHAPE_TABLE) < 0 ||
	    nftnl_set_set_str(set, NFTNL_SET_NAME, spec->name) < 0 || set_byte_order(set) < 0)
		return NULL;
	nftnl_set_set_u32(set, NFTNL_SET_FAMILY, NFPROTO_INET);
	nftnl_set_set_u32(set, NFTNL_SET_FLAGS, NFT_SET_MAP);
	nftnl_set_set_u32(set, NFTNL_SET_KEY_TYPE, spec->key_type);
	nftnl_set_set_u32(set, NFTNL_SET_KEY_LEN, spec->key_length);
	nftnl_set_set_u32(set, NFTNL_SET_DATA_TYPE, spec->value_type);
	nftnl_set_set_u32(set, NFTNL_SET_DATA_LEN, spec->value_length);
	nftnl_set_set_u32(set, NFTNL_SET_DESC_SIZE, shape->map_size);
	nftnl_set_set_u32(set, NFTNL_SET_ID, spec->id);
	return TAKE_PTR(set);
}

struct nftnl_chain *shape_make_chain(enum shape_chain chain)
{
	const struct chain_spec *spec = &chains[chain];
	_cleanup_(cleanup_nftnl_chain) struct nftnl_chain *made = nftnl_chain_alloc();

	if (!made || nftnl_chain_set_str(made, NFTNL_CHAIN_TABLE, SHAPE_TABLE) < 0 ||
	    nftnl_chain_set_str(made, NFTNL_CHAIN_NAME, spec->name) < 0 ||
	    nftnl_chain_set_str(made, NFTNL_CHAIN_TYPE, "nat") < 0)
		return NULL;
	nftnl_chain_set_u32(made, NFTNL_CHAIN_FAMILY, NFPROTO_INET);
	nftnl_chain_set_u32(made, NFTNL_CHAIN_HOOKNUM, spec->hook);
	nftnl_chain_set_s32(made, NFTNL_CHAIN_PRIO, spec->priority);
	nftnl_chain_set_u32(made, NFTNL_CHAIN_POLICY, NF_ACCEPT);
	return TAKE_PTR(made);
}

static int add_mark_set(struct nftnl_rule *rule)
{
	return rule_add_mark(rule, ~SHAPE_MARK, SHAPE_MARK);
}

static int add_dnat4(struct nftnl_rule *rule)
{
	return rule_add_dnat(rule, AF_INET, maps[SHAPE_MAP4].name, maps[SHAPE_MAP4].id);
}

static int add_dnat6(struct nftnl_rule *rule)
{
	return rule_add_dnat(rule, AF_INET6, maps[SHAPE_MAP6].name, maps[SHAPE_MAP6].id);
}

static int add_mark_clear(struct nftnl_rule *rule)
{
	return rule_add_mark(rule, ~SHAPE_MARK, 0);
}

static int add_masquerade(struct nftnl_rule *rule)
{
	return rule_add_masquerade(rule, SHAPE_MARK);
}

struct rule_spec {
	int (*add)(struct nftnl_rule *rule);
	const char *comment;
};

#define RULES_MAX 5

/* Prerouting and output are the same. The mark is set before the maps are asked and cleared behind
 * them, which only a packet reaches that no map translated: a lookup that finds nothing ends its
 * rule, one that finds something ends the chain. */
#define TRANSLATE                                                                         \
	{                                                                                 \
		{ rule_add_syn_only, "only a SYN starts a TCP connection" },              \
			{ add_mark_set, NULL }, { add_dnat4, NULL }, { add_dnat6, NULL }, \
			{ add_mark_clear, "reached only by what no map has" },            \
	}

static const struct rule_spec rules[SHAPE_CHAIN_MAX][RULES_MAX] = {
	[SHAPE_PREROUTING] = TRANSLATE,
	[SHAPE_OUTPUT] = TRANSLATE,
	[SHAPE_POSTROUTING] = { { add_masquerade, "replies come back through this gateway" } },
};

static int set_rule_comment(struct nftnl_rule *rule, const char *comment)
{
	_cleanup_(cleanup_nftnl_udata) struct nftnl_udata_buf *udata = NULL;

	if (!comment)
		return 0;
	udata = nftnl_udata_buf_alloc(NFT_USERDATA_MAXLEN);
	if (!udata || !nftnl_udata_put_strz(udata, NFTNL_UDATA_RULE_COMMENT, comment))
		return -ENOMEM;
	return nftnl_rule_set_data(rule, NFTNL_RULE_USERDATA, nftnl_udata_buf_data(udata),
				   nftnl_udata_buf_len(udata));
}

struct nftnl_rule *shape_make_rule(enum shape_chain chain, unsigned index, bool *ret_end)
{
	_cleanup_(cleanup_nftnl_rule) struct nftnl_rule *rule = NULL;
	const struct rule_spec *spec;

	*ret_end = index >= RULES_MAX || !rules[chain][index].add;
	if (*ret_end)
		return NULL;
	spec = &rules[chain][index];
	rule = nftnl_rule_alloc();
	if (!rule || nftnl_rule_set_str(rule, NFTNL_RULE_TABLE, SHAPE_TABLE) < 0 ||
	    nftnl_rule_set_str(rule, NFTNL_RULE_CHAIN, chains[chain].name) < 0)
		return NULL;
	nftnl_rule_set_u32(rule, NFTNL_RULE_FAMILY, NFPROTO_INET);
	if (spec->add(rule) < 0 || set_rule_comment(rule, spec->comment) < 0)
		return NULL;
	return TAKE_PTR(rule);
}

bool shape_table_matches(const struct nftnl_table *table)
{
	/* A dormant table is hooked nowhere; an owned one dies with its owner. */
	return !nftnl_table_is_set(table, NFTNL_TABLE_FLAGS) ||
	       nftnl_table_get_u32(table, NFTNL_TABLE_FLAGS) == 0;
}

bool shape_map_matches(const struct shape *shape, enum shape_map map, const struct nftnl_set *set)
{
	const struct map_spec *spec = &maps[map];

	return nftnl_set_get_u32(set, NFTNL_SET_FLAGS) == NFT_SET_MAP &&
	       nftnl_set_get_u32(set, NFTNL_SET_KEY_TYPE) == spec->key_type &&
	       nftnl_set_get_u32(set, NFTNL_SET_KEY_LEN) == spec->key_length &&
	       nftnl_set_get_u32(set, NFTNL_SET_DATA_TYPE) == spec->value_type &&
	       nftnl_set_get_u32(set, NFTNL_SET_DATA_LEN) == spec->value_length &&
	       nftnl_set_get_u32(set, NFTNL_SET_DESC_SIZE) == shape->map_size;
}

bool shape_chain_matches(enum shape_chain chain, const struct nftnl_chain *actual)
{
	const struct chain_spec *spec = &chains[chain];
	const char *type = nftnl_chain_get_str(actual, NFTNL_CHAIN_TYPE);

	return type && strcmp(type, "nat") == 0 &&
	       nftnl_chain_is_set(actual, NFTNL_CHAIN_HOOKNUM) &&
	       nftnl_chain_get_u32(actual, NFTNL_CHAIN_HOOKNUM) == spec->hook &&
	       nftnl_chain_get_s32(actual, NFTNL_CHAIN_PRIO) == spec->priority &&
	       nftnl_chain_get_u32(actual, NFTNL_CHAIN_POLICY) == NF_ACCEPT;
}

bool shape_rule_matches(enum shape_chain chain, unsigned index, const struct nftnl_rule *actual)
{
	bool end;
	_cleanup_(cleanup_nftnl_rule) struct nftnl_rule *made = shape_make_rule(chain, index, &end);

	return made && rule_equal(made, actual);
}

size_t shape_key(const struct mapping_key *key, uint8_t ret[SHAPE_KEY_MAX])
{
	size_t n = address_length(&key->address);
	uint16_t port = htons(key->port);

	memset(ret, 0, SHAPE_KEY_MAX);
	memcpy(ret, key->address.bytes, n);
	ret[n] = key->protocol;
	memcpy(ret + n + 4, &port, sizeof(port));
	return n + 8;
}

size_t shape_value(const struct endpoint *target, uint8_t ret[SHAPE_VALUE_MAX])
{
	size_t n = address_length(&target->address);
	uint16_t port = htons(target->port);

	memset(ret, 0, SHAPE_VALUE_MAX);
	memcpy(ret, target->address.bytes, n);
	memcpy(ret + n, &port, sizeof(port));
	return n + 4;
}

int shape_key_parse(enum shape_map map, const void *data, size_t length, struct mapping_key *ret)
{
	struct mapping_key key = { 0 };
	const uint8_t *bytes = data;
	uint16_t port;
	size_t n;

	if (length != maps[map].key_length)
		return -EBADMSG;
	key.address.family = maps[map].family;
	n = address_length(&key.address);
	memcpy(key.address.bytes, bytes, n);
	key.protocol = bytes[n];
	memcpy(&port, bytes + n + 4, sizeof(port));
	key.port = ntohs(port);
	*ret = key;
	return 0;
}

int shape_value_parse(enum shape_map map, const void *data, size_t length, struct endpoint *ret)
{
	struct endpoint target = { 0 };
	const uint8_t *bytes = data;
	uint16_t port;
	size_t n;

	if (length != maps[map].value_length)
		return -EBADMSG;
	target.address.family = maps[map].family;
	n = address_length(&target.address);
	memcpy(target.address.bytes, bytes, n);
	memcpy(&port, bytes + n, sizeof(port));
	target.port = ntohs(port);
	*ret = target;
	return 0;
}

int shape_label_format(const char *environment, const char *service, bool drain,
		       char ret[SHAPE_COMMENT_MAX])
{
	int n;

	ret[0] = '\0';
	if (!environment && !service && !drain)
		return 0;
	n = snprintf(ret, SHAPE_COMMENT_MAX, "%s %s%s", environment ? environment : ".",
		     service ? service : ".", drain ? " drain" : "");
	return n < SHAPE_COMMENT_MAX ? 0 : -E2BIG;
}

/* Takes the next word of at most MAPPING_NAME_MAX bytes; "." is the empty one. */
static const char *take_word(const char *text, char ret[MAPPING_NAME_MAX + 1])
{
	size_t n = strcspn(text, " ");

	ret[0] = '\0';
	if (n == 0 || n > MAPPING_NAME_MAX)
		return NULL;
	if (n != 1 || text[0] != '.') {
		if (strspn(text, "abcdefghijklmnopqrstuvwxyz0123456789-") < n)
			return NULL;
		memcpy(ret, text, n);
		ret[n] = '\0';
	}
	return text + n;
}

void shape_label_parse(const char *comment, struct shape_label *ret)
{
	struct shape_label label = { 0 };
	const char *rest = comment;

	memset(ret, 0, sizeof(*ret));
	if (!rest)
		return;
	rest = take_word(rest, label.environment);
	if (!rest || *rest != ' ')
		return;
	rest = take_word(rest + 1, label.service);
	if (!rest)
		return;
	label.drain = strcmp(rest, " drain") == 0;
	if (*rest && !label.drain)
		return;
	*ret = label;
}
