/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Reading our table back from the kernel: its structure compared with our shape, and the elements
 * of its maps, all of one generation of the ruleset. It changes nothing in the kernel.
 */
#include "gatewayd/dump.h"

#include <arpa/inet.h>
#include <errno.h>
#include <libmnl/libmnl.h>
#include <libnftnl/common.h>
#include <libnftnl/udata.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>
#include <string.h>

/* A dump of a large map takes a while; the kernel answers each piece at once. */
#define TIMEOUT_MS 30000
#define REPEATS_MAX 20
#define REQUEST_MAX 1024

struct dumper {
	const struct shape *shape;
	struct dump *dump;
	enum shape_map map;   /* whose elements are read */
	unsigned maps_seen;   /* bits of enum shape_map */
	bool foreign;         /* something that is not ours is in the table */
	unsigned chains_seen; /* bits of enum shape_chain */
	bool chains_differ;
	unsigned rules_seen[SHAPE_CHAIN_MAX];
};

static void elements_clear(struct dump *dump)
{
	for (size_t i = 0; i < dump->n_elements; i++)
		free(dump->elements[i].comment);
	free(dump->elements);
	dump->elements = NULL;
	dump->n_elements = dump->allocated = 0;
}

void dump_clear(struct dump *dump)
{
	structure_clear(&dump->structure);
	elements_clear(dump);
}

static struct nlmsghdr *make_request(uint8_t buffer[REQUEST_MAX], uint16_t type, uint16_t flags)
{
	memset(buffer, 0, REQUEST_MAX);
	return nftnl_nlmsg_build_hdr((char *)buffer, type, NFPROTO_INET, flags, 0);
}

static int on_generation(const struct nlmsghdr *message, void *userdata)
{
	uint32_t *generation = userdata;
	const struct nlattr *attr;

	mnl_attr_for_each(attr, message, sizeof(struct nfgenmsg))
	{
		if (mnl_attr_get_type(attr) == NFTA_GEN_ID &&
		    mnl_attr_validate(attr, MNL_TYPE_U32) >= 0)
			*generation = ntohl(mnl_attr_get_u32(attr));
	}
	return 0;
}

int dump_generation(struct netlink *netlink, uint32_t *ret)
{
	_Alignas(struct nlmsghdr) uint8_t buffer[REQUEST_MAX];
	struct nlmsghdr *request = make_request(buffer, NFT_MSG_GETGEN, 0);
	uint32_t generation = 0;
	int r;

	((struct nfgenmsg *)mnl_nlmsg_get_payload(request))->nfgen_family = AF_UNSPEC;
	r = netlink_request(netlink, request, TIMEOUT_MS, on_generation, &generation);
	if (r < 0)
		return r;
	*ret = generation;
	return 0;
}

static int on_table(const struct nlmsghdr *message, void *userdata)
{
	struct dumper *dumper = userdata;
	_cleanup_(cleanup_nftnl_table) struct nftnl_table *table = nftnl_table_alloc();

	if (!table || nftnl_table_nlmsg_parse(message, table) < 0)
		return -ENOMEM;
	dumper->dump->structure.table = true;
	if (!shape_table_matches(table))
		dumper->dump->structure.stale = true;
	return 0;
}

static bool is_our_table(const char *name, uint32_t family)
{
	return family == NFPROTO_INET && name && strcmp(name, SHAPE_TABLE) == 0;
}

static int on_set(const struct nlmsghdr *message, void *userdata)
{
	struct dumper *dumper = userdata;
	_cleanup_(cleanup_nftnl_set) struct nftnl_set *set = nftnl_set_alloc();
	enum shape_map map;

	if (!set || nftnl_set_nlmsg_parse(message, set) < 0)
		return -ENOMEM;
	if (!is_our_table(nftnl_set_get_str(set, NFTNL_SET_TABLE),
			  nftnl_set_get_u32(set, NFTNL_SET_FAMILY)))
		return 0;
	map = shape_map_parse(nftnl_set_get_str(set, NFTNL_SET_NAME));
	if (map == SHAPE_MAP_INVALID) {
		dumper->foreign = true;
		return 0;
	}
	dumper->maps_seen |= 1u << map;
	if (!shape_map_matches(dumper->shape, map, set))
		dumper->dump->structure.stale = true;
	return 0;
}

