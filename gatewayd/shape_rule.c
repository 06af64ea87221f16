/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The expressions of our rules, in the order and registers that nft itself would choose, so that
 * its listing reads like the rules an operator would have written; and their comparison.
 */
#include "gatewayd/shape_rule.h"

/* Before the kernel's headers, which then leave out what it has. */
#include <netinet/in.h>
#include <netinet/tcp.h>

#include <errno.h>
#include <libnftnl/expr.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_conntrack_common.h>
#include <linux/netfilter/nf_nat.h>
#include <linux/netfilter/nf_tables.h>
#include <stddef.h>
#include <string.h>

#define EXPRESSION_TEXT_MAX 256

/* Offset and length of the fields that we load, within their headers. */
#define IPV4_SOURCE 12
#define IPV4_DESTINATION 16
#define IPV6_SOURCE 8
#define IPV6_DESTINATION 24
#define TRANSPORT_DESTINATION_PORT 2
#define TCP_FLAGS_OFFSET 13
#define TCP_FLAGS_OF_START (TH_FIN | TH_SYN | TH_RST | TH_ACK)

/* Adds an empty expression to the rule, which owns it. */
static struct nftnl_expr *add(struct nftnl_rule *rule, const char *name)
{
	struct nftnl_expr *expression = nftnl_expr_alloc(name);

	if (expression)
		nftnl_rule_add_expr(rule, expression);
	return expression;
}

static int add_meta(struct nftnl_rule *rule, uint32_t key, uint32_t reg)
{
	struct nftnl_expr *e = add(rule, "meta");

	if (!e)
		return -ENOMEM;
	nftnl_expr_set_u32(e, NFTNL_EXPR_META_KEY, key);
	nftnl_expr_set_u32(e, NFTNL_EXPR_META_DREG, reg);
	return 0;
}

static int add_payload(struct nftnl_rule *rule, uint32_t base, uint32_t offset, uint32_t length,
		       uint32_t reg)
{
	struct nftnl_expr *e = add(rule, "payload");

	if (!e)
		return -ENOMEM;
	nftnl_expr_set_u32(e, NFTNL_EXPR_PAYLOAD_BASE, base);
	nftnl_expr_set_u32(e, NFTNL_EXPR_PAYLOAD_OFFSET, offset);
	nftnl_expr_set_u32(e, NFTNL_EXPR_PAYLOAD_LEN, length);
	nftnl_expr_set_u32(e, NFTNL_EXPR_PAYLOAD_DREG, reg);
	return 0;
}

static int add_compare(struct nftnl_rule *rule, uint32_t operator, const void * data, size_t length)
{
	struct nftnl_expr *e = add(rule, "cmp");

	if (!e)
		return -ENOMEM;
	nftnl_expr_set_u32(e, NFTNL_EXPR_CMP_SREG, NFT_REG_1);
	nftnl_expr_set_u32(e, NFTNL_EXPR_CMP_OP, operator);
	return nftnl_expr_set(e, NFTNL_EXPR_CMP_DATA, data, (uint32_t)length);
}

/* register 1 = (register 1 & mask) ^ bits */
static int add_bitwise(struct nftnl_rule *rule, const void *mask, const void *bits, size_t length)
{
	struct nftnl_expr *e = add(rule, "bitwise");

	if (!e)
		return -ENOMEM;
	nftnl_expr_set_u32(e, NFTNL_EXPR_BITWISE_SREG, NFT_REG_1);
	nftnl_expr_set_u32(e, NFTNL_EXPR_BITWISE_DREG, NFT_REG_1);
	nftnl_expr_set_u32(e, NFTNL_EXPR_BITWISE_OP, NFT_BITWISE_BOOL);
	nftnl_expr_set_u32(e, NFTNL_EXPR_BITWISE_LEN, (uint32_t)length);
	if (nftnl_expr_set(e, NFTNL_EXPR_BITWISE_MASK, mask, (uint32_t)length) < 0 ||
	    nftnl_expr_set(e, NFTNL_EXPR_BITWISE_XOR, bits, (uint32_t)length) < 0)
		return -ENOMEM;
	return 0;
}

