/* SPDX-License-Identifier: GPL-2.0-or-later */
/* One element of a set to the kernel's attributes and back. It is written and read without
 * libnftnl, which keeps an object of half a KiB for each.
 */
#include "gatewayd/element.h"

#include <arpa/inet.h>
#include <endian.h>
#include <errno.h>
#include <libmnl/libmnl.h>
#include <libnftnl/udata.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>
#include <string.h>

/* What has passed its end while it was on its way ends at once. */
#define TIMEOUT_MIN_MS 1

void element_key_of(enum shape_set set, const struct mapping_key *key, struct member_key *ret)
{
	*ret = (struct member_key){ .set = (uint8_t)set };
	ret->length = (uint8_t)shape_key(key, ret->key);
}

static uint64_t timeout_until(int64_t expires_at, int64_t now_ms)
{
	int64_t left = expires_at * 1000 - now_ms;

	if (expires_at == 0)
		return 0;
	return left < TIMEOUT_MIN_MS ? TIMEOUT_MIN_MS : (uint64_t)left;
}

static void of_entry(const struct operation *operation, int64_t now_ms, struct element *ret)
{
	const struct entry *entry = operation->entry;
	bool add = operation->kind == OPERATION_ADD;

	element_key_of(operation->set, &entry->key, &ret->key);
	ret->value_length =
		(uint8_t)shape_value(add ? &entry->target : &entry->installed, ret->value);
	if (!add)
		return;
	ret->timeout_ms = timeout_until(entry_desired_end(entry), now_ms);
	if (entry->label)
		memcpy(ret->comment, entry->label, strnlen(entry->label, SHAPE_COMMENT_MAX - 1));
}

static void of_member(const struct operation *operation, int64_t now_ms, struct element *ret)
{
	const struct member *member = operation->member;

	ret->key = member->key;
	if (operation->kind == OPERATION_DELETE)
		return;
	ret->value_length = (uint8_t)address_length(&member->desired.value);
	memcpy(ret->value, member->desired.value.bytes, ret->value_length);
	if (member->desired.comment)
		memcpy(ret->comment, member->desired.comment,
		       strnlen(member->desired.comment, SHAPE_COMMENT_MAX - 1));
	ret->timeout_ms = timeout_until(member->desired.expires_at, now_ms);
	ret->limit = member->desired.limit;
	ret->packets = member->packets; /* to count on */
}

void element_of(const struct operation *operation, int64_t now_ms, struct element *ret)
{
	memset(ret, 0, sizeof(*ret));
	if (operation->entry)
		of_entry(operation, now_ms, ret);
	else
		of_member(operation, now_ms, ret);
}

/* ---- writing ---- */

static bool put_value(struct nlmsghdr *header, size_t room, uint16_t type, const void *data,
		      size_t length)
{
	struct nlattr *nest = mnl_attr_nest_start_check(header, room, type);

	if (!nest || !mnl_attr_put_check(header, room, NFTA_DATA_VALUE, length, data))
		return false;
	mnl_attr_nest_end(header, nest);
	return true;
}

static bool put_comment(struct nlmsghdr *header, size_t room, const char *comment)
{
	uint8_t data[2 + SHAPE_COMMENT_MAX];
	size_t length = strlen(comment) + 1;

	/* nft's form of user data: type, length, text with its zero. */
	data[0] = NFTNL_UDATA_SET_ELEM_COMMENT;
	data[1] = (uint8_t)length;
	memcpy(data + 2, comment, length);
	return mnl_attr_put_check(header, room, NFTA_SET_ELEM_USERDATA, length + 2, data);
}

/* A statement of an element: its name, and what put_data adds. */
static bool put_statement(struct nlmsghdr *header, size_t room, const char *name,
			  bool (*put_data)(struct nlmsghdr *header, size_t room,
					   const struct element *element),
			  const struct element *element)
{
	struct nlattr *nest = mnl_attr_nest_start_check(header, room, NFTA_LIST_ELEM), *data;

	if (!nest || !mnl_attr_put_strz_check(header, room, NFTA_EXPR_NAME, name))
		return false;
	data = mnl_attr_nest_start_check(header, room, NFTA_EXPR_DATA);
	if (!data || !put_data(header, room, element))
		return false;
	mnl_attr_nest_end(header, data);
	mnl_attr_nest_end(header, nest);
	return true;
}

