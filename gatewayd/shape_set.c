/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The sets and maps of our nftables table: their names, types, sizes and flags, in one list, as
 * libnftnl objects; and the bytes of the keys and values of mappings. It sends and receives
 * nothing.
 */
#include "gatewayd/shape_set.h"

#include <arpa/inet.h>
#include <errno.h>
#include <libnftnl/expr.h>
#include <libnftnl/udata.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>
#include <string.h>

#include "gatewayd/shape_rule.h"

/* nft's numbers for its data types, of which a concatenation has six bits each; with them it prints
 * keys as addresses, protocols and ports. */
enum nft_type {
	NFT_TYPE_INTEGER = 4,
	NFT_TYPE_IPV4_ADDRESS = 7,
	NFT_TYPE_IPV6_ADDRESS = 8,
	NFT_TYPE_PROTOCOL = 12,
	NFT_TYPE_SERVICE = 13,
	NFT_TYPE_LINK = 20,
};
#define NFT_TYPE_BITS 6

/* Fields of a concatenation with ranges; the kernel wants to know their lengths. */
#define FIELDS_MAX 4

#define KEY_TYPE(address)                                                            \
	(((address) << (2 * NFT_TYPE_BITS)) | (NFT_TYPE_PROTOCOL << NFT_TYPE_BITS) | \
	 NFT_TYPE_SERVICE)
#define VALUE_TYPE(address) (((address) << NFT_TYPE_BITS) | NFT_TYPE_SERVICE)
#define KEY4 KEY_TYPE(NFT_TYPE_IPV4_ADDRESS), 12
#define KEY6 KEY_TYPE(NFT_TYPE_IPV6_ADDRESS), 24
#define SOURCE_TYPE(address) ((KEY_TYPE(address) << NFT_TYPE_BITS) | (address))
#define VALUE4 VALUE_TYPE(NFT_TYPE_IPV4_ADDRESS), 8
#define VALUE6 VALUE_TYPE(NFT_TYPE_IPV6_ADDRESS), 20
#define NO_VALUE 0, 0
#define UNSIZED UINT32_MAX
#define SHARED (UINT32_MAX - 1)
#define RANGES (NFT_SET_INTERVAL | NFT_SET_CONCAT)

/* nft's numbers for the expressions that a set of no named type is typed by: "typeof numgen inc mod
 * 2 : ip saddr". */
enum nft_expression {
	NFT_EXPRESSION_PAYLOAD = 7,
	NFT_EXPRESSION_NUMGEN = 23,
};
enum nft_byte_order {
	NFT_BYTE_ORDER_HOST = 1,
	NFT_BYTE_ORDER_NETWORK = 2,
};

struct set_spec {
	const char *name;
	uint8_t family;
	uint32_t key_type, key_length;
	uint32_t value_type, value_length; /* 0: a set and no map */
	uint32_t flags;
	uint32_t size; /* 0: as large as the maps are configured, but not too large to be read;
			* UNSIZED: as it may become; SHARED: a share of the maps' size */
	enum shape_statement statement;
	uint8_t fields[FIELDS_MAX]; /* of a set of ranges */
};

#define SHARD(n, digit)                                                                   \
	[SHAPE_SHARD4_FIRST +                                                             \
		(n)] = { "mapping4_" digit, AF_INET, KEY4, VALUE4, NFT_SET_MAP, SHARED }, \
		[SHAPE_SHARD6_FIRST + (n)] = { "mapping6_" digit, AF_INET6, KEY6, VALUE6, \
					       NFT_SET_MAP,       SHARED }