/* chain is NULL where the verdict needs none. */
static int add_verdict(struct nftnl_rule *rule, int verdict, const char *chain)
{
	struct nftnl_expr *e = add(rule, "immediate");

	if (!e)
		return -ENOMEM;
	nftnl_expr_set_u32(e, NFTNL_EXPR_IMM_DREG, NFT_REG_VERDICT);
	nftnl_expr_set_u32(e, NFTNL_EXPR_IMM_VERDICT, (uint32_t)verdict);
	return chain ? nftnl_expr_set_str(e, NFTNL_EXPR_IMM_CHAIN, chain) : 0;
}

int rule_add_syn_only(struct nftnl_rule *rule)
{
	const uint8_t tcp = IPPROTO_TCP, mask = TCP_FLAGS_OF_START, none = 0, syn = TH_SYN;

	if (add_meta(rule, NFT_META_L4PROTO, NFT_REG_1) < 0 ||
	    add_compare(rule, NFT_CMP_EQ, &tcp, 1) < 0 ||
	    add_payload(rule, NFT_PAYLOAD_TRANSPORT_HEADER, TCP_FLAGS_OFFSET, 1, NFT_REG_1) < 0 ||
	    add_bitwise(rule, &mask, &none, 1) < 0 || add_compare(rule, NFT_CMP_NEQ, &syn, 1) < 0)
		return -ENOMEM;
	return add_verdict(rule, NFT_RETURN, NULL);
}

int rule_add_mark(struct nftnl_rule *rule, uint32_t mask, uint32_t bits)
{
	struct nftnl_expr *e;

	if (add_meta(rule, NFT_META_MARK, NFT_REG_1) < 0 ||
	    add_bitwise(rule, &mask, &bits, sizeof(mask)) < 0)
		return -ENOMEM;
	e = add(rule, "meta");
	if (!e)
		return -ENOMEM;
	nftnl_expr_set_u32(e, NFTNL_EXPR_META_KEY, NFT_META_MARK);
	nftnl_expr_set_u32(e, NFTNL_EXPR_META_SREG, NFT_REG_1);
	return 0;
}

/* flags are said back by the kernel also where they are 0. */
static int add_lookup(struct nftnl_rule *rule, const char *set, uint32_t set_id, bool is_map,
		      uint32_t flags)
{
	struct nftnl_expr *e = add(rule, "lookup");

	if (!e)
		return -ENOMEM;
	nftnl_expr_set_u32(e, NFTNL_EXPR_LOOKUP_SREG, NFT_REG_1);
	if (is_map)
		nftnl_expr_set_u32(e, NFTNL_EXPR_LOOKUP_DREG, NFT_REG_1);
	nftnl_expr_set_u32(e, NFTNL_EXPR_LOOKUP_SET_ID, set_id);
	nftnl_expr_set_u32(e, NFTNL_EXPR_LOOKUP_FLAGS, flags);
	return nftnl_expr_set_str(e, NFTNL_EXPR_LOOKUP_SET, set);
}

static int add_dnat(struct nftnl_rule *rule, uint32_t family, uint32_t port_reg)
{
	struct nftnl_expr *e = add(rule, "nat");

	if (!e)
		return -ENOMEM;
	nftnl_expr_set_u32(e, NFTNL_EXPR_NAT_TYPE, NFT_NAT_DNAT);
	nftnl_expr_set_u32(e, NFTNL_EXPR_NAT_FAMILY, family);
	nftnl_expr_set_u32(e, NFTNL_EXPR_NAT_REG_ADDR_MIN, NFT_REG_1);
	nftnl_expr_set_u32(e, NFTNL_EXPR_NAT_REG_PROTO_MIN, port_reg);
	/* What follows is implied; the kernel says it back. */
	nftnl_expr_set_u32(e, NFTNL_EXPR_NAT_REG_ADDR_MAX, NFT_REG_1);
	nftnl_expr_set_u32(e, NFTNL_EXPR_NAT_REG_PROTO_MAX, port_reg);
	nftnl_expr_set_u32(e, NFTNL_EXPR_NAT_FLAGS,
			   NF_NAT_RANGE_MAP_IPS | NF_NAT_RANGE_PROTO_SPECIFIED);
	return 0;
}