static bool put_u32(struct nlmsghdr *header, size_t room, uint16_t type, uint32_t value)
{
	return mnl_attr_put_u32_check(header, room, type, htonl(value));
}

static bool put_u64(struct nlmsghdr *header, size_t room, uint16_t type, uint64_t value)
{
	return mnl_attr_put_u64_check(header, room, type, htobe64(value));
}

static bool put_rate(struct nlmsghdr *header, size_t room, const struct element *element)
{
	return put_u64(header, room, NFTA_LIMIT_RATE, element->limit) &&
	       put_u64(header, room, NFTA_LIMIT_UNIT, SHAPE_RATE_UNIT_S) &&
	       put_u32(header, room, NFTA_LIMIT_BURST, element->limit) &&
	       put_u32(header, room, NFTA_LIMIT_TYPE, NFT_LIMIT_PKTS) &&
	       put_u32(header, room, NFTA_LIMIT_FLAGS, NFT_LIMIT_F_INV);
}

static bool put_connections(struct nlmsghdr *header, size_t room, const struct element *element)
{
	return put_u32(header, room, NFTA_CONNLIMIT_COUNT, element->limit) &&
	       put_u32(header, room, NFTA_CONNLIMIT_FLAGS, NFT_CONNLIMIT_F_INV);
}

static bool put_count(struct nlmsghdr *header, size_t room, const struct element *element)
{
	return put_u64(header, room, NFTA_COUNTER_PACKETS, element->packets) &&
	       put_u64(header, room, NFTA_COUNTER_BYTES, 0);
}

static bool put_statements(struct nlmsghdr *header, size_t room, const struct element *element)
{
	struct nlattr *nest = mnl_attr_nest_start_check(header, room, NFTA_SET_ELEM_EXPRESSIONS);
	bool put = nest != NULL;

	switch (shape_set_statement(element->key.set)) {
	case SHAPE_NO_STATEMENT:
		break;
	case SHAPE_RATE_OVER:
		put = put && put_statement(header, room, "limit", put_rate, element);
		break;
	case SHAPE_CONNECTIONS_OVER:
		put = put && put_statement(header, room, "connlimit", put_connections, element);
		break;
	case SHAPE_COUNT:
		break;
	}
	if (!put || !put_statement(header, room, "counter", put_count, element))
		return false;
	mnl_attr_nest_end(header, nest);
	return true;
}

static bool put_rest(struct nlmsghdr *header, size_t room, const struct element *element)
{
	if (element->value_length > 0 &&
	    !put_value(header, room, NFTA_SET_ELEM_DATA, element->value, element->value_length))
		return false;
	if (element->timeout_ms > 0 &&
	    !put_u64(header, room, NFTA_SET_ELEM_TIMEOUT, element->timeout_ms))
		return false;
	if ((element->limit > 0 || shape_set_statement(element->key.set) == SHAPE_COUNT) &&
	    !put_statements(header, room, element))
		return false;
	return !element->comment[0] || put_comment(header, room, element->comment);
}

/* The end of an interval: an element of its own, behind the last value. False where that is the
 * last of all, which needs no end. */
static bool behind(const struct member_key *key, uint8_t ret[SHAPE_KEY_MAX])
{
	memcpy(ret, key->end, key->length);
	for (size_t i = key->length; i > 0; i--)
		if (++ret[i - 1] != 0)
			return true;
	return false;
}

static bool put_interval_end(struct nlmsghdr *header, size_t room, const struct member_key *key)
{
	uint8_t end[SHAPE_KEY_MAX];
	struct nlattr *nest;

	if (!behind(key, end))
		return true;
	nest = mnl_attr_nest_start_check(header, room, NFTA_LIST_ELEM);
	if (!nest || !put_value(header, room, NFTA_SET_ELEM_KEY, end, key->length) ||
	    !put_u32(header, room, NFTA_SET_ELEM_FLAGS, NFT_SET_ELEM_INTERVAL_END))
		return false;
	mnl_attr_nest_end(header, nest);
	return true;
}

