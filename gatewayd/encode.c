/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The encoder: from a plan to the bytes of one nftables batch, with a table that leads from the
 * kernel's answers back to the operations. It sends nothing and needs no privilege.
 */
#include "gatewayd/encode.h"

#include <arpa/inet.h>
#include <errno.h>
#include <libmnl/libmnl.h>
#include <libnftnl/common.h>
#include <libnftnl/udata.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>
#include <string.h>

/* An attribute's length has 16 bits. A list of elements is closed where one more of the largest
 * kind might not fit. */
#define LIST_MAX ((size_t)65535)
#define ELEMENT_MAX ((size_t)512)
/* libnftnl writes its objects without a bound; none of ours comes near this. */
#define OBJECT_MAX ((size_t)16 << 10)
#define BATCH_FIRST ((size_t)4 << 10)
/* BEGIN, END, table three times, maps, all rules, chains by our names, rules of ours. */
#define FIXED_MESSAGES 32

struct encoder {
	struct batch batch;
	const struct plan *plan;
	const struct shape *shape;
	size_t per_message;
	uint32_t sequence; /* of the next message */
	size_t message;    /* offset of the message that is being written */
};

uint32_t batch_sequences_max(const struct plan *plan)
{
	size_t chains = plan->actual ? plan->actual->n_names : 0;

	return (uint32_t)(FIXED_MESSAGES + chains + plan->n_operations);
}

void batch_clear(struct batch *batch)
{
	free(batch->data);
	free(batch->slots);
	memset(batch, 0, sizeof(*batch));
}

/* Makes room for at least this many bytes behind what is written. */
static int reserve(struct encoder *encoder, size_t bytes)
{
	struct batch *batch = &encoder->batch;
	size_t wanted = batch->allocated ? batch->allocated : BATCH_FIRST;
	uint8_t *data;

	while (wanted < batch->length + bytes)
		wanted *= 2;
	if (wanted == batch->allocated)
		return 0;
	if (wanted > BATCH_MAX)
		return -E2BIG;
	data = realloc(batch->data, wanted);
	if (!data)
		return -ENOMEM;
	batch->data = data;
	batch->allocated = wanted;
	return 0;
}

static struct nlmsghdr *message_of(struct encoder *encoder)
{
	return (struct nlmsghdr *)(encoder->batch.data + encoder->message);
}

/* Starts a message with room for size bytes in all. */
static int begin_message(struct encoder *encoder, uint16_t type, uint16_t family, uint16_t flags,
			 size_t size)
{
	int r;

	r = reserve(encoder, size);
	if (r < 0)
		return r;
	encoder->message = encoder->batch.length;
	(void)nftnl_nlmsg_build_hdr((char *)encoder->batch.data + encoder->message, type, family,
				    flags, encoder->sequence++);
	return 0;
}

static void end_message(struct encoder *encoder)
{
	struct nlmsghdr *header = message_of(encoder);

	encoder->batch.length += MNL_ALIGN(header->nlmsg_len);
	encoder->batch.last_sequence = header->nlmsg_seq;
}

/* BEGIN and END differ from commands in their type, and in what res_id means. */
static int put_batch_mark(struct encoder *encoder, uint16_t type, uint16_t flags,
			  uint32_t generation)
{
	struct nfgenmsg *nfgen;
	struct nlmsghdr *header;
	int r;

	r = reserve(encoder, OBJECT_MAX);
	if (r < 0)
		return r;
	encoder->message = encoder->batch.length;
	header = mnl_nlmsg_put_header(encoder->batch.data + encoder->message);
	header->nlmsg_type = type;
	header->nlmsg_flags = NLM_F_REQUEST | flags;
	header->nlmsg_seq = encoder->sequence++;
	nfgen = mnl_nlmsg_put_extra_header(header, sizeof(*nfgen));
	nfgen->nfgen_family = AF_UNSPEC;
	nfgen->version = NFNETLINK_V0;
	nfgen->res_id = htons(NFNL_SUBSYS_NFTABLES);
	if (generation > 0)
		mnl_attr_put_u32(header, NFNL_BATCH_GENID, htonl(generation));
	encoder->batch.length += MNL_ALIGN(header->nlmsg_len);
	encoder->batch.end_length = MNL_ALIGN(header->nlmsg_len);
	return 0;
}

