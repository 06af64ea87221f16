/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Reading our table back from the kernel: its structure compared with our shape, and the elements
 * of its sets, all of one generation of the ruleset. It changes nothing in the kernel.
 */
#include "gatewayd/dump.h"

#include <arpa/inet.h>
#include <errno.h>
#include <libmnl/libmnl.h>
#include <libnftnl/common.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>
#include <string.h>

#include "gatewayd/dump_structure.h"
#include "gatewayd/element.h"
#include "gatewayd/intervals.h"
#include "lib/array.h"
#include "lib/clock.h"

#define REPEATS_MAX 20
#define REQUEST_MAX 512

struct dumper {
	const struct shape *shape;
	struct dump *dump;
	enum shape_set set;         /* whose elements are read */
	int64_t now_ms;             /* Unix time: what timeouts are counted from */
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
	_Alignas(struct nlmsghdr) uint8_t buffer[REQUEST_MAX] = { 0 };
	struct nlmsghdr *request =
		nftnl_nlmsg_build_hdr((char *)buffer, NFT_MSG_GETGEN, AF_UNSPEC, 0, 0);
	uint32_t generation = 0;
	int r;

	r = netlink_request(netlink, request, DUMP_TIMEOUT_MS, on_generation, &generation);
	if (r < 0)
		return r;
	*ret = generation;
	return 0;
}

/* ---- elements ---- */

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
	grown = array_grow(dump->elements, sizeof(*grown), dump->n_elements,
			   &dump->elements_allocated);
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
	struct dump_member *grown = array_grow(dump->members, sizeof(*grown), dump->n_members,
					       &dump->members_allocated);
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

static int on_elements(const struct nlmsghdr *message, void *userdata)
{
	return element_for_each(message, on_element, userdata);
}

static int dump_set(struct netlink *netlink, enum shape_set set, struct dumper *dumper)
{
	_Alignas(struct nlmsghdr) uint8_t buffer[REQUEST_MAX] = { 0 };
	struct nlmsghdr *request = nftnl_nlmsg_build_hdr((char *)buffer, NFT_MSG_GETSETELEM,
							 NFPROTO_INET, NLM_F_DUMP, 0);
	int r;

	dumper->set = set;
	dumper->now_ms = clock_unix_ms();
	mnl_attr_put_strz(request, NFTA_SET_ELEM_LIST_TABLE, SHAPE_TABLE);
	mnl_attr_put_strz(request, NFTA_SET_ELEM_LIST_SET, shape_set_name(set));
	r = netlink_request(netlink, request, DUMP_TIMEOUT_MS, on_elements, dumper);
	if (r == 0)
		r = intervals_take(&dumper->intervals, add_member, dumper);
	intervals_clear(&dumper->intervals);
	return r;
}

/* ---- the whole ---- */

static int dump_all(struct netlink *netlink, struct dumper *dumper)
{
	struct structure *structure = &dumper->dump->structure;
	int r;

	r = dump_structure(netlink, dumper->shape, structure);
	for (int set = 0; r == 0 && set < SHAPE_SET_MAX; set++)
		if ((structure->sets & SHAPE_BIT(set)) && !shape_set_is_dynamic(set))
			r = dump_set(netlink, set, dumper);
	return r;
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
