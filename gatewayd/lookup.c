/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Asking the kernel for single things of our table: elements by their keys, and named counters. It
 * changes nothing in the kernel.
 */
#include "gatewayd/lookup.h"

#include <errno.h>
#include <libmnl/libmnl.h>
#include <libnftnl/common.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>
#include <string.h>

#include "gatewayd/intervals.h"

#define TIMEOUT_MS 30000
/* Of a request, but for its keys. */
#define REQUEST_MAX 512
/* A key and the end of its range, each in an attribute within an attribute. */
#define KEY_BYTES_MAX (4 + 2 * (8 + SHAPE_KEY_MAX))

/* ---- counters ---- */

static int on_counter(const struct nlmsghdr *message, void *userdata)
{
	uint64_t *packets = userdata, read;
	enum shape_counter counter;
	bool ours;

	counter = shape_counter_read(message, &ours, &read);
	if (counter != SHAPE_COUNTER_INVALID)
		packets[counter] = read;
	return 0;
}

int lookup_counters(struct netlink *netlink, uint64_t ret_packets[SHAPE_COUNTER_MAX])
{
	_Alignas(struct nlmsghdr) uint8_t buffer[REQUEST_MAX] = { 0 };
	struct nlmsghdr *request =
		nftnl_nlmsg_build_hdr((char *)buffer, NFT_MSG_GETOBJ, NFPROTO_INET, NLM_F_DUMP, 0);

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
	return element_for_each(message, read_one, userdata);
}

int lookup_keys(struct netlink *netlink, const struct member_key *keys, size_t n,
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

int lookup_element(struct netlink *netlink, const struct member_key *key, bool *ret_exists,
		   struct element *ret)
{
	struct element element;
	struct finder finder = { .element = &element };
	int r;

	r = lookup_keys(netlink, key, 1, on_found, &finder);
	if (r < 0)
		return r;
	*ret_exists = finder.found;
	if (finder.found)
		*ret = element;
	return 0;
}
