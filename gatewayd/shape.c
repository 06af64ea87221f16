/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What our nftables table looks like: its chains and rules as libnftnl objects, in this one place,
 * and whether what the kernel has is the same. It sends and receives nothing.
 */
#include "gatewayd/shape.h"

#include <errno.h>
#include <libnftnl/udata.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter_ipv4.h>
#include <stdio.h>
#include <string.h>

#include "gatewayd/shape_rule.h"

struct chain_spec {
	const char *name;
	const char *type; /* NULL: it is not hooked, but other chains jump to it */
	uint32_t hook;
	int32_t priority;
};

static const struct chain_spec chains[SHAPE_CHAIN_MAX] = {
	[SHAPE_PREROUTING] = { "prerouting", "nat", NF_INET_PRE_ROUTING, NF_IP_PRI_NAT_DST },
	[SHAPE_OUTPUT] = { "output", "nat", NF_INET_LOCAL_OUT, NF_IP_PRI_NAT_DST },
	/* Before the source is translated, by ours or anybody's. */
	[SHAPE_SOURCES] = { "sources", "nat", NF_INET_POST_ROUTING, NF_IP_PRI_NAT_SRC - 10 },
	[SHAPE_POSTROUTING] = { "postrouting", "nat", NF_INET_POST_ROUTING, NF_IP_PRI_NAT_SRC },
	/* Behind the chains of others: what they drop is not to get on the fast path. */
	[SHAPE_FORWARD] = { "forward", "filter", NF_INET_FORWARD, 200 },
	[SHAPE_ADMISSION] = { "admission", NULL, 0, 0 },
};

#define PAIR(set) (SHAPE_BIT(set##4) | SHAPE_BIT(set##6))
/* Sets that the admission chain asks. */
#define ADMISSION_SETS (PAIR(SHAPE_GUARDED) | PAIR(SHAPE_RATE) | PAIR(SHAPE_CONNECTIONS))

const char *shape_chain_name(enum shape_chain chain)
{
	return chains[chain].name;
}

enum shape_chain shape_chain_parse(const char *name)
{
	for (int i = 0; i < SHAPE_CHAIN_MAX; i++)
		if (strcmp(chains[i].name, name) == 0)
			return i;
	return SHAPE_CHAIN_INVALID;
}

/* What SHAPE_SOURCES asks. */
#define SOURCES_SETS (PAIR(SHAPE_BAN) | PAIR(SHAPE_SOURCE_RATE))

bool shape_has_chain(const struct shape *shape, shape_sets sets, enum shape_chain chain)
{
	switch (chain) {
	case SHAPE_PREROUTING:
	case SHAPE_OUTPUT:
		return true;
	case SHAPE_SOURCES:
		return sets & SOURCES_SETS;
	case SHAPE_POSTROUTING:
		return shape->source != SOURCE_PRESERVE ||
		       (sets & (SHAPE_BIT(SHAPE_HAIRPIN) | SHAPE_FASTPATH));
	case SHAPE_FORWARD:
		return sets & SHAPE_FASTPATH;
	case SHAPE_ADMISSION:
		return sets & ADMISSION_SETS;
	case SHAPE_CHAIN_MAX:
	case SHAPE_CHAIN_INVALID:
		break;
	}
	return false;
}

unsigned shape_chains(const struct shape *shape, shape_sets sets)
{
	unsigned bits = 0;

	for (int chain = 0; chain < SHAPE_CHAIN_MAX; chain++)
		if (shape_has_chain(shape, sets, chain))
			bits |= SHAPE_CHAIN_BIT(chain);
	return bits;
}

struct nftnl_table *shape_make_table(void)
{
	_cleanup_(cleanup_nftnl_table) struct nftnl_table *table = nftnl_table_alloc();

	if (!table || nftnl_table_set_str(table, NFTNL_TABLE_NAME, SHAPE_TABLE) < 0)
		return NULL;
	nftnl_table_set_u32(table, NFTNL_TABLE_FAMILY, NFPROTO_INET);
	return TAKE_PTR(table);
}

struct nftnl_chain *shape_make_chain(enum shape_chain chain)
{
	const struct chain_spec *spec = &chains[chain];
	_cleanup_(cleanup_nftnl_chain) struct nftnl_chain *made = nftnl_chain_alloc();