static const struct set_spec sets[SHAPE_SET_MAX] = {
	[SHAPE_MAPPING4] = { "mapping4", AF_INET, KEY4, VALUE4, NFT_SET_MAP, 0 },
	[SHAPE_MAPPING6] = { "mapping6", AF_INET6, KEY6, VALUE6, NFT_SET_MAP, 0 },
	[SHAPE_EXPIRING4] = { "expiring4", AF_INET, KEY4, VALUE4, NFT_SET_MAP | NFT_SET_TIMEOUT,
			      0 },
	[SHAPE_EXPIRING6] = { "expiring6", AF_INET6, KEY6, VALUE6, NFT_SET_MAP | NFT_SET_TIMEOUT,
			      0 },
	[SHAPE_SOURCE4] = { "source4", AF_INET, NFT_TYPE_INTEGER, 4, NFT_TYPE_IPV4_ADDRESS, 4,
			    NFT_SET_MAP, SHAPE_SOURCES_MAX },
	[SHAPE_SOURCE6] = { "source6", AF_INET6, NFT_TYPE_INTEGER, 4, NFT_TYPE_IPV6_ADDRESS, 16,
			    NFT_SET_MAP, SHAPE_SOURCES_MAX },
	[SHAPE_HAIRPIN] = { "hairpin", AF_UNSPEC, (NFT_TYPE_LINK << NFT_TYPE_BITS) | NFT_TYPE_LINK,
			    8, 0, 0, 0, SHAPE_LINKS_MAX },
	[SHAPE_GUARDED4] = { "guarded4", AF_INET, KEY4, NO_VALUE, 0, 0 },
	[SHAPE_GUARDED6] = { "guarded6", AF_INET6, KEY6, NO_VALUE, 0, 0 },
	[SHAPE_ALLOW4] = { "allow4",
			   AF_INET,
			   SOURCE_TYPE(NFT_TYPE_IPV4_ADDRESS),
			   16,
			   NO_VALUE,
			   RANGES,
			   SHAPE_RANGES_MAX,
			   SHAPE_NO_STATEMENT,
			   { 4, 1, 2, 4 } },
	[SHAPE_ALLOW6] = { "allow6",
			   AF_INET6,
			   SOURCE_TYPE(NFT_TYPE_IPV6_ADDRESS),
			   40,
			   NO_VALUE,
			   RANGES,
			   SHAPE_RANGES_MAX,
			   SHAPE_NO_STATEMENT,
			   { 16, 1, 2, 16 } },
	[SHAPE_RATE4] = { "rate4", AF_INET, KEY4, NO_VALUE, NFT_SET_EXPR, 0, SHAPE_RATE_OVER },
	[SHAPE_RATE6] = { "rate6", AF_INET6, KEY6, NO_VALUE, NFT_SET_EXPR, 0, SHAPE_RATE_OVER },
	/* With a size the kernel chooses a hash that cannot count connections, and with EVAL it
	 * takes elements away that have none. */
	[SHAPE_CONNECTIONS4] = { "connections4", AF_INET, KEY4, NO_VALUE, NFT_SET_EXPR, UNSIZED,
				 SHAPE_CONNECTIONS_OVER },
	[SHAPE_CONNECTIONS6] = { "connections6", AF_INET6, KEY6, NO_VALUE, NFT_SET_EXPR, UNSIZED,
				 SHAPE_CONNECTIONS_OVER },
	SHARD(0, "0"),
	SHARD(1, "1"),
	SHARD(2, "2"),
	SHARD(3, "3"),
	SHARD(4, "4"),
	SHARD(5, "5"),
	SHARD(6, "6"),
	SHARD(7, "7"),
	SHARD(8, "8"),
	SHARD(9, "9"),
	SHARD(10, "10"),
	SHARD(11, "11"),
	SHARD(12, "12"),
	SHARD(13, "13"),
	SHARD(14, "14"),
	SHARD(15, "15"),
	[SHAPE_BAN4] = { "ban4", AF_INET, NFT_TYPE_IPV4_ADDRESS, 4, NO_VALUE,
			 NFT_SET_INTERVAL | NFT_SET_TIMEOUT, 2 * SHAPE_BANS_MAX, SHAPE_COUNT },
	[SHAPE_BAN6] = { "ban6", AF_INET6, NFT_TYPE_IPV6_ADDRESS, 16, NO_VALUE,
			 NFT_SET_INTERVAL | NFT_SET_TIMEOUT, 2 * SHAPE_BANS_MAX, SHAPE_COUNT },
	[SHAPE_SOURCE_RATE4] = { "source_rate4", AF_INET, NFT_TYPE_IPV4_ADDRESS, 4, NO_VALUE,
				 NFT_SET_EVAL | NFT_SET_TIMEOUT, SHAPE_SOURCES_SEEN_MAX },
	[SHAPE_SOURCE_RATE6] = { "source_rate6", AF_INET6, NFT_TYPE_IPV6_ADDRESS, 16, NO_VALUE,
				 NFT_SET_EVAL | NFT_SET_TIMEOUT, SHAPE_SOURCES_SEEN_MAX },
};

const char *source_mode_name(enum source_mode mode)
{
	static const char *const names[SOURCE_MODE_MAX] = {
		[SOURCE_MASQUERADE] = "masquerade",
		[SOURCE_SNAT] = "snat",
		[SOURCE_PRESERVE] = "preserve",
	};

	return names[mode];
}

enum source_mode source_mode_parse(const char *name)
{
	for (int i = 0; i < SOURCE_MODE_MAX; i++)
		if (strcmp(source_mode_name(i), name) == 0)
			return i;
	return SOURCE_MODE_INVALID;
}

