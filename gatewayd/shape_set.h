/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The sets and maps of our nftables table: their names, types, sizes and flags, in one list, as
 * libnftnl objects; and the bytes of the keys and values of mappings. It sends and receives
 * nothing.
 *
 * A new set is a line of enum shape_set, one of the list in shape_set.c, and the rules in shape.c
 * that are there while the set is. Its elements are members (see members.h).
 */
#pragma once

#include <libnftnl/flowtable.h>
#include <libnftnl/set.h>
#include <net/if.h>

#include "lib/address.h"
#include "proto/mapping.h"

#define SHAPE_TABLE "portico"
/* Whether a table of this name and family is ours. name may be NULL. */
bool shape_is_table(const char *name, uint32_t family);

/* A key or value as the kernel wants it: each part padded to four bytes. */
#define SHAPE_KEY_MAX 40
#define SHAPE_VALUE_MAX 20

/* Links whose packets take the fast path: names, so that the kernel's listing is compared easily.
 */
#define SHAPE_DEVICES_MAX 64
struct shape_devices {
	char names[SHAPE_DEVICES_MAX][IF_NAMESIZE];
	size_t n;
};
bool shape_devices_have(const struct shape_devices *devices, const char *name);

/* What hosts see as the source of a connection. */
enum source_mode {
	SOURCE_MASQUERADE, /* the gateway's address on the way to them */
	SOURCE_SNAT,       /* one of several addresses of the gateway, in turn */
	SOURCE_PRESERVE,   /* the client's; they route back through us */
	SOURCE_MODE_MAX,
	SOURCE_MODE_INVALID = -1,
};

/* "masquerade", …; SOURCE_MODE_INVALID for any other name. */
const char *source_mode_name(enum source_mode mode);
enum source_mode source_mode_parse(const char *name);
/* Limits of new connections count by the minute. */
#define SHAPE_RATE_UNIT_S 60

struct shape {
	enum source_mode source;
	uint32_t n_sources4, n_sources6; /* SOURCE_SNAT: addresses to take in turn */
	uint32_t source_rate;            /* new connections of one source in … ; 0: no limit */
	uint32_t source_rate_s;          /* … so many seconds: 1, 60 or 3600 */
	uint32_t map_size;               /* elements that each map can hold */
	bool fastpath;                   /* there is a flowtable … */
	struct shape_devices devices;    /* … with these links */
};

/* A dump's cost grows faster than its set, so that a table for more mappings than this of one
 * family has its maps in shards, by the last bits of the port. */
#define SHAPE_SHARD_FROM 262144
#define SHAPE_SHARDS 16
/* A shard has room for so many times its share, since ports may be spread unevenly. */
#define SHAPE_SHARD_SLACK 4

/* A set of ranges is built anew at each change: it has to stay small. */
#define SHAPE_RANGES_MAX 65536

/* All sets and maps that the table may have, in pairs of IPv4 and IPv6. Only those of
 * shape_sets_always are there when nobody uses them. */
enum shape_set {
	SHAPE_MAPPING4,
	SHAPE_MAPPING6,
	SHAPE_EXPIRING4, /* mappings that end by themselves */
	SHAPE_EXPIRING6,
	SHAPE_SOURCE4, /* numbers to the addresses of SOURCE_SNAT */
	SHAPE_SOURCE6,
	SHAPE_HAIRPIN,  /* each link with itself: where SOURCE_PRESERVE needs a translation */
	SHAPE_GUARDED4, /* mappings with an allow-list */
	SHAPE_GUARDED6,
	SHAPE_ALLOW4, /* mappings and the prefixes that may connect */
	SHAPE_ALLOW6,
	SHAPE_RATE4, /* mappings with a limit of new connections, each with its own limit */
	SHAPE_RATE6,
	SHAPE_CONNECTIONS4, /* mappings with a limit of connections, the same */
	SHAPE_CONNECTIONS6,
	/* instead of SHAPE_MAPPING4 and SHAPE_MAPPING6 */
	SHAPE_SHARD4_FIRST,
	SHAPE_SHARD4_LAST = SHAPE_SHARD4_FIRST + SHAPE_SHARDS - 1,
	SHAPE_SHARD6_FIRST,
	SHAPE_SHARD6_LAST = SHAPE_SHARD6_FIRST + SHAPE_SHARDS - 1,
	SHAPE_BAN4, /* sources that may open no connections, as intervals */
	SHAPE_BAN6,
	SHAPE_SOURCE_RATE4, /* sources seen of late; the kernel itself fills it */
	SHAPE_SOURCE_RATE6,
	SHAPE_SET_MAX,
	SHAPE_SET_INVALID = -1,
};

