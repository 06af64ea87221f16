/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Reading the structure of our table back from the kernel, table, sets, counters, flowtable, chains
 * and rules, and comparing each with our shape. It changes nothing in the kernel.
 */
#include "gatewayd/dump_structure.h"

#include <errno.h>
#include <libmnl/libmnl.h>
#include <libnftnl/common.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>
#include <string.h>

#define REQUEST_MAX 512

struct reader {
	const struct shape *shape;
	struct structure *structure;
	shape_sets sets_seen;
	size_t n_devices; /* of ours, that the flowtable has */
	bool foreign;     /* something that is not ours is in the table */
	bool chains_differ, rules_differ;
	unsigned rules_seen[SHAPE_CHAIN_MAX];
};

static int on_table(const struct nlmsghdr *message, void *userdata)
{
	struct reader *reader = userdata;
	_cleanup_(cleanup_nftnl_table) struct nftnl_table *table = nftnl_table_alloc();

	if (!table || nftnl_table_nlmsg_parse(message, table) < 0)
		return -ENOMEM;
	reader->structure->table = true;
	if (!shape_table_matches(table))
		reader->structure->stale = true;
	return 0;
}

static int on_set(const struct nlmsghdr *message, void *userdata)
{
	struct reader *reader = userdata;
	_cleanup_(cleanup_nftnl_set) struct nftnl_set *set = nftnl_set_alloc();
	enum shape_set which;

	if (!set || nftnl_set_nlmsg_parse(message, set) < 0)
		return -ENOMEM;
	if (!shape_is_table(nftnl_set_get_str(set, NFTNL_SET_TABLE),
			    nftnl_set_get_u32(set, NFTNL_SET_FAMILY)))
		return 0;
	which = shape_set_parse(nftnl_set_get_str(set, NFTNL_SET_NAME));
	if (which == SHAPE_SET_INVALID) {
		reader->foreign = true;
		return 0;
	}
	reader->sets_seen |= SHAPE_BIT(which);
	if (!shape_set_matches(reader->shape, which, set))
		reader->structure->stale = true;
	return 0;
}

static int on_object(const struct nlmsghdr *message, void *userdata)
{
	struct reader *reader = userdata;
	enum shape_counter counter;
	uint64_t packets;
	bool ours;

	counter = shape_counter_read(message, &ours, &packets);
	if (!ours)
		return 0;
	if (counter == SHAPE_COUNTER_INVALID ||
	    !(shape_counters(reader->sets_seen) & SHAPE_COUNTER_BIT(counter)))
		reader->foreign = true;
	else
		reader->structure->counters |= SHAPE_COUNTER_BIT(counter);
	return 0;
}