static bool is_sharded(const struct shape *shape)
{
	return shape->map_size > SHAPE_SHARD_FROM;
}

shape_sets shape_sets_of_mappings(const struct shape *shape, int family)
{
	const shape_sets shards = SHAPE_BIT(SHAPE_SHARDS) - 1;

	if (is_sharded(shape))
		return shards << (family == AF_INET6 ? SHAPE_SHARD6_FIRST : SHAPE_SHARD4_FIRST);
	return SHAPE_BIT(shape_set_of_family(SHAPE_MAPPING4, family));
}

shape_sets shape_sets_of_all_mappings(const struct shape *shape)
{
	return shape_sets_of_mappings(shape, AF_INET) | shape_sets_of_mappings(shape, AF_INET6) |
	       SHAPE_BIT(SHAPE_EXPIRING4) | SHAPE_BIT(SHAPE_EXPIRING6);
}

shape_sets shape_sets_always(const struct shape *shape)
{
	shape_sets always = 0;

	if (shape->source_rate > 0)
		always |= SHAPE_BIT(SHAPE_SOURCE_RATE4) | SHAPE_BIT(SHAPE_SOURCE_RATE6);
	if (shape->fastpath)
		always |= SHAPE_FASTPATH;
	return always;
}

const char *shape_set_name(enum shape_set set)
{
	return sets[set].name;
}

enum shape_set shape_set_parse(const char *name)
{
	for (int i = 0; i < SHAPE_SET_MAX; i++)
		if (strcmp(sets[i].name, name) == 0)
			return i;
	return SHAPE_SET_INVALID;
}

uint32_t shape_set_id(enum shape_set set)
{
	return (uint32_t)set + 1;
}

bool shape_set_is_map(enum shape_set set)
{
	/* an address with a port */
	return sets[set].value_type >> NFT_TYPE_BITS;
}

bool shape_set_is_interval(enum shape_set set)
{
	return (sets[set].flags & (NFT_SET_INTERVAL | NFT_SET_CONCAT)) == NFT_SET_INTERVAL;
}

bool shape_set_is_dynamic(enum shape_set set)
{
	return sets[set].flags & NFT_SET_EVAL;
}

bool shape_set_has_timeout(enum shape_set set)
{
	return sets[set].flags & NFT_SET_TIMEOUT;
}

enum shape_statement shape_set_statement(enum shape_set set)
{
	return sets[set].statement;
}

enum shape_set shape_set_of_family(enum shape_set set4, int family)
{
	return set4 + (family == AF_INET6);
}

enum shape_set shape_map_of(const struct shape *shape, const struct mapping_key *key, bool expires)
{
	int family = key->address.family;

	if (expires)
		return shape_set_of_family(SHAPE_EXPIRING4, family);
	if (!is_sharded(shape))
		return shape_set_of_family(SHAPE_MAPPING4, family);
	return (family == AF_INET6 ? SHAPE_SHARD6_FIRST : SHAPE_SHARD4_FIRST) +
	       key->port % SHAPE_SHARDS;
}

int shape_set_shard(enum shape_set set)
{
	if (set >= SHAPE_SHARD4_FIRST && set <= SHAPE_SHARD4_LAST)
		return (int)set - SHAPE_SHARD4_FIRST;
	if (set >= SHAPE_SHARD6_FIRST && set <= SHAPE_SHARD6_LAST)
		return (int)set - SHAPE_SHARD6_FIRST;
	return -1;
}

int shape_set_family(enum shape_set set)
{
	return sets[set].family;
}

/* An expression by which nft types a key or value: its number, and its own fields in their order.
 */
static bool put_expression(struct nftnl_udata_buf *udata, uint8_t type, uint32_t expression,
			   const uint32_t *fields, uint8_t n_fields)
{
	struct nftnl_udata *outer = nftnl_udata_nest_start(udata, type), *inner;

	if (!outer || !nftnl_udata_put_u32(udata, NFTNL_UDATA_SET_TYPEOF_EXPR, expression))
		return false;
	inner = nftnl_udata_nest_start(udata, NFTNL_UDATA_SET_TYPEOF_DATA);
	if (!inner)
		return false;
	for (uint8_t i = 0; i < n_fields; i++)
		if (!nftnl_udata_put_u32(udata, i, fields[i]))
			return false;
	nftnl_udata_nest_end(udata, inner);
	nftnl_udata_nest_end(udata, outer);
	return true;
}