/* Of the sets that source handling uses. */
#define SHAPE_SOURCES_MAX 64
#define SHAPE_LINKS_MAX 1024
/* Bans; an interval is two elements. */
#define SHAPE_BANS_MAX 16384
/* An element may be given so long to live. The kernel counts up to 584 years. */
#define SHAPE_TIMEOUT_MAX_S (INT64_C(500) * 365 * 24 * 3600)
/* Sources whose new connections are counted at a time. */
#define SHAPE_SOURCES_SEEN_MAX 65536

/* Sets of the table as bits. */
typedef uint64_t shape_sets;
#define SHAPE_BIT(set) (UINT64_C(1) << (set))
/* The flowtable, which comes and goes, and has rules that need it, like a set. */
#define SHAPE_FASTPATH (UINT64_C(1) << 63)
#define SHAPE_FLOWTABLE "fastpath"

_Static_assert(SHAPE_SET_MAX <= 64, "sets are bits of shape_sets");

shape_sets shape_sets_always(const struct shape *shape);
/* The maps for the mappings of a family that do not end. Shards come and go together, so that the
 * rules are not made anew for each. */
shape_sets shape_sets_of_mappings(const struct shape *shape, int family);
/* The maps of both families, for mappings that end, too. */
shape_sets shape_sets_of_all_mappings(const struct shape *shape);

/* "mapping4", …; the set of a name, SHAPE_SET_INVALID for any other. */
const char *shape_set_name(enum shape_set set);
enum shape_set shape_set_parse(const char *name);
/* Number of the set within one batch, by which the batch's rules refer to it. */
uint32_t shape_set_id(enum shape_set set);
/* Whether its elements lead mappings to their targets; all others' are members. */
bool shape_set_is_map(enum shape_set set);
/* Whether its members are intervals of one value, which the kernel wants as two elements: one with
 * the first value, and an end with the one behind the last. */
bool shape_set_is_interval(enum shape_set set);
/* Whether the kernel fills it by itself; it has no members then. */
bool shape_set_is_dynamic(enum shape_set set);
/* Whether its elements may end by themselves. */
bool shape_set_has_timeout(enum shape_set set);
/* What an element of the set does beside being there. */
enum shape_statement {
	SHAPE_NO_STATEMENT,
	/* It matches a packet only over its limit, and counts those. */
	SHAPE_RATE_OVER,        /* so many new connections a minute, as many at once */
	SHAPE_CONNECTIONS_OVER, /* so many connections at a time */
	/* It counts the packets that it matches. */
	SHAPE_COUNT,
};
enum shape_statement shape_set_statement(enum shape_set set);
/* The set of a pair, given by its first, for AF_INET or AF_INET6. */
enum shape_set shape_set_of_family(enum shape_set set4, int family);
/* The map that a mapping belongs to: by its address's family, whether it ends by itself, and in a
 * large table by its port. */
enum shape_set shape_map_of(const struct shape *shape, const struct mapping_key *key, bool expires);
/* The last bits of the ports that are in this shard; -1 for any other set. */
int shape_set_shard(enum shape_set set);
int shape_set_family(enum shape_set set); /* AF_INET, AF_INET6, or AF_UNSPEC */

/* A new object that the caller frees; NULL: out of memory. */
struct nftnl_set *shape_make_set(const struct shape *shape, enum shape_set set);
/* Whether a set that was read from the kernel is what shape_make_set makes, but for its handle. */
bool shape_set_matches(const struct shape *shape, enum shape_set set,
		       const struct nftnl_set *actual);

/* The flowtable, and whether one that was read is the same but for its devices. */
struct nftnl_flowtable *shape_make_flowtable(const struct shape *shape);
bool shape_flowtable_matches(const struct nftnl_flowtable *actual);

/* Bytes of a mapping's key and value; return their length. */
size_t shape_key(const struct mapping_key *key, uint8_t ret[SHAPE_KEY_MAX]);
size_t shape_value(const struct endpoint *target, uint8_t ret[SHAPE_VALUE_MAX]);
/* The other way, for what a dump gives: the mapping that an element of any of these sets is about.
 * -EBADMSG for a length that does not fit. */
int shape_key_parse(enum shape_set set, const void *data, size_t length, struct mapping_key *ret)
	_must_check_;
int shape_value_parse(enum shape_set set, const void *data, size_t length, struct endpoint *ret)
	_must_check_;

DEFINE_CLEANUP(struct nftnl_set *, nftnl_set_free, cleanup_nftnl_set)
DEFINE_CLEANUP(struct nftnl_flowtable *, nftnl_flowtable_free, cleanup_nftnl_flowtable)