bool element_put(struct nlmsghdr *header, size_t room, const struct element *element, bool only_key)
{
	const struct member_key *key = &element->key;
	bool interval = shape_set_is_interval(key->set);
	struct nlattr *nest = mnl_attr_nest_start_check(header, room, NFTA_LIST_ELEM);

	if (!nest || !put_value(header, room, NFTA_SET_ELEM_KEY, key->key, key->length))
		return false;
	if (key->end_length > 0 && !interval &&
	    !put_value(header, room, NFTA_SET_ELEM_KEY_END, key->end, key->end_length))
		return false;
	if (!only_key && !put_rest(header, room, element))
		return false;
	mnl_attr_nest_end(header, nest);
	return !interval || put_interval_end(header, room, key);
}

/* ---- reading ---- */

struct element_parts {
	const struct nlattr *key, *key_end, *data, *userdata, *timeout, *expiration, *flags,
		*statement, *statements;
};

static int on_attr(const struct nlattr *attr, void *userdata)
{
	struct element_parts *parts = userdata;

	switch (mnl_attr_get_type(attr)) {
	case NFTA_SET_ELEM_KEY:
		parts->key = attr;
		break;
	case NFTA_SET_ELEM_KEY_END:
		parts->key_end = attr;
		break;
	case NFTA_SET_ELEM_DATA:
		parts->data = attr;
		break;
	case NFTA_SET_ELEM_USERDATA:
		parts->userdata = attr;
		break;
	case NFTA_SET_ELEM_TIMEOUT:
		parts->timeout = attr;
		break;
	case NFTA_SET_ELEM_EXPIRATION:
		parts->expiration = attr;
		break;
	case NFTA_SET_ELEM_EXPR: /* where there is only one */
		parts->statement = attr;
		break;
	case NFTA_SET_ELEM_EXPRESSIONS:
		parts->statements = attr;
		break;
	case NFTA_SET_ELEM_FLAGS:
		parts->flags = attr;
		break;
	}
	return MNL_CB_OK;
}

/* The value inside a nested key or data attribute, of at most max bytes. */
static int read_value(const struct nlattr *nest, size_t max, uint8_t *ret, uint8_t *ret_length)
{
	const struct nlattr *attr;

	mnl_attr_for_each_nested(attr, nest)
	{
		size_t length = mnl_attr_get_payload_len(attr);

		if (mnl_attr_get_type(attr) != NFTA_DATA_VALUE)
			continue;
		if (length > max)
			return -EBADMSG;
		memcpy(ret, mnl_attr_get_payload(attr), length);
		*ret_length = (uint8_t)length;
		return 0;
	}
	return -EBADMSG;
}

static void read_u64(const struct nlattr *attr, uint64_t *ret)
{
	if (attr && mnl_attr_validate(attr, MNL_TYPE_U64) >= 0)
		*ret = be64toh(mnl_attr_get_u64(attr));
}

/* The comment in nft's user data: a list of type, length, value. */
static void read_comment(const struct nlattr *userdata, char ret[SHAPE_COMMENT_MAX])
{
	const uint8_t *data = mnl_attr_get_payload(userdata);
	size_t left = mnl_attr_get_payload_len(userdata);

	while (left >= 2 && (size_t)data[1] + 2 <= left) {
		size_t length = data[1];

		if (data[0] == NFTNL_UDATA_SET_ELEM_COMMENT && length > 0) {
			memcpy(ret, data + 2, MIN(length, (size_t)SHAPE_COMMENT_MAX - 1));
			return;
		}
		data += 2 + length;
		left -= 2 + length;
	}
}

static uint64_t number_of(const struct nlattr *attr)
{
	uint64_t value = 0;

	if (mnl_attr_get_payload_len(attr) == sizeof(uint32_t))
		return ntohl(mnl_attr_get_u32(attr));
	read_u64(attr, &value);
	return value;
}

