/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Chains of other tables at the forward hook, and whether a translated connection gets past them.
 * An accept is final in its own table only, so that a drop of Docker's, ufw's or firewalld's wins.
 * It reads the ruleset and changes nothing.
 */
#include "gatewayd/forward_chains.h"

#include <errno.h>
#include <netinet/in.h> /* before the kernel's, which then leave out what it has */

#include <libmnl/libmnl.h>
#include <libnftnl/chain.h>
#include <libnftnl/expr.h>
#include <libnftnl/rule.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_conntrack_common.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netfilter/xt_conntrack.h>
#include <stdio.h>
#include <string.h>

#include "gatewayd/netlink.h"
#include "gatewayd/shape.h"
#include "lib/file.h"

#define TIMEOUT_MS 2000
#define REQUEST_MAX 512
#define MARKS_MAX 128
#define LEGACY_MAX 4096
#define INTERRUPTIONS_MAX 4

/* A table that somebody's names were seen in. */
struct mark {
	uint8_t family;
	char table[FORWARD_NAME_MAX];
	enum forward_owner owner;
};

struct reading {
	struct forward_chain *chains;
	size_t n;
	struct mark marks[MARKS_MAX];
	size_t n_marks;
};

const char *forward_owner_name(enum forward_owner owner)
{
	static const char *const names[FORWARD_OWNER_MAX] = {
		[FORWARD_UNKNOWN] = "another program", [FORWARD_IPTABLES] = "iptables",
		[FORWARD_FIREWALLD] = "firewalld",     [FORWARD_UFW] = "ufw",
		[FORWARD_DOCKER] = "Docker",
	};

	return names[owner];
}

static const char *family_name(uint8_t family)
{
	if (family == NFPROTO_INET)
		return "inet";
	return family == NFPROTO_IPV6 ? "ip6" : "ip";
}

const char *forward_remedy(const struct forward_chain *chain, char buffer[FORWARD_REMEDY_MAX])
{
	const char *program = chain->family == NFPROTO_IPV6 ? "ip6tables" : "iptables";
	const char *to = NULL;

	/* Docker's and ufw's chains are made by iptables, by which they should be changed. */
	switch (chain->owner) {
	case FORWARD_DOCKER:
		to = strcmp(chain->table, "filter") == 0 ? "DOCKER-USER" : NULL;
		break;
	case FORWARD_UFW:
		to = chain->family == NFPROTO_IPV6 ? "ufw6-before-forward" : "ufw-before-forward";
		break;
	case FORWARD_IPTABLES:
		to = chain->name;
		break;
	case FORWARD_FIREWALLD:
	case FORWARD_UNKNOWN:
	case FORWARD_OWNER_MAX:
		break;
	}
	if (to)
		(void)snprintf(buffer, FORWARD_REMEDY_MAX,
			       "%s -I %s -m conntrack --ctstate DNAT -j ACCEPT", program, to);
	else
		(void)snprintf(buffer, FORWARD_REMEDY_MAX,
			       "nft insert rule %s %s %s ct status dnat accept",
			       family_name(chain->family), chain->table, chain->name);
	return buffer;
}

bool forward_has_legacy(void)
{
	static const char *const files[] = { "/proc/net/ip_tables_names",
					     "/proc/net/ip6_tables_names" };

	for (size_t i = 0; i < ARRAY_SIZE(files); i++) {
		_cleanup_free_ char *names = NULL;

		if (file_read(files[i], LEGACY_MAX, &names, NULL, NULL) == 0 &&
		    strstr(names, "filter\n"))
			return true;
	}
	return false;
}

/* ---- chains ---- */

static bool is_watched(uint8_t family, const char *table)
{
	if (shape_is_table(table, family))
		return false;
	return family == NFPROTO_INET || family == NFPROTO_IPV4 || family == NFPROTO_IPV6;
}

static enum forward_owner owner_by_names(const char *table, const char *chain)
{
	if (strncmp(chain, "DOCKER", strlen("DOCKER")) == 0 ||
	    strncmp(table, "docker", strlen("docker")) == 0)
		return FORWARD_DOCKER;
	if (strncmp(chain, "ufw-", strlen("ufw-")) == 0 ||
	    strncmp(chain, "ufw6-", strlen("ufw6-")) == 0)
		return FORWARD_UFW;
	if (strcmp(table, "firewalld") == 0)
		return FORWARD_FIREWALLD;
	if (strcmp(table, "filter") == 0 && strcmp(chain, "FORWARD") == 0)
		return FORWARD_IPTABLES;
	return FORWARD_UNKNOWN;
}

/* Where several have chains in a table, as Docker and ufw in "filter", the one that is asked first
 * counts, which is the last of the enum. */