static int put_table(struct encoder *encoder, uint16_t type, uint16_t flags)
{
	_cleanup_(cleanup_nftnl_table) struct nftnl_table *table = shape_make_table();
	int r;

	if (!table)
		return -ENOMEM;
	r = begin_message(encoder, type, NFPROTO_INET, flags, OBJECT_MAX);
	if (r < 0)
		return r;
	nftnl_table_nlmsg_build_payload(message_of(encoder), table);
	end_message(encoder);
	return 0;
}

static int put_map(struct encoder *encoder, enum shape_map map)
{
	_cleanup_(cleanup_nftnl_set) struct nftnl_set *set = shape_make_map(encoder->shape, map);
	int r;

	if (!set)
		return -ENOMEM;
	r = begin_message(encoder, NFT_MSG_NEWSET, NFPROTO_INET, NLM_F_CREATE, OBJECT_MAX);
	if (r < 0)
		return r;
	nftnl_set_nlmsg_build_payload(message_of(encoder), set);
	end_message(encoder);
	return 0;
}

static int put_rule(struct encoder *encoder, struct nftnl_rule *rule)
{
	int r;

	r = begin_message(encoder, NFT_MSG_NEWRULE, NFPROTO_INET, NLM_F_CREATE | NLM_F_APPEND,
			  OBJECT_MAX);
	if (r < 0)
		return r;
	nftnl_rule_nlmsg_build_payload(message_of(encoder), rule);
	end_message(encoder);
	return 0;
}

static int put_rules(struct encoder *encoder, enum shape_chain chain)
{
	for (unsigned index = 0;; index++) {
		bool end;
		_cleanup_(cleanup_nftnl_rule) struct nftnl_rule *rule =
			shape_make_rule(chain, index, &end);
		int r;

		if (end)
			return 0;
		if (!rule)
			return -ENOMEM;
		r = put_rule(encoder, rule);
		if (r < 0)
			return r;
	}
}

static int put_chain(struct encoder *encoder, enum shape_chain chain)
{
	_cleanup_(cleanup_nftnl_chain) struct nftnl_chain *made = shape_make_chain(chain);
	int r;

	if (!made)
		return -ENOMEM;
	r = begin_message(encoder, NFT_MSG_NEWCHAIN, NFPROTO_INET, NLM_F_CREATE, OBJECT_MAX);
	if (r < 0)
		return r;
	nftnl_chain_nlmsg_build_payload(message_of(encoder), made);
	end_message(encoder);
	return put_rules(encoder, chain);
}

/* All rules of the table go first: they may jump to the chains. */
static int put_drop_chains(struct encoder *encoder)
{
	const struct structure *actual = encoder->plan->actual;
	int r;

	r = begin_message(encoder, NFT_MSG_DELRULE, NFPROTO_INET, 0, OBJECT_MAX);
	if (r < 0)
		return r;
	mnl_attr_put_strz(message_of(encoder), NFTA_RULE_TABLE, SHAPE_TABLE);
	end_message(encoder);
	for (size_t i = 0; i < actual->n_names; i++) {
		r = begin_message(encoder, NFT_MSG_DELCHAIN, NFPROTO_INET, 0, OBJECT_MAX);
		if (r < 0)
			return r;
		mnl_attr_put_strz(message_of(encoder), NFTA_CHAIN_TABLE, SHAPE_TABLE);
		mnl_attr_put_strz(message_of(encoder), NFTA_CHAIN_NAME, actual->names[i]);
		end_message(encoder);
	}
	return 0;
}