static int add_chain_name(struct structure *structure, const char *name)
{
	char **names = reallocarray(structure->names, structure->n_names + 1, sizeof(*names));

	if (!names)
		return -ENOMEM;
	structure->names = names;
	names[structure->n_names] = strdup(name);
	if (!names[structure->n_names])
		return -ENOMEM;
	structure->n_names++;
	return 0;
}

static enum shape_chain chain_of(const struct shape *shape, const char *name)
{
	for (int i = 0; i < SHAPE_CHAIN_MAX; i++)
		if (shape_has_chain(shape, i) && strcmp(shape_chain_name(i), name) == 0)
			return i;
	return SHAPE_CHAIN_INVALID;
}

static int on_chain(const struct nlmsghdr *message, void *userdata)
{
	struct dumper *dumper = userdata;
	_cleanup_(cleanup_nftnl_chain) struct nftnl_chain *chain = nftnl_chain_alloc();
	enum shape_chain which;
	const char *name;

	if (!chain || nftnl_chain_nlmsg_parse(message, chain) < 0)
		return -ENOMEM;
	if (!is_our_table(nftnl_chain_get_str(chain, NFTNL_CHAIN_TABLE),
			  nftnl_chain_get_u32(chain, NFTNL_CHAIN_FAMILY)))
		return 0;
	name = nftnl_chain_get_str(chain, NFTNL_CHAIN_NAME);
	which = chain_of(dumper->shape, name);
	if (which == SHAPE_CHAIN_INVALID || !shape_chain_matches(which, chain))
		dumper->chains_differ = true;
	else
		dumper->chains_seen |= 1u << which;
	return add_chain_name(&dumper->dump->structure, name);
}

static int on_rule(const struct nlmsghdr *message, void *userdata)
{
	struct dumper *dumper = userdata;
	_cleanup_(cleanup_nftnl_rule) struct nftnl_rule *rule = nftnl_rule_alloc();
	enum shape_chain chain;

	if (!rule || nftnl_rule_nlmsg_parse(message, rule) < 0)
		return -ENOMEM;
	if (!is_our_table(nftnl_rule_get_str(rule, NFTNL_RULE_TABLE),
			  nftnl_rule_get_u32(rule, NFTNL_RULE_FAMILY)))
		return 0;
	chain = chain_of(dumper->shape, nftnl_rule_get_str(rule, NFTNL_RULE_CHAIN));
	if (chain == SHAPE_CHAIN_INVALID ||
	    !shape_rule_matches(chain, dumper->rules_seen[chain]++, rule))
		dumper->chains_differ = true;
	return 0;
}

/* Whether every chain and every rule of our shape was seen. */
static bool chains_complete(const struct dumper *dumper)
{
	for (int chain = 0; chain < SHAPE_CHAIN_MAX; chain++) {
		_cleanup_(cleanup_nftnl_rule) struct nftnl_rule *rule = NULL;
		bool end;

		if (!shape_has_chain(dumper->shape, chain))
			continue;
		rule = shape_make_rule(chain, dumper->rules_seen[chain], &end);
		if (!(dumper->chains_seen & (1u << chain)) || !end)
			return false;
	}
	return true;
}

/* ---- elements: read without libnftnl, which keeps an object of half a KiB for each ---- */

struct element_parts {
	const struct nlattr *key, *data, *userdata;
};

static int on_element_attr(const struct nlattr *attr, void *userdata)
{
	struct element_parts *parts = userdata;

	switch (mnl_attr_get_type(attr)) {
	case NFTA_SET_ELEM_KEY:
		parts->key = attr;
		break;
	case NFTA_SET_ELEM_DATA:
		parts->data = attr;
		break;
	case NFTA_SET_ELEM_USERDATA:
		parts->userdata = attr;
		break;
	}
	return MNL_CB_OK;
}

/* The value inside a nested key or data attribute; NULL if there is none. */
static const struct nlattr *value_of(const struct nlattr *nest)
{
	const struct nlattr *attr;

	if (!nest)
		return NULL;
	mnl_attr_for_each_nested(attr, nest)
	{
		if (mnl_attr_get_type(attr) == NFTA_DATA_VALUE)
			return attr;
	}
	return NULL;
}

