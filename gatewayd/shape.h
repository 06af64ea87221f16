/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What our nftables table looks like: its chains and rules as libnftnl objects, in this one place,
 * and whether what the kernel has is the same. It sends and receives nothing. The sets are in
 * shape_set.h.
 *
 * docs/nftables.md shows the table and says why each part is as it is.
 */
#pragma once

#include <libnftnl/chain.h>
#include <libnftnl/rule.h>
#include <libnftnl/table.h>

#include "gatewayd/shape_counter.h"
#include "gatewayd/shape_set.h"

/* The packet mark's bit that says "our map translated this packet's connection". It is set and
 * read within one pass of a connection's first packet through the kernel. */
#define SHAPE_MARK UINT32_C(0x01000000)

/* nft refuses longer comments when it reads its own listing back; with the terminating zero. */
#define SHAPE_COMMENT_MAX 128

enum shape_chain {
	SHAPE_PREROUTING,
	SHAPE_OUTPUT,
	SHAPE_SOURCES,     /* only while a set that it asks is there: sources are refused */
	SHAPE_POSTROUTING, /* where sources are translated */
	SHAPE_FORWARD,     /* only with the flowtable: connections are put on the fast path */
	SHAPE_ADMISSION, /* only while a set that it asks is there; prerouting and output jump to it
			  */
	SHAPE_CHAIN_MAX,
	SHAPE_CHAIN_INVALID = -1,
};
#define SHAPE_CHAIN_BIT(chain) (1u << (chain))

const char *shape_chain_name(enum shape_chain chain);
/* The chain of a name, SHAPE_CHAIN_INVALID for any other. */
enum shape_chain shape_chain_parse(const char *name);
/* Whether a table with these sets has the chain at all. */
bool shape_has_chain(const struct shape *shape, shape_sets sets, enum shape_chain chain);
/* All chains of a table with these sets, as SHAPE_CHAIN_BITs. */
unsigned shape_chains(const struct shape *shape, shape_sets sets);

/* Each makes a new object that the caller frees; NULL: out of memory. shape_make_rule answers rule
 * number index of a chain in a table with these sets; *ret_end is set where the chain has no such
 * rule. */
struct nftnl_table *shape_make_table(void);
struct nftnl_chain *shape_make_chain(enum shape_chain chain);
struct nftnl_rule *shape_make_rule(const struct shape *shape, shape_sets sets,
				   enum shape_chain chain, unsigned index, bool *ret_end);

/* Whether an object that was read from the kernel is what shape_make_* makes, but for handles,
 * comments and counters. */
bool shape_table_matches(const struct nftnl_table *table);
bool shape_chain_matches(enum shape_chain chain, const struct nftnl_chain *actual);
bool shape_rule_matches(const struct shape *shape, shape_sets sets, enum shape_chain chain,
			unsigned index, const struct nftnl_rule *actual);

/* An element's comment says whose mapping it is: "ENVIRONMENT SERVICE", with "." for what is
 * unknown and " drain" behind it where removal should leave connections alone. */
struct shape_label {
	char environment[MAPPING_NAME_MAX + 1]; /* "" if none */
	char service[MAPPING_NAME_MAX + 1];
	bool drain;
};
/* Writes the comment, "" where there is nothing to say. -E2BIG over SHAPE_COMMENT_MAX. */
int shape_label_format(const char *environment, const char *service, bool drain,
		       char ret[SHAPE_COMMENT_MAX]) _must_check_;
/* Any other comment (someone else's) is read as no label. comment may be NULL. */
void shape_label_parse(const char *comment, struct shape_label *ret);

DEFINE_CLEANUP(struct nftnl_table *, nftnl_table_free, cleanup_nftnl_table)
DEFINE_CLEANUP(struct nftnl_chain *, nftnl_chain_free, cleanup_nftnl_chain)
DEFINE_CLEANUP(struct nftnl_rule *, nftnl_rule_free, cleanup_nftnl_rule)