	if (!made || nftnl_chain_set_str(made, NFTNL_CHAIN_TABLE, SHAPE_TABLE) < 0 ||
	    nftnl_chain_set_str(made, NFTNL_CHAIN_NAME, spec->name) < 0)
		return NULL;
	nftnl_chain_set_u32(made, NFTNL_CHAIN_FAMILY, NFPROTO_INET);
	if (!spec->type)
		return TAKE_PTR(made);
	if (nftnl_chain_set_str(made, NFTNL_CHAIN_TYPE, spec->type) < 0)
		return NULL;
	nftnl_chain_set_u32(made, NFTNL_CHAIN_HOOKNUM, spec->hook);
	nftnl_chain_set_s32(made, NFTNL_CHAIN_PRIO, spec->priority);
	nftnl_chain_set_u32(made, NFTNL_CHAIN_POLICY, NF_ACCEPT);
	return TAKE_PTR(made);
}

static int add_syn_only(struct nftnl_rule *rule, const struct shape *shape, enum shape_set set)
{
	return rule_add_syn_only(rule);
}

static int add_mark_set(struct nftnl_rule *rule, const struct shape *shape, enum shape_set set)
{
	return rule_add_mark(rule, ~SHAPE_MARK, SHAPE_MARK);
}

static int add_dnat(struct nftnl_rule *rule, const struct shape *shape, enum shape_set map)
{
	return rule_add_dnat(rule, shape_set_family(map), shape_set_name(map), shape_set_id(map));
}

/* The rule of a shard is for the ports that end so. */
static int add_shard(struct nftnl_rule *rule, const struct shape *shape, enum shape_set map)
{
	int r = rule_add_port_bits(rule, SHAPE_SHARDS - 1, (uint16_t)shape_set_shard(map));

	return r == 0 ? add_dnat(rule, shape, map) : r;
}

static int add_refuse(struct nftnl_rule *rule, enum shape_set set, enum shape_counter counter)
{
	return rule_add_refuse(rule, shape_set_family(set), shape_set_name(set), shape_set_id(set),
			       shape_counter_name(counter));
}

static int add_rate(struct nftnl_rule *rule, const struct shape *shape, enum shape_set set)
{
	return add_refuse(rule, set, SHAPE_REFUSED_RATE);
}

static int add_connections(struct nftnl_rule *rule, const struct shape *shape, enum shape_set set)
{
	return add_refuse(rule, set, SHAPE_REFUSED_CONNECTIONS);
}

static int add_allow(struct nftnl_rule *rule, const struct shape *shape, enum shape_set guarded)
{
	int family = shape_set_family(guarded);
	enum shape_set allow = shape_set_of_family(SHAPE_ALLOW4, family);

	return rule_add_refuse_others(rule, family, shape_set_name(guarded), shape_set_id(guarded),
				      shape_set_name(allow), shape_set_id(allow),
				      shape_counter_name(SHAPE_REFUSED_ALLOW));
}

static int add_admission(struct nftnl_rule *rule, const struct shape *shape, enum shape_set set)
{
	return rule_add_jump(rule, chains[SHAPE_ADMISSION].name);
}

static int add_mark_clear(struct nftnl_rule *rule, const struct shape *shape, enum shape_set set)
{
	return rule_add_mark(rule, ~SHAPE_MARK, 0);
}

static int add_unmarked_return(struct nftnl_rule *rule, const struct shape *shape,
			       enum shape_set set)
{
	return rule_add_unmarked_return(rule, SHAPE_MARK);
}

static int add_untranslated_return(struct nftnl_rule *rule, const struct shape *shape,
				   enum shape_set set)
{
	return rule_add_untranslated_return(rule);
}

static int add_ban(struct nftnl_rule *rule, const struct shape *shape, enum shape_set set)
{
	return rule_add_refuse_source(rule, shape_set_family(set), shape_set_name(set),
				      shape_set_id(set), shape_counter_name(SHAPE_REFUSED_BAN));
}

static int add_source_rate(struct nftnl_rule *rule, const struct shape *shape, enum shape_set set)
{
	return rule_add_refuse_source_rate(rule, shape_set_family(set), shape->source_rate,
					   shape->source_rate_s, shape_set_name(set),
					   shape_set_id(set),
					   shape_counter_name(SHAPE_REFUSED_SOURCE_RATE));
}

static int add_connection_mark(struct nftnl_rule *rule, const struct shape *shape,
			       enum shape_set set)
{
	int r = rule_add_translated(rule, SHAPE_MARK);

	return r == 0 ? rule_add_connection_mark(rule, ~SHAPE_MARK, SHAPE_MARK) : r;
}