/* room is the size that reserve() promised for the whole message. */
static bool put_element(struct nlmsghdr *header, size_t room, const struct operation *operation)
{
	const struct entry *entry = operation->entry;
	uint8_t key[SHAPE_KEY_MAX], value[SHAPE_VALUE_MAX];
	struct nlattr *element, *nest;
	uint8_t comment[2 + SHAPE_COMMENT_MAX];
	size_t n;

	element = mnl_attr_nest_start_check(header, room, NFTA_LIST_ELEM);
	if (!element)
		return false;
	nest = mnl_attr_nest_start_check(header, room, NFTA_SET_ELEM_KEY);
	n = shape_key(&entry->key, key);
	if (!nest || !mnl_attr_put_check(header, room, NFTA_DATA_VALUE, n, key))
		return false;
	mnl_attr_nest_end(header, nest);
	if (operation->kind == OPERATION_ADD) {
		nest = mnl_attr_nest_start_check(header, room, NFTA_SET_ELEM_DATA);
		n = shape_value(&entry->target, value);
		if (!nest || !mnl_attr_put_check(header, room, NFTA_DATA_VALUE, n, value))
			return false;
		mnl_attr_nest_end(header, nest);
		if (entry->label) {
			/* nft's form of user data: type, length, text with its zero. */
			n = strnlen(entry->label, SHAPE_COMMENT_MAX - 1) + 1;
			comment[0] = NFTNL_UDATA_SET_ELEM_COMMENT;
			comment[1] = (uint8_t)n;
			memcpy(comment + 2, entry->label, n);
			if (!mnl_attr_put_check(header, room, NFTA_SET_ELEM_USERDATA, n + 2,
						comment))
				return false;
		}
	}
	mnl_attr_nest_end(header, element);
	return true;
}

static int begin_elements(struct encoder *encoder, const struct operation *first,
			  struct nlattr **ret_list)
{
	bool add = first->kind == OPERATION_ADD;
	struct nlmsghdr *header;
	int r;

	/* EXCL: an element that is there already is someone else's doing, and we want to know. */
	r = begin_message(encoder, add ? NFT_MSG_NEWSETELEM : NFT_MSG_DELSETELEM, NFPROTO_INET,
			  add ? NLM_F_CREATE | NLM_F_EXCL : 0, LIST_MAX + OBJECT_MAX);
	if (r < 0)
		return r;
	header = message_of(encoder);
	mnl_attr_put_strz(header, NFTA_SET_ELEM_LIST_TABLE, SHAPE_TABLE);
	mnl_attr_put_strz(header, NFTA_SET_ELEM_LIST_SET,
			  shape_map_name(shape_map_of(&first->entry->key)));
	*ret_list = mnl_attr_nest_start(header, NFTA_SET_ELEM_LIST_ELEMENTS);
	return 0;
}

/* Whether both can stand in one message. */
static bool same_list(const struct operation *a, const struct operation *b)
{
	return a->kind == b->kind && shape_map_of(&a->entry->key) == shape_map_of(&b->entry->key);
}

/* One message with as many of the operations in [index, n) of one map as may be; *index moves on.
 * Operations of the other map are left for its own pass. */
static int put_element_message(struct encoder *encoder, size_t *index, size_t end)
{
	const struct operation *operations = encoder->plan->operations;
	const struct operation *first = &operations[*index];
	size_t room = LIST_MAX + OBJECT_MAX, count = 0, i;
	struct nlmsghdr *header;
	struct nlattr *list;
	int r;

	r = begin_elements(encoder, first, &list);
	if (r < 0)
		return r;
	header = message_of(encoder);
	for (i = *index; i < end && count < encoder->per_message; i++) {
		size_t used =
			(size_t)((uint8_t *)mnl_nlmsg_get_payload_tail(header) - (uint8_t *)list);

		if (!same_list(first, &operations[i]))
			continue;
		if (used + ELEMENT_MAX > LIST_MAX)
			break;
		encoder->batch.slots[i] = (struct batch_slot){
			.sequence = header->nlmsg_seq,
			.offset = header->nlmsg_len,
		};
		if (!put_element(header, room, &operations[i]))
			return -E2BIG;
		count++;
	}
	mnl_attr_nest_end(header, list);
	end_message(encoder);
	while (i < end && !same_list(first, &operations[i]))
		i++;
	*index = i;
	return 0;
}

static int put_elements(struct encoder *encoder, enum operation_kind kind, enum shape_map map)
{
	const struct plan *plan = encoder->plan;
	struct entry sample = { .key.address.family = map == SHAPE_MAP6 ? AF_INET6 : AF_INET };
	const struct operation wanted = { .kind = kind, .entry = &sample };
	size_t i = 0;
	int r;

	while (i < plan->n_operations && !same_list(&wanted, &plan->operations[i]))
		i++;
	while (i < plan->n_operations) {
		r = put_element_message(encoder, &i, plan->n_operations);
		if (r < 0)
			return r;
	}
	return 0;
}