static uint8_t nfproto_of(int family)
{
	return family == AF_INET6 ? NFPROTO_IPV6 : NFPROTO_IPV4;
}

/* What an operator writes as "ip" in front of an address. */
static int add_family(struct nftnl_rule *rule, int family)
{
	const uint8_t nfproto = nfproto_of(family);

	if (add_meta(rule, NFT_META_NFPROTO, NFT_REG_1) < 0)
		return -ENOMEM;
	return add_compare(rule, NFT_CMP_EQ, &nfproto, 1);
}

/* Loads ip daddr . meta l4proto . th dport. The parts of a key lie side by side in 32-bit
 * registers. The kernel reports a register on a 128-bit boundary by its old number. */
static int add_key(struct nftnl_rule *rule, int family)
{
	bool v6 = family == AF_INET6;

	if (add_payload(rule, NFT_PAYLOAD_NETWORK_HEADER, v6 ? IPV6_DESTINATION : IPV4_DESTINATION,
			v6 ? 16 : 4, NFT_REG_1) < 0 ||
	    add_meta(rule, NFT_META_L4PROTO, v6 ? NFT_REG_2 : NFT_REG32_01) < 0)
		return -ENOMEM;
	return add_payload(rule, NFT_PAYLOAD_TRANSPORT_HEADER, TRANSPORT_DESTINATION_PORT, 2,
			   v6 ? NFT_REG32_05 : NFT_REG32_02);
}

/* Loads ip saddr. */
static int add_source(struct nftnl_rule *rule, int family, uint32_t reg)
{
	bool v6 = family == AF_INET6;

	return add_payload(rule, NFT_PAYLOAD_NETWORK_HEADER, v6 ? IPV6_SOURCE : IPV4_SOURCE,
			   v6 ? 16 : 4, reg);
}

/* The same behind the key. */
static int add_source_behind(struct nftnl_rule *rule, int family)
{
	return add_source(rule, family, family == AF_INET6 ? NFT_REG32_06 : NFT_REG32_03);
}

int rule_add_port_bits(struct nftnl_rule *rule, uint16_t mask, uint16_t bits)
{
	const uint16_t none = 0, net_mask = htons(mask), net_bits = htons(bits);

	if (add_payload(rule, NFT_PAYLOAD_TRANSPORT_HEADER, TRANSPORT_DESTINATION_PORT, 2,
			NFT_REG_1) < 0 ||
	    add_bitwise(rule, &net_mask, &none, sizeof(net_mask)) < 0)
		return -ENOMEM;
	return add_compare(rule, NFT_CMP_EQ, &net_bits, sizeof(net_bits));
}

int rule_add_dnat(struct nftnl_rule *rule, int family, const char *map, uint32_t map_id)
{
	/* The parts of a value lie side by side as well. */
	uint32_t target_port_reg = family == AF_INET6 ? NFT_REG_2 : NFT_REG32_01;

	if (add_family(rule, family) < 0 || add_key(rule, family) < 0 ||
	    add_lookup(rule, map, map_id, true, 0) < 0)
		return -ENOMEM;
	return add_dnat(rule, nfproto_of(family), target_port_reg);
}