/* The comment in nft's user data: a list of type, length, value. */
static int read_comment(const struct nlattr *userdata, char **ret)
{
	const uint8_t *data = mnl_attr_get_payload(userdata);
	size_t left = mnl_attr_get_payload_len(userdata);

	while (left >= 2 && (size_t)data[1] + 2 <= left) {
		size_t length = data[1];

		if (data[0] == NFTNL_UDATA_SET_ELEM_COMMENT && length > 0) {
			*ret = strndup((const char *)data + 2, length);
			return *ret ? 0 : -ENOMEM;
		}
		data += 2 + length;
		left -= 2 + length;
	}
	return 0;
}

static int read_element(const struct nlattr *attr, enum shape_map map, struct dump_element *ret)
{
	struct element_parts parts = { 0 };
	const struct nlattr *key, *value;
	int r;

	if (mnl_attr_parse_nested(attr, on_element_attr, &parts) < 0)
		return -EBADMSG;
	key = value_of(parts.key);
	value = value_of(parts.data);
	if (!key || !value)
		return -EBADMSG;
	r = shape_key_parse(map, mnl_attr_get_payload(key), mnl_attr_get_payload_len(key),
			    &ret->key);
	if (r < 0)
		return r;
	r = shape_value_parse(map, mnl_attr_get_payload(value), mnl_attr_get_payload_len(value),
			      &ret->target);
	if (r < 0)
		return r;
	return parts.userdata ? read_comment(parts.userdata, &ret->comment) : 0;
}

static int add_element(struct dump *dump, const struct dump_element *element)
{
	if (dump->n_elements == dump->allocated) {
		size_t wanted = dump->allocated ? 2 * dump->allocated : 64;
		struct dump_element *grown =
			reallocarray(dump->elements, wanted, sizeof(*dump->elements));

		if (!grown)
			return -ENOMEM;
		dump->elements = grown;
		dump->allocated = wanted;
	}
	dump->elements[dump->n_elements++] = *element;
	return 0;
}

static int on_element(const struct nlattr *attr, struct dumper *dumper)
{
	struct dump_element element = { 0 };
	int r;

	r = read_element(attr, dumper->map, &element);
	if (r == -EBADMSG) {
		/* Of a map with other types, which will be made anew. */
		dumper->dump->structure.stale = true;
		return 0;
	}
	if (r == 0)
		r = add_element(dumper->dump, &element);
	if (r < 0)
		free(element.comment);
	return r;
}

static int on_elements(const struct nlmsghdr *message, void *userdata)
{
	const struct nlattr *list, *attr;

	mnl_attr_for_each(list, message, sizeof(struct nfgenmsg))
	{
		if (mnl_attr_get_type(list) != NFTA_SET_ELEM_LIST_ELEMENTS)
			continue;
		mnl_attr_for_each_nested(attr, list)
		{
			int r = on_element(attr, userdata);

			if (r < 0)
				return r;
		}
	}
	return 0;
}

/* ---- the whole ---- */

static int dump_objects(struct netlink *netlink, uint16_t type, uint16_t table_attr,
			int (*on_message)(const struct nlmsghdr *message, void *userdata),
			struct dumper *dumper)
{
	_Alignas(struct nlmsghdr) uint8_t buffer[REQUEST_MAX];
	struct nlmsghdr *request = make_request(buffer, type, NLM_F_DUMP);

	mnl_attr_put_strz(request, table_attr, SHAPE_TABLE);
	return netlink_request(netlink, request, TIMEOUT_MS, on_message, dumper);
}

static int dump_table_object(struct netlink *netlink, struct dumper *dumper)
{
	_Alignas(struct nlmsghdr) uint8_t buffer[REQUEST_MAX];
	struct nlmsghdr *request = make_request(buffer, NFT_MSG_GETTABLE, 0);

	mnl_attr_put_strz(request, NFTA_TABLE_NAME, SHAPE_TABLE);
	return netlink_request(netlink, request, TIMEOUT_MS, on_table, dumper);
}

static int dump_map(struct netlink *netlink, enum shape_map map, struct dumper *dumper)
{
	_Alignas(struct nlmsghdr) uint8_t buffer[REQUEST_MAX];
	struct nlmsghdr *request = make_request(buffer, NFT_MSG_GETSETELEM, NLM_F_DUMP);

	dumper->map = map;
	mnl_attr_put_strz(request, NFTA_SET_ELEM_LIST_TABLE, SHAPE_TABLE);
	mnl_attr_put_strz(request, NFTA_SET_ELEM_LIST_SET, shape_map_name(map));
	return netlink_request(netlink, request, TIMEOUT_MS, on_elements, dumper);
}