static int add_offload(struct nftnl_rule *rule, const struct shape *shape, enum shape_set set)
{
	return rule_add_offload(rule, SHAPE_MARK, SHAPE_FLOWTABLE);
}

static int add_masquerade(struct nftnl_rule *rule, const struct shape *shape, enum shape_set set)
{
	int r = rule_add_translated(rule, SHAPE_MARK);

	return r == 0 ? rule_add_masquerade(rule) : r;
}

static int add_snat(struct nftnl_rule *rule, const struct shape *shape, enum shape_set map)
{
	int family = shape_set_family(map);
	uint32_t modulus = family == AF_INET6 ? shape->n_sources6 : shape->n_sources4;
	int r = rule_add_translated(rule, SHAPE_MARK);

	return r == 0 ? rule_add_snat(rule, family, modulus, shape_set_name(map), shape_set_id(map))
		      : r;
}

static int add_hairpin(struct nftnl_rule *rule, const struct shape *shape, enum shape_set set)
{
	int r = rule_add_translated(rule, SHAPE_MARK);

	if (r == 0)
		r = rule_add_links(rule, shape_set_name(SHAPE_HAIRPIN),
				   shape_set_id(SHAPE_HAIRPIN));
	return r == 0 ? rule_add_masquerade(rule) : r;
}

struct rule_spec {
	int (*add)(struct nftnl_rule *rule, const struct shape *shape, enum shape_set set);
	const char *comment;
	enum shape_set set; /* that it asks; it is there while the set is */
	bool always;        /* it asks none, and depends on needs instead */
	shape_sets needs;   /* one of these sets; 0: none */
	unsigned sources;   /* … and in these of enum source_mode, as bits; 0: in all */
};

#define ASKS(add, set)                    \
	{                                 \
		(add), NULL, (set), false \
	}
#define STANDS(add, comment, needs)                                \
	{                                                          \
		(add), (comment), SHAPE_SET_INVALID, true, (needs) \
	}

#define SOURCE_BIT(mode) (1u << (mode))

#define RULES_MAX 48

#define SHARD(n) \
	ASKS(add_shard, SHAPE_SHARD4_FIRST + (n)), ASKS(add_shard, SHAPE_SHARD6_FIRST + (n))

/* Prerouting and output are the same. The mark is set before the maps are asked and cleared behind
 * them, which only a packet reaches that no map translated: a lookup that finds nothing ends its
 * rule, one that finds something ends the chain. */
#define TRANSLATE                                                                               \
	{                                                                                       \
		STANDS(add_syn_only, "only a SYN starts a TCP connection", 0),                  \
			STANDS(add_admission, NULL, ADMISSION_SETS),                            \
			STANDS(add_mark_set, NULL, 0), ASKS(add_dnat, SHAPE_MAPPING4),          \
			ASKS(add_dnat, SHAPE_MAPPING6), SHARD(0), SHARD(1), SHARD(2), SHARD(3), \
			SHARD(4), SHARD(5), SHARD(6), SHARD(7), SHARD(8), SHARD(9), SHARD(10),  \
			SHARD(11), SHARD(12), SHARD(13), SHARD(14), SHARD(15),                  \
			ASKS(add_dnat, SHAPE_EXPIRING4), ASKS(add_dnat, SHAPE_EXPIRING6),       \
			STANDS(add_mark_clear, "reached only by what no map has", 0),           \
	}

#define REPLIES "replies come back through this gateway"

static const struct rule_spec rules[SHAPE_CHAIN_MAX][RULES_MAX] = {
	[SHAPE_PREROUTING] = TRANSLATE,
	[SHAPE_OUTPUT] = TRANSLATE,
	[SHAPE_SOURCES] = {
		STANDS(add_unmarked_return, "only what a map of ours translates", 0),
		STANDS(add_untranslated_return, NULL, 0),
		ASKS(add_ban, SHAPE_BAN4),
		ASKS(add_ban, SHAPE_BAN6),
		ASKS(add_source_rate, SHAPE_SOURCE_RATE4),
		ASKS(add_source_rate, SHAPE_SOURCE_RATE6),
	},
	[SHAPE_POSTROUTING] = {
		STANDS(add_connection_mark, "for the fast path", SHAPE_FASTPATH),
		{ add_snat, REPLIES, SHAPE_SOURCE4, false, 0, SOURCE_BIT(SOURCE_SNAT) },
		{ add_snat, REPLIES, SHAPE_SOURCE6, false, 0, SOURCE_BIT(SOURCE_SNAT) },
		{ add_masquerade, REPLIES, SHAPE_SET_INVALID, true, 0,
		  SOURCE_BIT(SOURCE_MASQUERADE) | SOURCE_BIT(SOURCE_SNAT) },
		{ add_hairpin, "client and host behind the same link", SHAPE_HAIRPIN, false, 0,
		  SOURCE_BIT(SOURCE_PRESERVE) },
	},
	[SHAPE_FORWARD] = { STANDS(add_offload, NULL, SHAPE_FASTPATH) },
	/* Whoever may not connect at all uses up nobody's limits, and a connection that is refused
	 * by one limit is not counted by the next. */
	[SHAPE_ADMISSION] = {
		ASKS(add_allow, SHAPE_GUARDED4),
		ASKS(add_allow, SHAPE_GUARDED6),
		ASKS(add_rate, SHAPE_RATE4),
		ASKS(add_rate, SHAPE_RATE6),
		ASKS(add_connections, SHAPE_CONNECTIONS4),
		ASKS(add_connections, SHAPE_CONNECTIONS6),
	},
};