static int add_drop(struct nftnl_rule *rule, const char *counter)
{
	struct nftnl_expr *e = add(rule, "objref");

	if (!e)
		return -ENOMEM;
	nftnl_expr_set_u32(e, NFTNL_EXPR_OBJREF_IMM_TYPE, NFT_OBJECT_COUNTER);
	if (nftnl_expr_set_str(e, NFTNL_EXPR_OBJREF_IMM_NAME, counter) < 0)
		return -ENOMEM;
	return add_verdict(rule, NF_DROP, NULL);
}

int rule_add_refuse(struct nftnl_rule *rule, int family, const char *set, uint32_t set_id,
		    const char *counter)
{
	if (add_family(rule, family) < 0 || add_key(rule, family) < 0 ||
	    add_lookup(rule, set, set_id, false, 0) < 0)
		return -ENOMEM;
	return add_drop(rule, counter);
}

int rule_add_refuse_others(struct nftnl_rule *rule, int family, const char *guarded,
			   uint32_t guarded_id, const char *allow, uint32_t allow_id,
			   const char *counter)
{
	/* The key is loaded twice, since nft reads one lookup from one load. */
	if (add_family(rule, family) < 0 || add_key(rule, family) < 0 ||
	    add_lookup(rule, guarded, guarded_id, false, 0) < 0 || add_key(rule, family) < 0 ||
	    add_source_behind(rule, family) < 0 ||
	    add_lookup(rule, allow, allow_id, false, NFT_LOOKUP_F_INV) < 0)
		return -ENOMEM;
	return add_drop(rule, counter);
}

int rule_add_jump(struct nftnl_rule *rule, const char *chain)
{
	return add_verdict(rule, NFT_JUMP, chain);
}

/* Leaves in register 1 what the mark has of these bits. */
static int add_marked(struct nftnl_rule *rule, uint32_t bits)
{
	const uint32_t none = 0;

	if (add_meta(rule, NFT_META_MARK, NFT_REG_1) < 0)
		return -ENOMEM;
	return add_bitwise(rule, &bits, &none, sizeof(bits));
}

static int add_ct(struct nftnl_rule *rule, uint32_t key, uint16_t direction)
{
	struct nftnl_expr *e = add(rule, "ct");

	if (!e)
		return -ENOMEM;
	nftnl_expr_set_u32(e, NFTNL_EXPR_CT_KEY, key);
	nftnl_expr_set_u32(e, direction, NFT_REG_1);
	return 0;
}

/* Compares "the connection's destination was translated" with no. */
static int add_status(struct nftnl_rule *rule, uint32_t comparison)
{
	const uint32_t none = 0, status = IPS_DST_NAT;

	if (add_ct(rule, NFT_CT_STATUS, NFTNL_EXPR_CT_DREG) < 0 ||
	    add_bitwise(rule, &status, &none, sizeof(status)) < 0)
		return -ENOMEM;
	return add_compare(rule, comparison, &none, sizeof(none));
}

int rule_add_translated(struct nftnl_rule *rule, uint32_t bits)
{
	if (add_marked(rule, bits) < 0 || add_compare(rule, NFT_CMP_EQ, &bits, sizeof(bits)) < 0)
		return -ENOMEM;
	return add_status(rule, NFT_CMP_NEQ);
}

int rule_add_unmarked_return(struct nftnl_rule *rule, uint32_t bits)
{
	if (add_marked(rule, bits) < 0 || add_compare(rule, NFT_CMP_NEQ, &bits, sizeof(bits)) < 0)
		return -ENOMEM;
	return add_verdict(rule, NFT_RETURN, NULL);
}

int rule_add_untranslated_return(struct nftnl_rule *rule)
{
	int r = add_status(rule, NFT_CMP_EQ);

	return r == 0 ? add_verdict(rule, NFT_RETURN, NULL) : r;
}

int rule_add_refuse_source(struct nftnl_rule *rule, int family, const char *set, uint32_t set_id,
			   const char *counter)
{
	if (add_family(rule, family) < 0 || add_source(rule, family, NFT_REG_1) < 0 ||
	    add_lookup(rule, set, set_id, false, 0) < 0)
		return -ENOMEM;
	return add_drop(rule, counter);
}

