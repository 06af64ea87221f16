/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The encoder: from a plan to the bytes of one nftables batch, with a table that leads from the
 * kernel's answers back to the operations. It sends nothing and needs no privilege.
 */
#include "gatewayd/encode.h"

#include <arpa/inet.h>
#include <errno.h>
#include <libmnl/libmnl.h>
#include <libnftnl/common.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>
#include <string.h>

#include "gatewayd/element.h"

/* An attribute's length has 16 bits. A list of elements is closed where one more of the largest
 * kind might not fit. */
#define LIST_MAX ((size_t)65535)
/* libnftnl writes its objects without a bound; none of ours comes near this. */
#define OBJECT_MAX ((size_t)16 << 10)
#define BATCH_FIRST ((size_t)4 << 10)
/* BEGIN, END, table three times, sets, counters, chains and rules of ours. */
#define FIXED_MESSAGES (8 + 2 * SHAPE_SET_MAX + 2 * SHAPE_COUNTER_MAX + 12 * SHAPE_CHAIN_MAX)

struct encoder {
	struct batch batch;
	const struct plan *plan;
	const struct shape *shape;
	size_t per_message;
	int64_t now_ms;
	uint32_t sequence; /* of the next message */
	size_t message;    /* offset of the message that is being written */
};

uint32_t batch_sequences_max(const struct plan *plan)
{
	size_t chains = plan->actual ? plan->actual->n_names : 0;

	/* What may have ended by itself is put back before it is deleted. */
	return (uint32_t)(FIXED_MESSAGES + chains + 2 * plan->n_operations);
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

static int put_set(struct encoder *encoder, enum shape_set which)
{
	_cleanup_(cleanup_nftnl_set) struct nftnl_set *set = shape_make_set(encoder->shape, which);
	int r;

	if (!set)
		return -ENOMEM;
	r = begin_message(encoder, NFT_MSG_NEWSET, NFPROTO_INET, NLM_F_CREATE, OBJECT_MAX);
	if (r < 0)
		return r;
	encoder->batch.set_sequences[which] = message_of(encoder)->nlmsg_seq;
	nftnl_set_nlmsg_build_payload(message_of(encoder), set);
	end_message(encoder);
	return 0;
}

/* Makes it, or adds the devices that it lacks. */
static int put_flowtable(struct encoder *encoder)
{
	_cleanup_(cleanup_nftnl_flowtable) struct nftnl_flowtable *flowtable =
		shape_make_flowtable(encoder->shape);
	int r;

	if (!flowtable)
		return -ENOMEM;
	r = begin_message(encoder, NFT_MSG_NEWFLOWTABLE, NFPROTO_INET, NLM_F_CREATE, OBJECT_MAX);
	if (r < 0)
		return r;
	nftnl_flowtable_nlmsg_build_payload(message_of(encoder), flowtable);
	end_message(encoder);
	return 0;
}

/* Makes or deletes it. */
static int put_counter(struct encoder *encoder, uint16_t type, enum shape_counter counter)
{
	bool make = type == NFT_MSG_NEWOBJ;
	struct nlmsghdr *header;
	int r;

	r = begin_message(encoder, type, NFPROTO_INET, make ? NLM_F_CREATE : 0, OBJECT_MAX);
	if (r < 0)
		return r;
	header = message_of(encoder);
	mnl_attr_put_strz(header, NFTA_OBJ_TABLE, SHAPE_TABLE);
	mnl_attr_put_strz(header, NFTA_OBJ_NAME, shape_counter_name(counter));
	mnl_attr_put_u32(header, NFTA_OBJ_TYPE, htonl(NFT_OBJECT_COUNTER));
	if (make)
		mnl_attr_nest_end(header, mnl_attr_nest_start(header, NFTA_OBJ_DATA));
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
			shape_make_rule(encoder->shape, encoder->plan->sets, chain, index, &end);
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
	return 0;
}

/* A command that needs names only; name may be NULL. */
static int put_deletion(struct encoder *encoder, uint16_t type, uint16_t table_attr,
			uint16_t name_attr, const char *name)
{
	int r;

	r = begin_message(encoder, type, NFPROTO_INET, 0, OBJECT_MAX);
	if (r < 0)
		return r;
	mnl_attr_put_strz(message_of(encoder), table_attr, SHAPE_TABLE);
	if (name)
		mnl_attr_put_strz(message_of(encoder), name_attr, name);
	end_message(encoder);
	return 0;
}

static int put_drop_chain(struct encoder *encoder, const char *name)
{
	return put_deletion(encoder, NFT_MSG_DELCHAIN, NFTA_CHAIN_TABLE, NFTA_CHAIN_NAME, name);
}

/* Chains of ours that a table with the plan's sets has not. */
static unsigned surplus_chains(const struct encoder *encoder)
{
	return encoder->plan->actual->chains & ~shape_chains(encoder->shape, encoder->plan->sets);
}

/* All rules of the table go first: they may jump to the chains. Chains that can stay do, so that
 * the kernel's hooks are not touched. */
static int put_drop_rules(struct encoder *encoder)
{
	const struct structure *actual = encoder->plan->actual;
	int r;

	r = put_deletion(encoder, NFT_MSG_DELRULE, NFTA_RULE_TABLE, 0, NULL);
	for (size_t i = 0; r == 0 && i < actual->n_names; i++)
		r = put_drop_chain(encoder, actual->names[i]);
	for (int chain = 0; r == 0 && chain < SHAPE_CHAIN_MAX; chain++)
		if (surplus_chains(encoder) & SHAPE_CHAIN_BIT(chain))
			r = put_drop_chain(encoder, shape_chain_name(chain));
	return r;
}

static int put_drop_sets(struct encoder *encoder)
{
	int r = 0;

	for (int set = 0; r == 0 && set < SHAPE_SET_MAX; set++)
		if (encoder->plan->drop_sets & SHAPE_BIT(set))
			r = put_deletion(encoder, NFT_MSG_DELSET, NFTA_SET_TABLE, NFTA_SET_NAME,
					 shape_set_name(set));
	for (int i = 0; r == 0 && i < SHAPE_COUNTER_MAX; i++)
		if (encoder->plan->drop_counters & SHAPE_COUNTER_BIT(i))
			r = put_counter(encoder, NFT_MSG_DELOBJ, i);
	if (r == 0 && (encoder->plan->drop_sets & SHAPE_FASTPATH))
		r = put_deletion(encoder, NFT_MSG_DELFLOWTABLE, NFTA_FLOWTABLE_TABLE,
				 NFTA_FLOWTABLE_NAME, SHAPE_FLOWTABLE);
	return r;
}

static int put_add_rules(struct encoder *encoder)
{
	const struct plan *plan = encoder->plan;
	unsigned wanted = shape_chains(encoder->shape, plan->sets);
	unsigned there = plan->steps & PLAN_ADD_TABLE ? 0 : plan->actual->chains;
	int r = 0;

	for (int chain = 0; r == 0 && chain < SHAPE_CHAIN_MAX; chain++)
		if (wanted & ~there & SHAPE_CHAIN_BIT(chain))
			r = put_chain(encoder, chain);
	for (int chain = 0; r == 0 && chain < SHAPE_CHAIN_MAX; chain++)
		if (wanted & SHAPE_CHAIN_BIT(chain))
			r = put_rules(encoder, chain);
	return r;
}

/* ---- elements ---- */

/* Passes over the operations of one set. */
enum pass {
	/* An element that ends by itself may be gone already, and to delete what is not there fails
	 * the whole batch: it is put (once more) before it is deleted. */
	PASS_REVIVE,
	PASS_DELETE,
	PASS_ADD,
};

static uint16_t pass_type(enum pass pass)
{
	return pass == PASS_DELETE ? NFT_MSG_DELSETELEM : NFT_MSG_NEWSETELEM;
}

static uint16_t pass_flags(enum pass pass)
{
	switch (pass) {
	case PASS_REVIVE:
		return NLM_F_CREATE;
	case PASS_DELETE:
		return 0;
	case PASS_ADD:
		/* An element that is there already is someone else's doing: we want to know. */
		return NLM_F_CREATE | NLM_F_EXCL;
	}
	return 0;
}

static bool belongs(const struct operation *operation, enum pass pass, enum shape_set set)
{
	return operation->set == set && (operation->kind == OPERATION_ADD) == (pass == PASS_ADD);
}

static int begin_elements(struct encoder *encoder, enum pass pass, enum shape_set set,
			  struct nlattr **ret_list)
{
	struct nlmsghdr *header;
	int r;

	r = begin_message(encoder, pass_type(pass), NFPROTO_INET, pass_flags(pass),
			  LIST_MAX + OBJECT_MAX);
	if (r < 0)
		return r;
	header = message_of(encoder);
	mnl_attr_put_strz(header, NFTA_SET_ELEM_LIST_TABLE, SHAPE_TABLE);
	mnl_attr_put_strz(header, NFTA_SET_ELEM_LIST_SET, shape_set_name(set));
	*ret_list = mnl_attr_nest_start(header, NFTA_SET_ELEM_LIST_ELEMENTS);
	return 0;
}

/* One message with as many of the operations from *index on as may be; *index moves on to the next
 * that belongs here. */
static int put_element_message(struct encoder *encoder, enum pass pass, enum shape_set set,
			       size_t *index)
{
	const struct plan *plan = encoder->plan;
	struct nlmsghdr *header;
	size_t count = 0, i;
	struct nlattr *list;
	int r;

	r = begin_elements(encoder, pass, set, &list);
	if (r < 0)
		return r;
	header = message_of(encoder);
	for (i = *index; i < plan->n_operations; i++) {
		size_t used =
			(size_t)((uint8_t *)mnl_nlmsg_get_payload_tail(header) - (uint8_t *)list);
		struct element element;

		if (!belongs(&plan->operations[i], pass, set))
			continue;
		if (count == encoder->per_message || used + ELEMENT_BYTES_MAX > LIST_MAX)
			break;
		if (pass != PASS_REVIVE)
			encoder->batch.slots[i] = (struct batch_slot){
				.sequence = header->nlmsg_seq,
				.offset = header->nlmsg_len,
			};
		element_of(&plan->operations[i], encoder->now_ms, &element);
		if (!element_put(header, LIST_MAX + OBJECT_MAX, &element, pass == PASS_DELETE))
			return -E2BIG;
		count++;
	}
	mnl_attr_nest_end(header, list);
	end_message(encoder);
	*index = i;
	return 0;
}

static int put_elements(struct encoder *encoder, enum pass pass, enum shape_set set)
{
	const struct plan *plan = encoder->plan;
	size_t i = 0;
	int r;

	while (i < plan->n_operations && !belongs(&plan->operations[i], pass, set))
		i++;
	while (i < plan->n_operations) {
		r = put_element_message(encoder, pass, set, &i);
		if (r < 0)
			return r;
	}
	return 0;
}

/* Sets of the plan's operations of one kind. */
static shape_sets sets_with(const struct plan *plan, enum operation_kind kind)
{
	shape_sets sets = 0;

	for (size_t i = 0; i < plan->n_operations; i++)
		if (plan->operations[i].kind == kind)
			sets |= SHAPE_BIT(plan->operations[i].set);
	return sets;
}

static int put_deletes(struct encoder *encoder, enum shape_set set)
{
	int r = 0;

	if (shape_set_has_timeout(set))
		r = put_elements(encoder, PASS_REVIVE, set);
	return r == 0 ? put_elements(encoder, PASS_DELETE, set) : r;
}

static int put_all_elements(struct encoder *encoder)
{
	shape_sets deletes = sets_with(encoder->plan, OPERATION_DELETE);
	shape_sets adds = sets_with(encoder->plan, OPERATION_ADD);
	int r = 0;

	/* An element that changes is deleted and added, maybe in another set: deletes first. */
	for (int set = 0; r == 0 && set < SHAPE_SET_MAX; set++)
		if (deletes & SHAPE_BIT(set))
			r = put_deletes(encoder, set);
	for (int set = 0; r == 0 && set < SHAPE_SET_MAX; set++)
		if (adds & SHAPE_BIT(set))
			r = put_elements(encoder, PASS_ADD, set);
	return r;
}

/* ---- the whole ---- */

static int put_steps_before(struct encoder *encoder)
{
	const struct plan *plan = encoder->plan;
	int r = 0;

	if (plan->steps & PLAN_DROP_TABLE)
		r = put_table(encoder, NFT_MSG_DELTABLE, 0);
	if (r == 0 && (plan->steps & PLAN_ADD_TABLE))
		r = put_table(encoder, NFT_MSG_NEWTABLE, NLM_F_CREATE);
	if (r == 0 && (plan->steps & PLAN_DROP_RULES))
		r = put_drop_rules(encoder);
	for (int set = 0; r == 0 && set < SHAPE_SET_MAX; set++)
		if (plan->add_sets & SHAPE_BIT(set))
			r = put_set(encoder, set);
	for (int i = 0; r == 0 && i < SHAPE_COUNTER_MAX; i++)
		if (plan->add_counters & SHAPE_COUNTER_BIT(i))
			r = put_counter(encoder, NFT_MSG_NEWOBJ, i);
	if (r == 0 && ((plan->add_sets & SHAPE_FASTPATH) || plan->add_devices))
		r = put_flowtable(encoder);
	return r;
}

static int put_steps_after(struct encoder *encoder)
{
	unsigned steps = encoder->plan->steps;
	int r = 0;

	if (steps & PLAN_DROP_SETS)
		r = put_drop_sets(encoder);
	if (r == 0 && (steps & PLAN_ADD_RULES))
		r = put_add_rules(encoder);
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
	if (options->ack_last)
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
		.now_ms = options->now_ms,
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

enum shape_set batch_find_set(const struct batch *batch, uint32_t sequence)
{
	for (int set = 0; set < SHAPE_SET_MAX; set++)
		if (batch->set_sequences[set] != 0 && batch->set_sequences[set] == sequence)
			return set;
	return SHAPE_SET_INVALID;
}
