/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What our nftables table looks like: its names, maps, chains and rules as libnftnl objects, in
 * this one place, and whether what the kernel has is the same. It sends and receives nothing.
 *
 * docs/nftables.md shows the table and says why each part is as it is.
 */
#pragma once

#include <libnftnl/chain.h>
#include <libnftnl/rule.h>
#include <libnftnl/set.h>
#include <libnftnl/table.h>

#include "lib/address.h"
#include "proto/mapping.h"

#define SHAPE_TABLE "portico"

/* The packet mark's bit that says "our map translated this packet's connection". It is set and
 * read within one pass of a connection's first packet through the kernel. */
#define SHAPE_MARK UINT32_C(0x01000000)

/* A key or value of a map as the kernel wants it: each part padded to four bytes. */
#define SHAPE_KEY_MAX 24
#define SHAPE_VALUE_MAX 20
/* nft refuses longer comments when it reads its own listing back; with the terminating zero. */
#define SHAPE_COMMENT_MAX 128

struct shape {
	bool masquerade;   /* false: hosts see the client's address and route back through us */
	uint32_t map_size; /* elements that each map can hold */
};

enum shape_map {
	SHAPE_MAP4,
	SHAPE_MAP6,
	SHAPE_MAP_MAX,
	SHAPE_MAP_INVALID = -1,
};

enum shape_chain {
	SHAPE_PREROUTING,
	SHAPE_OUTPUT,
	SHAPE_POSTROUTING, /* only where shape.masquerade */
	SHAPE_CHAIN_MAX,
	SHAPE_CHAIN_INVALID = -1,
};

/* "mapping4", "mapping6"; the map of a name, SHAPE_MAP_INVALID for any other. */
const char *shape_map_name(enum shape_map map);
enum shape_map shape_map_parse(const char *name);
/* The map that a mapping belongs to, by its address's family. */
enum shape_map shape_map_of(const struct mapping_key *key);
const char *shape_chain_name(enum shape_chain chain);
/* Whether this shape has the chain at all. */
bool shape_has_chain(const struct shape *shape, enum shape_chain chain);

/* Each makes a new object that the caller frees; NULL: out of memory. shape_rule answers rule
 * number index of a chain; *ret_end is set where the chain has no such rule. */
struct nftnl_table *shape_make_table(void);
struct nftnl_set *shape_make_map(const struct shape *shape, enum shape_map map);
struct nftnl_chain *shape_make_chain(enum shape_chain chain);
struct nftnl_rule *shape_make_rule(enum shape_chain chain, unsigned index, bool *ret_end);

/* Whether an object that was read from the kernel is what shape_make_* makes, but for handles,
 * comments and counters. */
bool shape_table_matches(const struct nftnl_table *table);
bool shape_map_matches(const struct shape *shape, enum shape_map map, const struct nftnl_set *set);
bool shape_chain_matches(enum shape_chain chain, const struct nftnl_chain *actual);
bool shape_rule_matches(enum shape_chain chain, unsigned index, const struct nftnl_rule *actual);

/* Bytes of key and value; return their length. */
size_t shape_key(const struct mapping_key *key, uint8_t ret[SHAPE_KEY_MAX]);
size_t shape_value(const struct endpoint *target, uint8_t ret[SHAPE_VALUE_MAX]);
/* The other way, for what a dump of the map gives. -EBADMSG for a length that does not fit. */
int shape_key_parse(enum shape_map map, const void *data, size_t length, struct mapping_key *ret)
	_must_check_;
int shape_value_parse(enum shape_map map, const void *data, size_t length, struct endpoint *ret)
	_must_check_;

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
DEFINE_CLEANUP(struct nftnl_set *, nftnl_set_free, cleanup_nftnl_set)
DEFINE_CLEANUP(struct nftnl_chain *, nftnl_chain_free, cleanup_nftnl_chain)
DEFINE_CLEANUP(struct nftnl_rule *, nftnl_rule_free, cleanup_nftnl_rule)