static int dump_all(struct netlink *netlink, struct dumper *dumper)
{
	struct structure *structure = &dumper->dump->structure;
	int r;

	r = dump_table_object(netlink, dumper);
	if (r == -ENOENT)
		return 0; /* no table: nothing else to read */
	if (r == 0)
		r = dump_objects(netlink, NFT_MSG_GETSET, NFTA_SET_TABLE, on_set, dumper);
	if (r == 0)
		r = dump_objects(netlink, NFT_MSG_GETCHAIN, NFTA_CHAIN_TABLE, on_chain, dumper);
	if (r == 0)
		r = dump_objects(netlink, NFT_MSG_GETRULE, NFTA_RULE_TABLE, on_rule, dumper);
	for (int map = 0; r == 0 && map < SHAPE_MAP_MAX; map++)
		if (dumper->maps_seen & (1u << map))
			r = dump_map(netlink, map, dumper);
	if (r < 0)
		return r;
	structure->maps = dumper->maps_seen == (1u << SHAPE_MAP_MAX) - 1 && !structure->stale;
	structure->chains = !dumper->chains_differ && chains_complete(dumper);
	if (dumper->foreign)
		structure->stale = true;
	return 0;
}

static int dump_once(struct netlink *netlink, const struct shape *shape, struct dump *dump)
{
	struct dumper dumper = { .shape = shape, .dump = dump };
	uint32_t after;
	int r;

	r = dump_generation(netlink, &dump->generation);
	if (r < 0)
		return r;
	r = dump_all(netlink, &dumper);
	/* What was listed a moment ago is gone: the ruleset changed under the dump. */
	if (r == -ENOENT)
		return -EINTR;
	if (r < 0)
		return r;
	r = dump_generation(netlink, &after);
	if (r < 0)
		return r;
	return after == dump->generation ? 0 : -EINTR;
}

int dump_table(struct netlink *netlink, const struct shape *shape, struct dump *ret)
{
	struct dump dump = { 0 };
	int r = -EINTR;

	for (unsigned i = 0; r == -EINTR && i < REPEATS_MAX; i++) {
		dump_clear(&dump);
		dump = (struct dump){ .repeats = i };
		r = dump_once(netlink, shape, &dump);
	}
	if (r < 0) {
		dump_clear(&dump);
		return r == -EINTR ? -EAGAIN : r;
	}
	*ret = dump;
	return 0;
}

int dump_element(struct netlink *netlink, const struct mapping_key *key, bool *ret_exists,
		 struct endpoint *ret_target)
{
	struct dump dump = { 0 };
	struct dumper dumper = { .dump = &dump, .map = shape_map_of(key) };
	_Alignas(struct nlmsghdr) uint8_t buffer[REQUEST_MAX], bytes[SHAPE_KEY_MAX];
	struct nlmsghdr *request = make_request(buffer, NFT_MSG_GETSETELEM, 0);
	struct nlattr *list, *element, *nest;
	int r;

	mnl_attr_put_strz(request, NFTA_SET_ELEM_LIST_TABLE, SHAPE_TABLE);
	mnl_attr_put_strz(request, NFTA_SET_ELEM_LIST_SET, shape_map_name(dumper.map));
	list = mnl_attr_nest_start(request, NFTA_SET_ELEM_LIST_ELEMENTS);
	element = mnl_attr_nest_start(request, NFTA_LIST_ELEM);
	nest = mnl_attr_nest_start(request, NFTA_SET_ELEM_KEY);
	mnl_attr_put(request, NFTA_DATA_VALUE, shape_key(key, bytes), bytes);
	mnl_attr_nest_end(request, nest);
	mnl_attr_nest_end(request, element);
	mnl_attr_nest_end(request, list);
	r = netlink_request(netlink, request, TIMEOUT_MS, on_elements, &dumper);
	if (r == 0) {
		*ret_exists = dump.n_elements == 1;
		if (*ret_exists)
			*ret_target = dump.elements[0].target;
	} else if (r == -ENOENT) {
		*ret_exists = false;
		r = 0;
	}
	dump_clear(&dump);
	return r;
}