static int put_all_elements(struct encoder *encoder)
{
	/* An element that changes is deleted and added: deletes come first. */
	static const enum operation_kind kinds[] = { OPERATION_DELETE, OPERATION_ADD };

	for (size_t k = 0; k < ARRAY_SIZE(kinds); k++)
		for (int map = 0; map < SHAPE_MAP_MAX; map++) {
			int r = put_elements(encoder, kinds[k], map);

			if (r < 0)
				return r;
		}
	return 0;
}

static int put_steps_before(struct encoder *encoder)
{
	unsigned steps = encoder->plan->steps;
	int r = 0;

	if (steps & PLAN_DROP_TABLE)
		r = put_table(encoder, NFT_MSG_DELTABLE, 0);
	if (r == 0 && (steps & PLAN_ADD_TABLE))
		r = put_table(encoder, NFT_MSG_NEWTABLE, NLM_F_CREATE);
	for (int map = 0; r == 0 && (steps & PLAN_ADD_MAPS) && map < SHAPE_MAP_MAX; map++)
		r = put_map(encoder, map);
	if (r == 0 && (steps & PLAN_DROP_CHAINS))
		r = put_drop_chains(encoder);
	return r;
}

static int put_steps_after(struct encoder *encoder)
{
	int r = 0;

	if (!(encoder->plan->steps & PLAN_ADD_CHAINS))
		return 0;
	for (int chain = 0; r == 0 && chain < SHAPE_CHAIN_MAX; chain++)
		if (shape_has_chain(encoder->shape, chain))
			r = put_chain(encoder, chain);
	return r;
}

static int put_batch(struct encoder *encoder, const struct encode_options *options)
{
	int r;

	encoder->batch.begin_sequence = encoder->sequence;
	r = put_batch_mark(encoder, NFNL_MSG_BATCH_BEGIN, 0, options->generation);
	if (r < 0)
		return r;
	/* After a commit the kernel sends the new generation to whoever asked for an echo with the
	 * first command. This one does nothing else where the table exists. */
	if (options->echo) {
		r = put_table(encoder, NFT_MSG_NEWTABLE, NLM_F_CREATE | NLM_F_ECHO);
		if (r < 0)
			return r;
	}
	r = put_steps_before(encoder);
	if (r < 0)
		return r;
	r = put_all_elements(encoder);
	if (r < 0)
		return r;
	r = put_steps_after(encoder);
	if (r < 0)
		return r;
	message_of(encoder)->nlmsg_flags |= NLM_F_ACK;
	encoder->batch.end_sequence = encoder->sequence;
	r = put_batch_mark(encoder, NFNL_MSG_BATCH_END, NLM_F_ACK, 0);
	encoder->batch.n_sequences = encoder->sequence - encoder->batch.begin_sequence;
	return r;
}

int encode_plan(const struct plan *plan, const struct shape *shape,
		const struct encode_options *options, struct batch *ret)
{
	struct encoder encoder = {
		.plan = plan,
		.shape = shape,
		.sequence = options->first_sequence,
		.per_message =
			options->elements_per_message ? options->elements_per_message : SIZE_MAX,
	};
	int r;

	if (plan_is_empty(plan))
		return -EINVAL;
	encoder.batch.n_slots = plan->n_operations;
	if (plan->n_operations > 0) {
		encoder.batch.slots = calloc(plan->n_operations, sizeof(*encoder.batch.slots));
		if (!encoder.batch.slots)
			return -ENOMEM;
	}
	r = put_batch(&encoder, options);
	if (r < 0) {
		batch_clear(&encoder.batch);
		return r;
	}
	*ret = encoder.batch;
	return 0;
}

int batch_find_operation(const struct batch *batch, uint32_t sequence, uint32_t offset,
			 size_t *ret_operation)
{
	size_t found = 0, n = 0;

	for (size_t i = 0; i < batch->n_slots; i++) {
		if (batch->slots[i].sequence != sequence)
			continue;
		found = i;
		n++;
		if (offset > 0 && batch->slots[i].offset == offset) {
			*ret_operation = i;
			return 0;
		}
	}
	if (n == 0)
		return -EINVAL;
	if (n > 1)
		return -ENOENT;
	*ret_operation = found;
	return 0;
}
