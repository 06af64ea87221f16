/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The expressions of our rules, in the order and registers that nft itself would choose, so that
 * its listing reads like the rules an operator would have written; and their comparison.
 */
#pragma once

#include <libnftnl/rule.h>
#include <libnftnl/udata.h>

#include "lib/util.h"

/* tcp flags & (fin|syn|rst|ack) != syn return */
int rule_add_syn_only(struct nftnl_rule *rule) _must_check_;
/* meta mark set meta mark & mask | bits */
int rule_add_mark(struct nftnl_rule *rule, uint32_t mask, uint32_t bits) _must_check_;
/* th dport & mask == bits */
int rule_add_port_bits(struct nftnl_rule *rule, uint16_t mask, uint16_t bits) _must_check_;
/* dnat ip to ip daddr . meta l4proto . th dport map @map; ip6 for AF_INET6 */
int rule_add_dnat(struct nftnl_rule *rule, int family, const char *map, uint32_t map_id)
	_must_check_;
/* meta mark & bits == bits ct status dnat: what a map of ours has translated */
int rule_add_translated(struct nftnl_rule *rule, uint32_t bits) _must_check_;
/* meta mark & bits != bits return */
int rule_add_unmarked_return(struct nftnl_rule *rule, uint32_t bits) _must_check_;
/* ct status ! dnat return */
int rule_add_untranslated_return(struct nftnl_rule *rule) _must_check_;
/* ip saddr @set counter name drop; ip6 for AF_INET6 */
int rule_add_refuse_source(struct nftnl_rule *rule, int family, const char *set, uint32_t set_id,
			   const char *counter) _must_check_;
/* update @set { ip saddr limit rate over rate burst rate } counter name drop; for AF_INET6 by the
 * network of 64 bits that a client has to itself. unit_s is what rate counts by: 1, 60 or 3600. */
int rule_add_refuse_source_rate(struct nftnl_rule *rule, int family, uint32_t rate, uint32_t unit_s,
				const char *set, uint32_t set_id, const char *counter) _must_check_;
/* ct mark set ct mark & mask | bits */
int rule_add_connection_mark(struct nftnl_rule *rule, uint32_t mask, uint32_t bits) _must_check_;
/* ct mark & bits == bits flow add @flowtable */
int rule_add_offload(struct nftnl_rule *rule, uint32_t bits, const char *flowtable) _must_check_;
/* masquerade */
int rule_add_masquerade(struct nftnl_rule *rule) _must_check_;
/* snat ip to numgen inc mod modulus map @map; ip6 for AF_INET6 */
int rule_add_snat(struct nftnl_rule *rule, int family, uint32_t modulus, const char *map,
		  uint32_t map_id) _must_check_;
/* iif . oif @set */
int rule_add_links(struct nftnl_rule *rule, const char *set, uint32_t set_id) _must_check_;
/* ip daddr . meta l4proto . th dport @set counter name drop */
int rule_add_refuse(struct nftnl_rule *rule, int family, const char *set, uint32_t set_id,
		    const char *counter) _must_check_;
/* ip daddr . meta l4proto . th dport @guarded
 * ip daddr . meta l4proto . th dport . ip saddr != @allow counter name drop */
int rule_add_refuse_others(struct nftnl_rule *rule, int family, const char *guarded,
			   uint32_t guarded_id, const char *allow, uint32_t allow_id,
			   const char *counter) _must_check_;
/* jump chain */
int rule_add_jump(struct nftnl_rule *rule, const char *chain) _must_check_;

/* Whether both have the same expressions. */
bool rule_equal(const struct nftnl_rule *a, const struct nftnl_rule *b);

DEFINE_CLEANUP(struct nftnl_udata_buf *, nftnl_udata_buf_free, cleanup_nftnl_udata)