static int add_limit_by_key(struct nftnl_rule *rule, uint32_t rate, uint32_t unit_s,
			    const char *set, uint32_t set_id)
{
	struct nftnl_expr *e = add(rule, "dynset"), *limit;

	if (!e)
		return -ENOMEM;
	nftnl_expr_set_u32(e, NFTNL_EXPR_DYNSET_OP, NFT_DYNSET_OP_UPDATE);
	nftnl_expr_set_u32(e, NFTNL_EXPR_DYNSET_SREG_KEY, NFT_REG_1);
	nftnl_expr_set_u32(e, NFTNL_EXPR_DYNSET_SET_ID, set_id);
	limit = nftnl_expr_alloc("limit");
	if (!limit)
		return -ENOMEM;
	nftnl_expr_set_u64(limit, NFTNL_EXPR_LIMIT_RATE, rate);
	nftnl_expr_set_u64(limit, NFTNL_EXPR_LIMIT_UNIT, unit_s);
	nftnl_expr_set_u32(limit, NFTNL_EXPR_LIMIT_BURST, rate);
	nftnl_expr_set_u32(limit, NFTNL_EXPR_LIMIT_TYPE, NFT_LIMIT_PKTS);
	nftnl_expr_set_u32(limit, NFTNL_EXPR_LIMIT_FLAGS, NFT_LIMIT_F_INV);
	nftnl_expr_add_expr(e, NFTNL_EXPR_DYNSET_EXPR, limit);
	return nftnl_expr_set_str(e, NFTNL_EXPR_DYNSET_SET_NAME, set);
}

int rule_add_refuse_source_rate(struct nftnl_rule *rule, int family, uint32_t rate, uint32_t unit_s,
				const char *set, uint32_t set_id, const char *counter)
{
	static const uint8_t network[16] = { 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff };
	static const uint8_t none[16] = { 0 };

	if (add_family(rule, family) < 0 || add_source(rule, family, NFT_REG_1) < 0)
		return -ENOMEM;
	if (family == AF_INET6 && add_bitwise(rule, network, none, sizeof(network)) < 0)
		return -ENOMEM;
	if (add_limit_by_key(rule, rate, unit_s, set, set_id) < 0)
		return -ENOMEM;
	return add_drop(rule, counter);
}

int rule_add_connection_mark(struct nftnl_rule *rule, uint32_t mask, uint32_t bits)
{
	if (add_ct(rule, NFT_CT_MARK, NFTNL_EXPR_CT_DREG) < 0 ||
	    add_bitwise(rule, &mask, &bits, sizeof(mask)) < 0)
		return -ENOMEM;
	return add_ct(rule, NFT_CT_MARK, NFTNL_EXPR_CT_SREG);
}

int rule_add_offload(struct nftnl_rule *rule, uint32_t bits, const char *flowtable)
{
	const uint32_t none = 0;
	struct nftnl_expr *e;

	if (add_ct(rule, NFT_CT_MARK, NFTNL_EXPR_CT_DREG) < 0 ||
	    add_bitwise(rule, &bits, &none, sizeof(bits)) < 0 ||
	    add_compare(rule, NFT_CMP_EQ, &bits, sizeof(bits)) < 0)
		return -ENOMEM;
	e = add(rule, "flow_offload");
	if (!e)
		return -ENOMEM;
	return nftnl_expr_set_str(e, NFTNL_EXPR_FLOW_TABLE_NAME, flowtable);
}

int rule_add_masquerade(struct nftnl_rule *rule)
{
	return add(rule, "masq") ? 0 : -ENOMEM;
}