/* The numbers of a statement's data by attribute; the kernel's own are below 8. */
static void read_numbers(const struct nlattr *data, uint64_t ret[8])
{
	const struct nlattr *attr;

	mnl_attr_for_each_nested(attr, data)
	{
		if (mnl_attr_get_type(attr) < 8)
			ret[mnl_attr_get_type(attr)] = number_of(attr);
	}
}

/* A statement that we would not write so is as good as none: the element is then another. */
static void take_statement(const char *name, const uint64_t numbers[8], struct element *ret)
{
	enum shape_statement statement = shape_set_statement(ret->key.set);

	if (strcmp(name, "counter") == 0)
		ret->packets = numbers[NFTA_COUNTER_PACKETS];
	else if (strcmp(name, "limit") == 0 && statement == SHAPE_RATE_OVER &&
		 numbers[NFTA_LIMIT_UNIT] == SHAPE_RATE_UNIT_S &&
		 numbers[NFTA_LIMIT_BURST] == numbers[NFTA_LIMIT_RATE] &&
		 numbers[NFTA_LIMIT_FLAGS] == NFT_LIMIT_F_INV)
		ret->limit = (uint32_t)numbers[NFTA_LIMIT_RATE];
	else if (strcmp(name, "connlimit") == 0 && statement == SHAPE_CONNECTIONS_OVER &&
		 numbers[NFTA_CONNLIMIT_FLAGS] == NFT_CONNLIMIT_F_INV)
		ret->limit = (uint32_t)numbers[NFTA_CONNLIMIT_COUNT];
}

static void read_statement(const struct nlattr *nest, struct element *ret)
{
	const struct nlattr *attr;
	uint64_t numbers[8] = { 0 };
	const char *name = "";

	mnl_attr_for_each_nested(attr, nest)
	{
		if (mnl_attr_get_type(attr) == NFTA_EXPR_NAME &&
		    mnl_attr_validate(attr, MNL_TYPE_NUL_STRING) >= 0)
			name = mnl_attr_get_str(attr);
		else if (mnl_attr_get_type(attr) == NFTA_EXPR_DATA)
			read_numbers(attr, numbers);
	}
	take_statement(name, numbers, ret);
}

int element_read(const struct nlattr *element, enum shape_set set, struct element *ret)
{
	struct element_parts parts = { 0 };
	const struct nlattr *attr;
	int r;

	memset(ret, 0, sizeof(*ret));
	ret->key.set = (uint8_t)set;
	if (mnl_attr_parse_nested(element, on_attr, &parts) < 0 || !parts.key)
		return -EBADMSG;
	r = read_value(parts.key, sizeof(ret->key.key), ret->key.key, &ret->key.length);
	if (r == 0 && parts.key_end)
		r = read_value(parts.key_end, sizeof(ret->key.end), ret->key.end,
			       &ret->key.end_length);
	if (r == 0 && parts.data)
		r = read_value(parts.data, sizeof(ret->value), ret->value, &ret->value_length);
	if (r < 0)
		return r;
	/* The timeout is what was asked for, the expiration what is left of it. */
	read_u64(parts.timeout, &ret->timeout_ms);
	read_u64(parts.expiration, &ret->timeout_ms);
	if (parts.flags && mnl_attr_validate(parts.flags, MNL_TYPE_U32) >= 0)
		ret->interval_end =
			ntohl(mnl_attr_get_u32(parts.flags)) & NFT_SET_ELEM_INTERVAL_END;
	if (parts.userdata)
		read_comment(parts.userdata, ret->comment);
	if (parts.statement)
		read_statement(parts.statement, ret);
	if (parts.statements)
		mnl_attr_for_each_nested(attr, parts.statements) read_statement(attr, ret);
	return 0;
}

int64_t element_end(const struct element *element, int64_t now_ms)
{
	return element->timeout_ms == 0 ? 0 : (now_ms + (int64_t)element->timeout_ms + 500) / 1000;
}

int element_for_each(const struct nlmsghdr *message,
		     int (*callback)(const struct nlattr *attr, void *userdata), void *userdata)
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