static void note_mark(struct reading *reading, uint8_t family, const char *table,
		      enum forward_owner owner)
{
	struct mark *mark = NULL;

	for (size_t i = 0; i < reading->n_marks && !mark; i++)
		if (reading->marks[i].family == family &&
		    strcmp(reading->marks[i].table, table) == 0)
			mark = &reading->marks[i];
	if (!mark) {
		if (reading->n_marks == MARKS_MAX)
			return;
		mark = &reading->marks[reading->n_marks++];
		mark->family = family;
		(void)snprintf(mark->table, sizeof(mark->table), "%s", table);
	}
	mark->owner = MAX(mark->owner, owner);
}

static bool is_forward_filter(const struct nftnl_chain *chain)
{
	const char *type = nftnl_chain_get_str(chain, NFTNL_CHAIN_TYPE);

	return type && strcmp(type, "filter") == 0 &&
	       nftnl_chain_is_set(chain, NFTNL_CHAIN_HOOKNUM) &&
	       nftnl_chain_get_u32(chain, NFTNL_CHAIN_HOOKNUM) == NF_INET_FORWARD;
}

static int take_chain(struct reading *reading, const struct nftnl_chain *chain)
{
	uint8_t family = (uint8_t)nftnl_chain_get_u32(chain, NFTNL_CHAIN_FAMILY);
	const char *table = nftnl_chain_get_str(chain, NFTNL_CHAIN_TABLE);
	const char *name = nftnl_chain_get_str(chain, NFTNL_CHAIN_NAME);
	struct forward_chain *found;

	if (!table || !name || !is_watched(family, table))
		return 0;
	if (owner_by_names(table, name) != FORWARD_UNKNOWN)
		note_mark(reading, family, table, owner_by_names(table, name));
	if (!is_forward_filter(chain))
		return 0;
	if (reading->n == FORWARD_CHAINS_MAX)
		return -ENOSPC;
	found = &reading->chains[reading->n++];
	*found = (struct forward_chain){ .family = family };
	found->drops = nftnl_chain_is_set(chain, NFTNL_CHAIN_POLICY) &&
		       nftnl_chain_get_u32(chain, NFTNL_CHAIN_POLICY) == NF_DROP;
	(void)snprintf(found->table, sizeof(found->table), "%s", table);
	(void)snprintf(found->name, sizeof(found->name), "%s", name);
	return 0;
}

static int on_chain(const struct nlmsghdr *message, void *userdata)
{
	_cleanup_(cleanup_nftnl_chain) struct nftnl_chain *chain = nftnl_chain_alloc();

	if (!chain)
		return -ENOMEM;
	if (nftnl_chain_nlmsg_parse(message, chain) < 0)
		return -EBADMSG;
	return take_chain(userdata, chain);
}

static void name_owners(struct reading *reading)
{
	for (size_t i = 0; i < reading->n; i++)
		for (size_t j = 0; j < reading->n_marks; j++)
			if (reading->marks[j].family == reading->chains[i].family &&
			    strcmp(reading->marks[j].table, reading->chains[i].table) == 0)
				reading->chains[i].owner = reading->marks[j].owner;
}

/* ---- rules ---- */

/* What is of interest in a rule. */
struct verdict {
	bool accepts, drops, conditional, of_translated;
};

/* iptables' "-m conntrack --ctstate DNAT": a match of its own, with its own struct. */
static bool is_xt_dnat(const struct nftnl_expr *expr)
{
	const struct xt_conntrack_mtinfo3 *info;
	const char *name = nftnl_expr_get_str(expr, NFTNL_EXPR_MT_NAME);
	uint32_t length = 0;

	info = nftnl_expr_get(expr, NFTNL_EXPR_MT_INFO, &length);
	if (!name || strcmp(name, "conntrack") != 0 || !info ||
	    nftnl_expr_get_u32(expr, NFTNL_EXPR_MT_REV) != 3 || length < sizeof(*info))
		return false;
	return (info->match_flags & XT_CONNTRACK_STATE) &&
	       !(info->invert_flags & XT_CONNTRACK_STATE) &&
	       (info->state_mask & XT_CONNTRACK_STATE_DNAT);
}

static bool is_reject_target(const struct nftnl_expr *expr)
{
	const char *name = nftnl_expr_get_str(expr, NFTNL_EXPR_TG_NAME);

	return name && (strcmp(name, "REJECT") == 0 || strcmp(name, "DROP") == 0);
}