static bool is_there(const struct rule_spec *spec, const struct shape *shape, shape_sets sets)
{
	if (spec->sources != 0 && !(spec->sources & SOURCE_BIT(shape->source)))
		return false;
	if (!spec->always)
		return sets & SHAPE_BIT(spec->set);
	return spec->needs == 0 || (spec->needs & sets);
}

/* Rule number index among those that a table with these sets has; NULL behind the last. */
static const struct rule_spec *find_rule(const struct shape *shape, shape_sets sets,
					 enum shape_chain chain, unsigned index)
{
	for (size_t i = 0; i < RULES_MAX && rules[chain][i].add; i++) {
		const struct rule_spec *spec = &rules[chain][i];

		if (!is_there(spec, shape, sets))
			continue;
		if (index == 0)
			return spec;
		index--;
	}
	return NULL;
}

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

struct nftnl_rule *shape_make_rule(const struct shape *shape, shape_sets sets,
				   enum shape_chain chain, unsigned index, bool *ret_end)
{
	_cleanup_(cleanup_nftnl_rule) struct nftnl_rule *rule = NULL;
	const struct rule_spec *spec = find_rule(shape, sets, chain, index);

	*ret_end = !spec;
	if (!spec)
		return NULL;
	rule = nftnl_rule_alloc();
	if (!rule || nftnl_rule_set_str(rule, NFTNL_RULE_TABLE, SHAPE_TABLE) < 0 ||
	    nftnl_rule_set_str(rule, NFTNL_RULE_CHAIN, chains[chain].name) < 0)
		return NULL;
	nftnl_rule_set_u32(rule, NFTNL_RULE_FAMILY, NFPROTO_INET);
	if (spec->add(rule, shape, spec->set) < 0 || set_rule_comment(rule, spec->comment) < 0)
		return NULL;
	return TAKE_PTR(rule);
}

bool shape_table_matches(const struct nftnl_table *table)
{
	/* A dormant table is hooked nowhere; an owned one dies with its owner. */
	return !nftnl_table_is_set(table, NFTNL_TABLE_FLAGS) ||
	       nftnl_table_get_u32(table, NFTNL_TABLE_FLAGS) == 0;
}

bool shape_chain_matches(enum shape_chain chain, const struct nftnl_chain *actual)
{
	const struct chain_spec *spec = &chains[chain];
	const char *type = nftnl_chain_get_str(actual, NFTNL_CHAIN_TYPE);

	if (!spec->type)
		return !nftnl_chain_is_set(actual, NFTNL_CHAIN_HOOKNUM);

	return type && strcmp(type, spec->type) == 0 &&
	       nftnl_chain_is_set(actual, NFTNL_CHAIN_HOOKNUM) &&
	       nftnl_chain_get_u32(actual, NFTNL_CHAIN_HOOKNUM) == spec->hook &&
	       nftnl_chain_get_s32(actual, NFTNL_CHAIN_PRIO) == spec->priority &&
	       nftnl_chain_get_u32(actual, NFTNL_CHAIN_POLICY) == NF_ACCEPT;
}

bool shape_rule_matches(const struct shape *shape, shape_sets sets, enum shape_chain chain,
			unsigned index, const struct nftnl_rule *actual)
{
	bool end;
	_cleanup_(cleanup_nftnl_rule) struct nftnl_rule *made =
		shape_make_rule(shape, sets, chain, index, &end);

	return made && rule_equal(made, actual);
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