static int add_numgen(struct nftnl_rule *rule, uint32_t modulus)
{
	struct nftnl_expr *e = add(rule, "numgen");

	if (!e)
		return -ENOMEM;
	nftnl_expr_set_u32(e, NFTNL_EXPR_NG_TYPE, NFT_NG_INCREMENTAL);
	nftnl_expr_set_u32(e, NFTNL_EXPR_NG_MODULUS, modulus);
	nftnl_expr_set_u32(e, NFTNL_EXPR_NG_OFFSET, 0); /* as the kernel says it back */
	nftnl_expr_set_u32(e, NFTNL_EXPR_NG_DREG, NFT_REG_1);
	return 0;
}

int rule_add_snat(struct nftnl_rule *rule, int family, uint32_t modulus, const char *map,
		  uint32_t map_id)
{
	struct nftnl_expr *e;

	if (add_numgen(rule, modulus) < 0 || add_lookup(rule, map, map_id, true, 0) < 0)
		return -ENOMEM;
	e = add(rule, "nat");
	if (!e)
		return -ENOMEM;
	nftnl_expr_set_u32(e, NFTNL_EXPR_NAT_TYPE, NFT_NAT_SNAT);
	nftnl_expr_set_u32(e, NFTNL_EXPR_NAT_FAMILY, nfproto_of(family));
	nftnl_expr_set_u32(e, NFTNL_EXPR_NAT_REG_ADDR_MIN, NFT_REG_1);
	/* What follows is implied; the kernel says it back. */
	nftnl_expr_set_u32(e, NFTNL_EXPR_NAT_REG_ADDR_MAX, NFT_REG_1);
	nftnl_expr_set_u32(e, NFTNL_EXPR_NAT_FLAGS, NF_NAT_RANGE_MAP_IPS);
	return 0;
}

int rule_add_links(struct nftnl_rule *rule, const char *set, uint32_t set_id)
{
	if (add_meta(rule, NFT_META_IIF, NFT_REG_1) < 0 ||
	    add_meta(rule, NFT_META_OIF, NFT_REG32_01) < 0)
		return -ENOMEM;
	return add_lookup(rule, set, set_id, false, 0);
}

/* An expression's text has all its registers, keys and constants, and neither handles nor numbers
 * that the kernel hands out. */
static bool expression_equal(struct nftnl_expr *a, struct nftnl_expr *b)
{
	char text_a[EXPRESSION_TEXT_MAX], text_b[EXPRESSION_TEXT_MAX];
	const char *name_a = nftnl_expr_get_str(a, NFTNL_EXPR_NAME);
	const char *name_b = nftnl_expr_get_str(b, NFTNL_EXPR_NAME);
	int n;

	if (!name_a || !name_b || strcmp(name_a, name_b) != 0)
		return false;
	n = nftnl_expr_snprintf(text_a, sizeof(text_a), a, NFTNL_OUTPUT_DEFAULT, 0);
	if (n < 0 || (size_t)n >= sizeof(text_a))
		return false;
	n = nftnl_expr_snprintf(text_b, sizeof(text_b), b, NFTNL_OUTPUT_DEFAULT, 0);
	if (n < 0 || (size_t)n >= sizeof(text_b))
		return false;
	return strcmp(text_a, text_b) == 0;
}

static bool expressions_equal(struct nftnl_expr_iter *a, struct nftnl_expr_iter *b)
{
	for (;;) {
		struct nftnl_expr *next_a = nftnl_expr_iter_next(a);
		struct nftnl_expr *next_b = nftnl_expr_iter_next(b);

		if (!next_a || !next_b)
			return next_a == next_b;
		if (!expression_equal(next_a, next_b))
			return false;
	}
}

bool rule_equal(const struct nftnl_rule *a, const struct nftnl_rule *b)
{
	struct nftnl_expr_iter *iter_a = nftnl_expr_iter_create(a);
	struct nftnl_expr_iter *iter_b = nftnl_expr_iter_create(b);
	bool equal = iter_a && iter_b && expressions_equal(iter_a, iter_b);

	if (iter_a)
		nftnl_expr_iter_destroy(iter_a);
	if (iter_b)
		nftnl_expr_iter_destroy(iter_b);
	return equal;
}