static void judge_expression(const struct nftnl_expr *expr, struct verdict *verdict)
{
	const char *name = nftnl_expr_get_str(expr, NFTNL_EXPR_NAME);

	if (!name || strcmp(name, "counter") == 0 || strcmp(name, "log") == 0)
		return;
	if (strcmp(name, "immediate") == 0 && nftnl_expr_is_set(expr, NFTNL_EXPR_IMM_VERDICT)) {
		int32_t code = (int32_t)nftnl_expr_get_u32(expr, NFTNL_EXPR_IMM_VERDICT);

		verdict->accepts |= code == NF_ACCEPT;
		verdict->drops |= code == NF_DROP;
	} else if (strcmp(name, "reject") == 0) {
		verdict->drops = true;
	} else if (strcmp(name, "target") == 0) {
		verdict->drops |= is_reject_target(expr);
	} else {
		verdict->conditional = true;
		if (strcmp(name, "ct") == 0)
			verdict->of_translated |=
				nftnl_expr_get_u32(expr, NFTNL_EXPR_CT_KEY) == NFT_CT_STATUS;
		else if (strcmp(name, "match") == 0)
			verdict->of_translated |= is_xt_dnat(expr);
	}
}

static int judge_rule(const struct nftnl_rule *rule, struct verdict *verdict)
{
	struct nftnl_expr_iter *iterator = nftnl_expr_iter_create(rule);
	struct nftnl_expr *expr;

	if (!iterator)
		return -ENOMEM;
	while ((expr = nftnl_expr_iter_next(iterator)))
		judge_expression(expr, verdict);
	nftnl_expr_iter_destroy(iterator);
	return 0;
}

struct rules {
	struct forward_chain *chain;
	bool last_drops; /* the last rule of the chain itself */
};

static int on_rule(const struct nlmsghdr *message, void *userdata)
{
	_cleanup_(cleanup_nftnl_rule) struct nftnl_rule *rule = nftnl_rule_alloc();
	struct rules *rules = userdata;
	struct verdict verdict = { 0 };
	const char *name;
	int r;

	if (!rule)
		return -ENOMEM;
	if (nftnl_rule_nlmsg_parse(message, rule) < 0)
		return -EBADMSG;
	r = judge_rule(rule, &verdict);
	if (r < 0)
		return r;
	if (verdict.accepts && verdict.of_translated)
		rules->chain->admits = true;
	name = nftnl_rule_get_str(rule, NFTNL_RULE_CHAIN);
	if (name && strcmp(name, rules->chain->name) == 0)
		rules->last_drops = verdict.drops && !verdict.conditional;
	return 0;
}

/* ---- requests ---- */

static struct nlmsghdr *put_dump(void *buffer, uint16_t type, uint8_t family)
{
	struct nlmsghdr *header = mnl_nlmsg_put_header(buffer);
	struct nfgenmsg *nfgen;

	header->nlmsg_type = (uint16_t)(NFNL_SUBSYS_NFTABLES << 8 | type);
	header->nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP;
	nfgen = mnl_nlmsg_put_extra_header(header, sizeof(*nfgen));
	nfgen->nfgen_family = family;
	nfgen->version = NFNETLINK_V0;
	return header;
}

static int read_rules(struct netlink *netlink, struct forward_chain *chain)
{
	_Alignas(struct nlmsghdr) uint8_t buffer[REQUEST_MAX] = { 0 };
	struct nlmsghdr *header = put_dump(buffer, NFT_MSG_GETRULE, chain->family);
	struct rules rules = { .chain = chain };
	int r;

	mnl_attr_put_strz(header, NFTA_RULE_TABLE, chain->table);
	r = netlink_request(netlink, header, TIMEOUT_MS, on_rule, &rules);
	if (r < 0)
		return r;
	chain->drops |= rules.last_drops;
	return 0;
}

static int read_all(struct netlink *netlink, struct reading *reading)
{
	_Alignas(struct nlmsghdr) uint8_t buffer[REQUEST_MAX] = { 0 };
	int r;

	reading->n = 0;
	reading->n_marks = 0;
	r = netlink_request(netlink, put_dump(buffer, NFT_MSG_GETCHAIN, NFPROTO_UNSPEC), TIMEOUT_MS,
			    on_chain, reading);
	if (r < 0)
		return r;
	name_owners(reading);
	for (size_t i = 0; r == 0 && i < reading->n; i++)
		r = read_rules(netlink, &reading->chains[i]);
	return r;
}

int forward_chains_read(struct forward_chain ret[FORWARD_CHAINS_MAX], size_t *ret_n)
{
	struct netlink netlink = NETLINK_INIT;
	struct reading reading = { .chains = ret };
	int r;

	r = netlink_open(&netlink, 0);
	if (r < 0)
		return r;
	r = -EINTR;
	for (int i = 0; i < INTERRUPTIONS_MAX && r == -EINTR; i++)
		r = read_all(&netlink, &reading);
	netlink_close(&netlink);
	if (r < 0)
		return r;
	*ret_n = reading.n;
	return 0;
}
