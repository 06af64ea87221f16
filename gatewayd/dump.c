/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Reading our table back from the kernel: its structure compared with our shape, and the elements
 * of its sets, all of one generation of the ruleset. It changes nothing in the kernel.
 */
#include "gatewayd/dump.h"

#include <arpa/inet.h>
#include <endian.h>
#include <errno.h>
#include <libmnl/libmnl.h>
#include <libnftnl/common.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>
#include <string.h>

#include "gatewayd/intervals.h"
#include "lib/clock.h"

/* A dump of a large map takes a while; the kernel answers each piece at once. */
#define TIMEOUT_MS 30000
#define REPEATS_MAX 20
#define REQUEST_MAX 1024
/* A key and the end of its range, each in an attribute within an attribute. */
#define KEY_BYTES_MAX (4 + 2 * (8 + SHAPE_KEY_MAX))

struct dumper {
	const struct shape *shape;
	struct dump *dump;
	enum shape_set set; /* whose elements are read */
	int64_t now_ms;     /* Unix time: what timeouts are counted from */
	shape_sets sets_seen;
	size_t n_devices; /* of ours, that the flowtable has */
	bool foreign;     /* something that is not ours is in the table */
	bool chains_differ, rules_differ;
	unsigned rules_seen[SHAPE_CHAIN_MAX];
	struct intervals intervals; /* of a set of them, until it is read */
};

static void elements_clear(struct dump *dump)
{
	for (size_t i = 0; i < dump->n_elements; i++)
		free(dump->elements[i].comment);
	for (size_t i = 0; i < dump->n_members; i++)
		free((char *)(uintptr_t)dump->members[i].terms.comment);
	free(dump->elements);
	dump->elements = NULL;
	dump->n_elements = dump->elements_allocated = 0;
	free(dump->members);
	dump->members = NULL;
	dump->n_members = dump->members_allocated = 0;
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
	enum shape_set which;

	if (!set || nftnl_set_nlmsg_parse(message, set) < 0)
		return -ENOMEM;
	if (!is_our_table(nftnl_set_get_str(set, NFTNL_SET_TABLE),
			  nftnl_set_get_u32(set, NFTNL_SET_FAMILY)))
		return 0;
	which = shape_set_parse(nftnl_set_get_str(set, NFTNL_SET_NAME));
	if (which == SHAPE_SET_INVALID) {
		dumper->foreign = true;
		return 0;
	}
	dumper->sets_seen |= SHAPE_BIT(which);
	if (!shape_set_matches(dumper->shape, which, set))
		dumper->dump->structure.stale = true;
	return 0;
}

/* Reads the message of a named counter of our table. SHAPE_COUNTER_INVALID where the object is
 * something else; *ret_ours says whether it is in our table at all. */
static enum shape_counter read_counter(const struct nlmsghdr *message, bool *ret_ours,
				       uint64_t *ret_packets)
{
	const struct nfgenmsg *nfgen = mnl_nlmsg_get_payload(message);
	const char *table = "", *name = "";
	const struct nlattr *attr, *data = NULL, *inner;
	uint32_t type = 0;

	mnl_attr_for_each(attr, message, sizeof(*nfgen))
	{
		if (mnl_attr_get_type(attr) == NFTA_OBJ_TABLE)
			table = mnl_attr_get_str(attr);
		else if (mnl_attr_get_type(attr) == NFTA_OBJ_NAME)
			name = mnl_attr_get_str(attr);
		else if (mnl_attr_get_type(attr) == NFTA_OBJ_TYPE)
			type = ntohl(mnl_attr_get_u32(attr));
		else if (mnl_attr_get_type(attr) == NFTA_OBJ_DATA)
			data = attr;
	}
	*ret_ours = is_our_table(table, nfgen->nfgen_family);
	*ret_packets = 0;
	if (!*ret_ours || type != NFT_OBJECT_COUNTER || !data)
		return SHAPE_COUNTER_INVALID;
	mnl_attr_for_each_nested(inner, data)
	{
		if (mnl_attr_get_type(inner) == NFTA_COUNTER_PACKETS)
			*ret_packets = be64toh(mnl_attr_get_u64(inner));
	}
	return shape_counter_parse(name);
}

static int on_object(const struct nlmsghdr *message, void *userdata)
{
	struct dumper *dumper = userdata;
	enum shape_counter counter;
	uint64_t packets;
	bool ours;

	counter = read_counter(message, &ours, &packets);
	if (!ours)
		return 0;
	if (counter == SHAPE_COUNTER_INVALID ||
	    !(shape_counters(dumper->sets_seen) & SHAPE_COUNTER_BIT(counter)))
		dumper->foreign = true;
	else
		dumper->dump->structure.counters |= SHAPE_COUNTER_BIT(counter);
	return 0;
}