static int on_flowtable(const struct nlmsghdr *message, void *userdata)
{
	struct reader *reader = userdata;
	_cleanup_(cleanup_nftnl_flowtable) struct nftnl_flowtable *flowtable =
		nftnl_flowtable_alloc();
	const char *const *names;

	if (!flowtable || nftnl_flowtable_nlmsg_parse(message, flowtable) < 0)
		return -ENOMEM;
	if (!shape_is_table(nftnl_flowtable_get_str(flowtable, NFTNL_FLOWTABLE_TABLE),
			    nftnl_flowtable_get_u32(flowtable, NFTNL_FLOWTABLE_FAMILY)))
		return 0;
	if (strcmp(nftnl_flowtable_get_str(flowtable, NFTNL_FLOWTABLE_NAME), SHAPE_FLOWTABLE) !=
	    0) {
		reader->foreign = true;
		return 0;
	}
	reader->sets_seen |= SHAPE_FASTPATH;
	if (!shape_flowtable_matches(flowtable))
		reader->structure->stale = true;
	names = nftnl_flowtable_get_array(flowtable, NFTNL_FLOWTABLE_DEVICES);
	for (size_t i = 0; names && names[i]; i++)
		reader->n_devices += shape_devices_have(&reader->shape->devices, names[i]);
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

static enum shape_chain chain_of(const struct reader *reader, const char *name)
{
	enum shape_chain chain = shape_chain_parse(name);

	if (chain != SHAPE_CHAIN_INVALID &&
	    !shape_has_chain(reader->shape, reader->sets_seen, chain))
		return SHAPE_CHAIN_INVALID;
	return chain;
}

static int on_chain(const struct nlmsghdr *message, void *userdata)
{
	struct reader *reader = userdata;
	_cleanup_(cleanup_nftnl_chain) struct nftnl_chain *chain = nftnl_chain_alloc();
	enum shape_chain which;
	const char *name;

	if (!chain || nftnl_chain_nlmsg_parse(message, chain) < 0)
		return -ENOMEM;
	if (!shape_is_table(nftnl_chain_get_str(chain, NFTNL_CHAIN_TABLE),
			    nftnl_chain_get_u32(chain, NFTNL_CHAIN_FAMILY)))
		return 0;
	name = nftnl_chain_get_str(chain, NFTNL_CHAIN_NAME);
	which = chain_of(reader, name);
	if (which != SHAPE_CHAIN_INVALID && shape_chain_matches(which, chain))
		reader->structure->chains |= SHAPE_CHAIN_BIT(which);
	else
		reader->chains_differ = true;
	return add_chain_name(reader->structure, name);
}

/* Where one chain has to go all do, so that they come back in the order of the documentation; else
 * none does. */
static void judge_chains(struct reader *reader)
{
	struct structure *structure = reader->structure;

	if (reader->chains_differ) {
		structure->chains = 0;
		return;
	}
	for (size_t i = 0; i < structure->n_names; i++)
		free(structure->names[i]);
	structure->n_names = 0;
}

static int on_rule(const struct nlmsghdr *message, void *userdata)
{
	struct reader *reader = userdata;
	_cleanup_(cleanup_nftnl_rule) struct nftnl_rule *rule = nftnl_rule_alloc();
	enum shape_chain chain;

	if (!rule || nftnl_rule_nlmsg_parse(message, rule) < 0)
		return -ENOMEM;
	if (!shape_is_table(nftnl_rule_get_str(rule, NFTNL_RULE_TABLE),
			    nftnl_rule_get_u32(rule, NFTNL_RULE_FAMILY)))
		return 0;
	chain = chain_of(reader, nftnl_rule_get_str(rule, NFTNL_RULE_CHAIN));
	if (chain == SHAPE_CHAIN_INVALID ||
	    !shape_rule_matches(reader->shape, reader->sets_seen, chain,
				reader->rules_seen[chain]++, rule))
		reader->rules_differ = true;
	return 0;
}

/* Whether every chain and every rule of our shape was seen. */
static bool rules_complete(const struct reader *reader)
{
	unsigned wanted = shape_chains(reader->shape, reader->sets_seen);

	if (reader->structure->chains != wanted)
		return false;
	for (int chain = 0; chain < SHAPE_CHAIN_MAX; chain++) {
		_cleanup_(cleanup_nftnl_rule) struct nftnl_rule *rule = NULL;
		bool end = true;

		if (wanted & SHAPE_CHAIN_BIT(chain))
			rule = shape_make_rule(reader->shape, reader->sets_seen, chain,
					       reader->rules_seen[chain], &end);
		if (!end)
			return false;
	}
	return true;
}

/* ---- asking ---- */

static int ask(struct netlink *netlink, uint16_t type, uint16_t flags, uint16_t table_attr,
	       int (*on_message)(const struct nlmsghdr *message, void *userdata),
	       struct reader *reader)
{
	_Alignas(struct nlmsghdr) uint8_t buffer[REQUEST_MAX] = { 0 };
	struct nlmsghdr *request =
		nftnl_nlmsg_build_hdr((char *)buffer, type, NFPROTO_INET, flags, 0);

	mnl_attr_put_strz(request, table_attr, SHAPE_TABLE);
	return netlink_request(netlink, request, DUMP_TIMEOUT_MS, on_message, reader);
}

/* A kernel without flowtables does not know the question. */
static int ask_flowtables(struct netlink *netlink, struct reader *reader)
{
	int r = ask(netlink, NFT_MSG_GETFLOWTABLE, NLM_F_DUMP, NFTA_FLOWTABLE_TABLE, on_flowtable,
		    reader);

	return r == -EOPNOTSUPP || r == -EINVAL ? 0 : r;
}

static int ask_all(struct netlink *netlink, struct reader *reader)
{
	int r;

	r = ask(netlink, NFT_MSG_GETSET, NLM_F_DUMP, NFTA_SET_TABLE, on_set, reader);
	if (r == 0)
		r = ask(netlink, NFT_MSG_GETOBJ, NLM_F_DUMP, NFTA_OBJ_TABLE, on_object, reader);
	if (r == 0)
		r = ask_flowtables(netlink, reader);
	if (r == 0)
		r = ask(netlink, NFT_MSG_GETCHAIN, NLM_F_DUMP, NFTA_CHAIN_TABLE, on_chain, reader);
	if (r == 0)
		r = ask(netlink, NFT_MSG_GETRULE, NLM_F_DUMP, NFTA_RULE_TABLE, on_rule, reader);
	return r;
}

int dump_structure(struct netlink *netlink, const struct shape *shape, struct structure *structure)
{
	struct reader reader = { .shape = shape, .structure = structure };
	int r;

	r = ask(netlink, NFT_MSG_GETTABLE, 0, NFTA_TABLE_NAME, on_table, &reader);
	if (r == -ENOENT)
		return 0; /* no table: nothing else to read */
	if (r == 0)
		r = ask_all(netlink, &reader);
	if (r < 0)
		return r;
	judge_chains(&reader);
	structure->sets = reader.sets_seen;
	structure->devices = reader.n_devices == shape->devices.n;
	structure->rules = !reader.rules_differ && rules_complete(&reader);
	if (reader.foreign)
		structure->stale = true;
	return 0;
}