/* "typeof numgen inc mod N : ip saddr" */
static bool put_source_types(struct nftnl_udata_buf *udata, const struct shape *shape,
			     enum shape_set set)
{
	bool v6 = set == SHAPE_SOURCE6;
	const uint32_t key[] = { NFT_NG_INCREMENTAL, v6 ? shape->n_sources6 : shape->n_sources4,
				 0 };
	/* nft's numbers of a header and of the source address in it */
	const uint32_t value4[] = { 12, 11 }, value6[] = { 13, 8 };

	return put_expression(udata, NFTNL_UDATA_SET_KEY_TYPEOF, NFT_EXPRESSION_NUMGEN, key,
			      ARRAY_SIZE(key)) &&
	       put_expression(udata, NFTNL_UDATA_SET_DATA_TYPEOF, NFT_EXPRESSION_PAYLOAD,
			      v6 ? value6 : value4, ARRAY_SIZE(value4));
}

/* nft notes types and byte order of keys and values beside the set, for its own listing. */
static int set_user_data(struct nftnl_set *made, const struct shape *shape, enum shape_set set)
{
	bool source = set == SHAPE_SOURCE4 || set == SHAPE_SOURCE6;
	_cleanup_(cleanup_nftnl_udata) struct nftnl_udata_buf *udata =
		nftnl_udata_buf_alloc(NFT_USERDATA_MAXLEN);

	if (!udata ||
	    !nftnl_udata_put_u32(udata, NFTNL_UDATA_SET_KEYBYTEORDER,
				 source ? NFT_BYTE_ORDER_HOST : 0) ||
	    !nftnl_udata_put_u32(udata, NFTNL_UDATA_SET_DATABYTEORDER,
				 source ? NFT_BYTE_ORDER_NETWORK : 0))
		return -ENOMEM;
	if (source && !put_source_types(udata, shape, set))
		return -ENOMEM;
	return nftnl_set_set_data(made, NFTNL_SET_USERDATA, nftnl_udata_buf_data(udata),
				  nftnl_udata_buf_len(udata));
}

/* The statement that an element has where it brings none of its own: the strictest. */
static int add_statement(struct nftnl_set *set, enum shape_statement statement)
{
	struct nftnl_expr *e = NULL;

	switch (statement) {
	case SHAPE_NO_STATEMENT:
		return 0;
	case SHAPE_RATE_OVER:
		e = nftnl_expr_alloc("limit");
		if (!e)
			return -ENOMEM;
		nftnl_expr_set_u64(e, NFTNL_EXPR_LIMIT_RATE, 1);
		nftnl_expr_set_u64(e, NFTNL_EXPR_LIMIT_UNIT, SHAPE_RATE_UNIT_S);
		nftnl_expr_set_u32(e, NFTNL_EXPR_LIMIT_BURST, 1);
		nftnl_expr_set_u32(e, NFTNL_EXPR_LIMIT_FLAGS, NFT_LIMIT_F_INV);
		break;
	case SHAPE_CONNECTIONS_OVER:
		e = nftnl_expr_alloc("connlimit");
		if (!e)
			return -ENOMEM;
		nftnl_expr_set_u32(e, NFTNL_EXPR_CONNLIMIT_COUNT, 1);
		nftnl_expr_set_u32(e, NFTNL_EXPR_CONNLIMIT_FLAGS, NFT_CONNLIMIT_F_INV);
		break;
	case SHAPE_COUNT:
		break;
	}
	if (e)
		nftnl_set_add_expr(set, e);
	e = nftnl_expr_alloc("counter");
	if (!e)
		return -ENOMEM;
	nftnl_set_add_expr(set, e);
	return 0;
}

static uint32_t size_of(const struct shape *shape, const struct set_spec *spec)
{
	switch (spec->size) {
	case UNSIZED:
		return 0;
	case SHARED:
		return shape->map_size / SHAPE_SHARDS * SHAPE_SHARD_SLACK;
	case 0:
		return MIN(shape->map_size, (uint32_t)SHAPE_SHARD_FROM);
	}
	return spec->size;
}

/* Milliseconds after which the kernel forgets what it has put there itself: a source that is silent
 * for so long has all its allowance back. 0: such a set it is not. */
static uint64_t timeout_of(const struct shape *shape, enum shape_set set)
{
	return shape_set_is_dynamic(set) ? UINT64_C(1000) * shape->source_rate_s : 0;
}

bool shape_is_table(const char *name, uint32_t family)
{
	return family == NFPROTO_INET && name && strcmp(name, SHAPE_TABLE) == 0;
}

struct nftnl_set *shape_make_set(const struct shape *shape, enum shape_set set)
{
	const struct set_spec *spec = &sets[set];
	_cleanup_(cleanup_nftnl_set) struct nftnl_set *made = nftnl_set_alloc();