static int on_flowtable(const struct nlmsghdr *message, void *userdata)
{
	struct dumper *dumper = userdata;
	_cleanup_(cleanup_nftnl_flowtable) struct nftnl_flowtable *flowtable =
		nftnl_flowtable_alloc();
	const char *const *names;

	if (!flowtable || nftnl_flowtable_nlmsg_parse(message, flowtable) < 0)
		return -ENOMEM;
	if (!is_our_table(nftnl_flowtable_get_str(flowtable, NFTNL_FLOWTABLE_TABLE),
			  nftnl_flowtable_get_u32(flowtable, NFTNL_FLOWTABLE_FAMILY)))
		return 0;
	if (strcmp(nftnl_flowtable_get_str(flowtable, NFTNL_FLOWTABLE_NAME), SHAPE_FLOWTABLE) !=
	    0) {
		dumper->foreign = true;
		return 0;
	}
	dumper->sets_seen |= SHAPE_FASTPATH;
	if (!shape_flowtable_matches(flowtable))
		dumper->dump->structure.stale = true;
	names = nftnl_flowtable_get_array(flowtable, NFTNL_FLOWTABLE_DEVICES);
	for (size_t i = 0; names && names[i]; i++)
		dumper->n_devices += shape_devices_have(&dumper->shape->devices, names[i]);
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

static enum shape_chain chain_of(const struct dumper *dumper, const char *name)
{
	enum shape_chain chain = shape_chain_parse(name);

	if (chain != SHAPE_CHAIN_INVALID &&
	    !shape_has_chain(dumper->shape, dumper->sets_seen, chain))
		return SHAPE_CHAIN_INVALID;
	return chain;
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
	which = chain_of(dumper, name);
	if (which != SHAPE_CHAIN_INVALID && shape_chain_matches(which, chain))
		dumper->dump->structure.chains |= SHAPE_CHAIN_BIT(which);
	else
		dumper->chains_differ = true;
	return add_chain_name(&dumper->dump->structure, name);
}

/* Where one chain has to go all do, so that they come back in the order of the documentation; else
 * none does. */
static void judge_chains(struct dumper *dumper)
{
	struct structure *structure = &dumper->dump->structure;

	if (dumper->chains_differ) {
		structure->chains = 0;
		return;
	}
	for (size_t i = 0; i < structure->n_names; i++)
		free(structure->names[i]);
	structure->n_names = 0;
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
	chain = chain_of(dumper, nftnl_rule_get_str(rule, NFTNL_RULE_CHAIN));
	if (chain == SHAPE_CHAIN_INVALID ||
	    !shape_rule_matches(dumper->shape, dumper->sets_seen, chain,
				dumper->rules_seen[chain]++, rule))
		dumper->rules_differ = true;
	return 0;
}

/* Whether every chain and every rule of our shape was seen. */
static bool rules_complete(const struct dumper *dumper)
{
	unsigned wanted = shape_chains(dumper->shape, dumper->sets_seen);

	if (dumper->dump->structure.chains != wanted)
		return false;
	for (int chain = 0; chain < SHAPE_CHAIN_MAX; chain++) {
		_cleanup_(cleanup_nftnl_rule) struct nftnl_rule *rule = NULL;
		bool end = true;

		if (wanted & SHAPE_CHAIN_BIT(chain))
			rule = shape_make_rule(dumper->shape, dumper->sets_seen, chain,
					       dumper->rules_seen[chain], &end);
		if (!end)
			return false;
	}
	return true;
}

/* ---- elements ---- */

/* The items with room for one more; NULL when out of memory, and they stay as they are. */
static void *grow(void *items, size_t size, size_t n, size_t *allocated)
{
	size_t wanted = *allocated ? 2 * *allocated : 64;
	void *grown;

	if (n < *allocated)
		return items;
	grown = reallocarray(items, wanted, size);
	if (grown)
		*allocated = wanted;
	return grown;
}

static int add_mapping(struct dumper *dumper, const struct element *element)
{
	struct dump *dump = dumper->dump;
	struct dump_element read = { .expires_at = element_end(element, dumper->now_ms) };
	struct dump_element *grown;
	int r;

	r = shape_key_parse(dumper->set, element->key.key, element->key.length, &read.key);
	if (r == 0)
		r = shape_value_parse(dumper->set, element->value, element->value_length,
				      &read.target);
	if (r < 0)
		return r;
	/* Where nobody would look for it. */
	if (shape_map_of(dumper->shape, &read.key, read.expires_at != 0) != dumper->set &&
	    !shape_set_has_timeout(dumper->set))
		dump->structure.stale = true;
	grown = grow(dump->elements, sizeof(*grown), dump->n_elements, &dump->elements_allocated);
	if (!grown)
		return -ENOMEM;
	dump->elements = grown;
	if (element->comment[0]) {
		read.comment = strdup(element->comment);
		if (!read.comment)
			return -ENOMEM;
	}
	dump->elements[dump->n_elements++] = read;
	return 0;
}

/* A set that leads numbers to addresses has those of one family, by their length. */
static struct address value_of(const struct element *element)
{
	struct address address = { 0 };

	if (element->value_length == 4 || element->value_length == 16) {
		address.family = element->value_length == 4 ? AF_INET : AF_INET6;
		memcpy(address.bytes, element->value, element->value_length);
	}
	return address;
}

static int add_member(const struct element *element, void *userdata)
{
	struct dumper *dumper = userdata;
	struct dump *dump = dumper->dump;
	struct dump_member *grown =
		grow(dump->members, sizeof(*grown), dump->n_members, &dump->members_allocated);
	char *comment = NULL;

	if (!grown)
		return -ENOMEM;
	dump->members = grown;
	if (element->comment[0]) {
		comment = strdup(element->comment);
		if (!comment)
			return -ENOMEM;
	}
	dump->members[dump->n_members++] = (struct dump_member){
		.key = element->key,
		.terms = { .value = value_of(element),
			   .limit = element->limit,
			   .comment = comment,
			   .expires_at = element_end(element, dumper->now_ms) },
		.packets = element->packets,
	};
	return 0;
}

static int add_element(struct dumper *dumper, const struct element *element)
{
	if (shape_set_is_map(dumper->set))
		return add_mapping(dumper, element);
	if (shape_set_is_interval(dumper->set))
		return intervals_add(&dumper->intervals, element);
	return add_member(element, dumper);
}

static int on_element(const struct nlattr *attr, void *userdata)
{
	struct dumper *dumper = userdata;
	struct element element;
	int r;

	r = element_read(attr, dumper->set, &element);
	if (r == 0)
		r = add_element(dumper, &element);
	if (r != -EBADMSG)
		return r;
	/* Of a set with other types, which will be made anew. */
	dumper->dump->structure.stale = true;
	return 0;
}

static int for_each_element(const struct nlmsghdr *message,
			    int (*callback)(const struct nlattr *attr, void *userdata),
			    void *userdata)
{
	const struct nlattr *list, *attr;

	mnl_attr_for_each(list, message, sizeof(struct nfgenmsg))
	{
		if (mnl_attr_get_type(list) != NFTA_SET_ELEM_LIST_ELEMENTS)
			continue;
		mnl_attr_for_each_nested(attr, list)
		{
			int r = callback(attr, userdata);

			if (r < 0)
				return r;
		}
	}
	return 0;
}

static int on_elements(const struct nlmsghdr *message, void *userdata)
{
	return for_each_element(message, on_element, userdata);
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

/* A kernel without flowtables does not know the question. */
static int dump_flowtables(struct netlink *netlink, struct dumper *dumper)
{
	int r = dump_objects(netlink, NFT_MSG_GETFLOWTABLE, NFTA_FLOWTABLE_TABLE, on_flowtable,
			     dumper);

	return r == -EOPNOTSUPP || r == -EINVAL ? 0 : r;
}

static int dump_table_object(struct netlink *netlink, struct dumper *dumper)
{
	_Alignas(struct nlmsghdr) uint8_t buffer[REQUEST_MAX];
	struct nlmsghdr *request = make_request(buffer, NFT_MSG_GETTABLE, 0);

	mnl_attr_put_strz(request, NFTA_TABLE_NAME, SHAPE_TABLE);
	return netlink_request(netlink, request, TIMEOUT_MS, on_table, dumper);
}

static int dump_set(struct netlink *netlink, enum shape_set set, struct dumper *dumper)
{
	_Alignas(struct nlmsghdr) uint8_t buffer[REQUEST_MAX];
	struct nlmsghdr *request = make_request(buffer, NFT_MSG_GETSETELEM, NLM_F_DUMP);

	int r;

	dumper->set = set;
	dumper->now_ms = clock_unix_ms();
	mnl_attr_put_strz(request, NFTA_SET_ELEM_LIST_TABLE, SHAPE_TABLE);
	mnl_attr_put_strz(request, NFTA_SET_ELEM_LIST_SET, shape_set_name(set));
	r = netlink_request(netlink, request, TIMEOUT_MS, on_elements, dumper);
	if (r == 0)
		r = intervals_take(&dumper->intervals, add_member, dumper);
	intervals_clear(&dumper->intervals);
	return r;
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
		r = dump_objects(netlink, NFT_MSG_GETOBJ, NFTA_OBJ_TABLE, on_object, dumper);
	if (r == 0)
		r = dump_flowtables(netlink, dumper);
	if (r == 0)
		r = dump_objects(netlink, NFT_MSG_GETCHAIN, NFTA_CHAIN_TABLE, on_chain, dumper);
	if (r == 0)
		r = dump_objects(netlink, NFT_MSG_GETRULE, NFTA_RULE_TABLE, on_rule, dumper);
	for (int set = 0; r == 0 && set < SHAPE_SET_MAX; set++)
		if ((dumper->sets_seen & SHAPE_BIT(set)) && !shape_set_is_dynamic(set))
			r = dump_set(netlink, set, dumper);
	if (r < 0)
		return r;
	judge_chains(dumper);
	structure->sets = dumper->sets_seen;
	structure->devices = dumper->n_devices == dumper->shape->devices.n;
	structure->rules = !dumper->rules_differ && rules_complete(dumper);
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

/* ---- counters ---- */

static int on_counter(const struct nlmsghdr *message, void *userdata)
{
	uint64_t *packets = userdata, read;
	enum shape_counter counter;
	bool ours;

	counter = read_counter(message, &ours, &read);
	if (counter != SHAPE_COUNTER_INVALID)
		packets[counter] = read;
	return 0;
}

int dump_counters(struct netlink *netlink, uint64_t ret_packets[SHAPE_COUNTER_MAX])
{
	_Alignas(struct nlmsghdr) uint8_t buffer[REQUEST_MAX];
	struct nlmsghdr *request = make_request(buffer, NFT_MSG_GETOBJ, NLM_F_DUMP);

	memset(ret_packets, 0, SHAPE_COUNTER_MAX * sizeof(*ret_packets));
	mnl_attr_put_strz(request, NFTA_OBJ_TABLE, SHAPE_TABLE);
	return netlink_request(netlink, request, TIMEOUT_MS, on_counter, ret_packets);
}

/* ---- by key ---- */

struct reader {
	struct intervals intervals; /* of a set of them, until it is read */
	enum shape_set set;
	void (*on_element)(const struct element *element, void *userdata);
	void *userdata;
};

static int hand_out(const struct element *element, void *userdata)
{
	const struct reader *reader = userdata;

	reader->on_element(element, reader->userdata);
	return 0;
}

static int read_one(const struct nlattr *attr, void *userdata)
{
	struct reader *reader = userdata;
	struct element element;
	int r;

	r = element_read(attr, reader->set, &element);
	if (r < 0)
		return r;
	if (shape_set_is_interval(reader->set))
		return intervals_add(&reader->intervals, &element);
	return hand_out(&element, reader);
}

static int read_message(const struct nlmsghdr *message, void *userdata)
{
	return for_each_element(message, read_one, userdata);
}

int dump_keys(struct netlink *netlink, const struct member_key *keys, size_t n,
	      void (*callback)(const struct element *element, void *userdata), void *userdata)
{
	struct reader reader = { .set = keys[0].set, .on_element = callback, .userdata = userdata };
	const size_t room = REQUEST_MAX + n * KEY_BYTES_MAX;
	_cleanup_free_ uint8_t *buffer = calloc(1, room);
	struct nlmsghdr *request;
	struct nlattr *list;
	int r;

	if (!buffer)
		return -ENOMEM;
	request = nftnl_nlmsg_build_hdr((char *)buffer, NFT_MSG_GETSETELEM, NFPROTO_INET, 0, 0);
	mnl_attr_put_strz(request, NFTA_SET_ELEM_LIST_TABLE, SHAPE_TABLE);
	mnl_attr_put_strz(request, NFTA_SET_ELEM_LIST_SET, shape_set_name(reader.set));
	list = mnl_attr_nest_start(request, NFTA_SET_ELEM_LIST_ELEMENTS);
	for (size_t i = 0; i < n; i++) {
		const struct element element = { .key = keys[i] };

		if (!element_put(request, room, &element, true))
			return -E2BIG;
	}
	mnl_attr_nest_end(request, list);
	r = netlink_request(netlink, request, TIMEOUT_MS, read_message, &reader);
	if (r == 0)
		r = intervals_take(&reader.intervals, hand_out, &reader);
	intervals_clear(&reader.intervals);
	return r == -ENOENT ? 0 : r;
}

struct finder {
	struct element *element;
	bool found;
};

static void on_found(const struct element *element, void *userdata)
{
	struct finder *finder = userdata;

	*finder->element = *element;
	finder->found = true;
}

int dump_element(struct netlink *netlink, const struct member_key *key, bool *ret_exists,
		 struct element *ret)
{
	struct element element;
	struct finder finder = { .element = &element };
	int r;

	r = dump_keys(netlink, key, 1, on_found, &finder);
	if (r < 0)
		return r;
	*ret_exists = finder.found;
	if (finder.found)
		*ret = element;
	return 0;
}