	if (!made || nftnl_set_set_str(made, NFTNL_SET_TABLE, SHAPE_TABLE) < 0 ||
	    nftnl_set_set_str(made, NFTNL_SET_NAME, spec->name) < 0 ||
	    set_user_data(made, shape, set) < 0)
		return NULL;
	nftnl_set_set_u32(made, NFTNL_SET_FAMILY, NFPROTO_INET);
	nftnl_set_set_u32(made, NFTNL_SET_FLAGS, spec->flags);
	nftnl_set_set_u32(made, NFTNL_SET_KEY_TYPE, spec->key_type);
	nftnl_set_set_u32(made, NFTNL_SET_KEY_LEN, spec->key_length);
	if (spec->value_length > 0) {
		nftnl_set_set_u32(made, NFTNL_SET_DATA_TYPE, spec->value_type);
		nftnl_set_set_u32(made, NFTNL_SET_DATA_LEN, spec->value_length);
	}
	if (size_of(shape, spec) > 0)
		nftnl_set_set_u32(made, NFTNL_SET_DESC_SIZE, size_of(shape, spec));
	if (timeout_of(shape, set) > 0)
		nftnl_set_set_u64(made, NFTNL_SET_TIMEOUT, timeout_of(shape, set));
	nftnl_set_set_u32(made, NFTNL_SET_ID, shape_set_id(set));
	if (spec->fields[0] > 0 &&
	    nftnl_set_set_data(made, NFTNL_SET_DESC_CONCAT, spec->fields, sizeof(spec->fields)) < 0)
		return NULL;
	return add_statement(made, spec->statement) < 0 ? NULL : TAKE_PTR(made);
}

static int count_expression(struct nftnl_expr *e, void *userdata)
{
	enum shape_statement *statement = userdata;
	const char *name = nftnl_expr_get_str(e, NFTNL_EXPR_NAME);

	if (strcmp(name, "limit") == 0)
		*statement = SHAPE_RATE_OVER;
	else if (strcmp(name, "connlimit") == 0)
		*statement = SHAPE_CONNECTIONS_OVER;
	else if (*statement == SHAPE_NO_STATEMENT)
		*statement = SHAPE_COUNT; /* the others count as well, behind their own */
	return 0;
}

static bool statement_matches(const struct set_spec *spec, const struct nftnl_set *actual)
{
	enum shape_statement statement = SHAPE_NO_STATEMENT;

	(void)nftnl_set_expr_foreach(actual, count_expression, &statement);
	return statement == spec->statement;
}

bool shape_set_matches(const struct shape *shape, enum shape_set set,
		       const struct nftnl_set *actual)
{
	const struct set_spec *spec = &sets[set];

	return nftnl_set_get_u32(actual, NFTNL_SET_FLAGS) == spec->flags &&
	       nftnl_set_get_u32(actual, NFTNL_SET_KEY_TYPE) == spec->key_type &&
	       nftnl_set_get_u32(actual, NFTNL_SET_KEY_LEN) == spec->key_length &&
	       (spec->value_length == 0 ||
		(nftnl_set_get_u32(actual, NFTNL_SET_DATA_TYPE) == spec->value_type &&
		 nftnl_set_get_u32(actual, NFTNL_SET_DATA_LEN) == spec->value_length)) &&
	       nftnl_set_get_u32(actual, NFTNL_SET_DESC_SIZE) == size_of(shape, spec) &&
	       nftnl_set_get_u64(actual, NFTNL_SET_TIMEOUT) == timeout_of(shape, set) &&
	       statement_matches(spec, actual);
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

int shape_key_parse(enum shape_set set, const void *data, size_t length, struct mapping_key *ret)
{
	struct mapping_key key = { 0 };
	const uint8_t *bytes = data;
	uint16_t port;
	size_t n;

	key.address.family = sets[set].family;
	n = address_length(&key.address);
	if (length != sets[set].key_length || length < n + 8)
		return -EBADMSG;
	memcpy(key.address.bytes, bytes, n);
	key.protocol = bytes[n];
	memcpy(&port, bytes + n + 4, sizeof(port));
	key.port = ntohs(port);
	*ret = key;
	return 0;
}

int shape_value_parse(enum shape_set set, const void *data, size_t length, struct endpoint *ret)
{
	struct endpoint target = { 0 };
	const uint8_t *bytes = data;
	uint16_t port;
	size_t n;

	if (length != sets[set].value_length)
		return -EBADMSG;
	target.address.family = sets[set].family;
	n = address_length(&target.address);
	memcpy(target.address.bytes, bytes, n);
	memcpy(&port, bytes + n, sizeof(port));
	target.port = ntohs(port);
	*ret = target;
	return 0;
}
