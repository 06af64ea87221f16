/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The encoder: the messages of a batch, their sequences and sizes, and the way back from an answer
 * to the operation that it blames.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <libmnl/libmnl.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>
#include <stdio.h>
#include <string.h>

#include "gatewayd/element.h"
#include "gatewayd/encode.h"
#include "tests/unit/gatewayd/make.h"

#define FIRST 1000
#define NOW_MS INT64_C(1900000000000)
#define NOW_S (NOW_MS / 1000)
#define MESSAGES_MAX 8192
#define NFT(type) (NFNL_SUBSYS_NFTABLES << 8 | (type))

static const struct shape shape = { .map_size = 1000 };
static struct ledger ledger;
static struct structure actual;
static struct plan plan;
static struct batch batch;
static const struct nlmsghdr *messages[MESSAGES_MAX];
static size_t n_messages;
static unsigned ways;

static void begin(void)
{
	ledger = LEDGER_INIT;
	actual = (struct structure){ .table = true,
				     .sets = SHAPE_BIT(SHAPE_MAPPING4) | SHAPE_BIT(SHAPE_MAPPING6),
				     .chains = shape_chains(&shape, 0),
				     .rules = true };
}

static void end(void)
{
	batch_clear(&batch);
	plan_clear(&plan);
	ledger_clear(&ledger);
}

TestSuite(encode, .init = begin, .fini = end);

/* Encodes what the ledger wants, and splits the batch into its messages, which have to fill it. */
static bool ack_last;

static void encode(size_t elements_per_message, uint32_t generation)
{
	const struct encode_options options = { .first_sequence = FIRST,
						.generation = generation,
						.elements_per_message = elements_per_message,
						.ack_last = ack_last,
						.now_ms = NOW_MS };
	int left;

	cr_assert_eq(plan_make(&ledger, &shape, &actual, ways, &plan), 0);
	cr_assert_eq(encode_plan(&plan, &shape, &options, &batch), 0);
	left = (int)batch.length;
	n_messages = 0;
	for (const struct nlmsghdr *m = (const void *)batch.data; mnl_nlmsg_ok(m, left);
	     m = mnl_nlmsg_next(m, &left)) {
		cr_assert_lt(n_messages, MESSAGES_MAX);
		messages[n_messages++] = m;
	}
	cr_assert_eq(left, 0, "%d bytes behind the last message", left);
}

static void expect_types(const uint16_t *types, size_t n)
{
	cr_assert_eq(n_messages, n, "%zu messages", n_messages);
	for (size_t i = 0; i < n; i++)
		cr_assert_eq(messages[i]->nlmsg_type, types[i], "message %zu is %#x", i,
			     messages[i]->nlmsg_type);
}

Test(encode, an_empty_plan_is_no_batch)
{
	const struct encode_options options = { .first_sequence = FIRST };

	cr_assert_eq(plan_make(&ledger, &shape, &actual, 0, &plan), 0);
	cr_assert_eq(encode_plan(&plan, &shape, &options, &batch), -EINVAL);
}

Test(encode, a_new_table_is_made_in_order)
{
	static const uint16_t types[] = {
		NFNL_MSG_BATCH_BEGIN,    NFT(NFT_MSG_NEWTABLE), NFT(NFT_MSG_NEWSET),
		NFT(NFT_MSG_NEWSETELEM), NFT(NFT_MSG_NEWCHAIN), NFT(NFT_MSG_NEWCHAIN),
		NFT(NFT_MSG_NEWCHAIN),   NFT(NFT_MSG_NEWRULE),  NFT(NFT_MSG_NEWRULE),
		NFT(NFT_MSG_NEWRULE),    NFT(NFT_MSG_NEWRULE),  NFT(NFT_MSG_NEWRULE),
		NFT(NFT_MSG_NEWRULE),    NFT(NFT_MSG_NEWRULE),  NFT(NFT_MSG_NEWRULE),
		NFT(NFT_MSG_NEWRULE),    NFNL_MSG_BATCH_END,
	};

	actual = (struct structure){ 0 };
	desire(&ledger, "203.0.113.10:30001", "10.0.0.5:22", NULL);
	encode(0, 0);
	expect_types(types, ARRAY_SIZE(types));
}

Test(encode, foreign_chains_go_after_their_rules)
{
	static char *names[] = { "prerouting", "another" };
	static const uint16_t types[] = { NFNL_MSG_BATCH_BEGIN,  NFT(NFT_MSG_DELRULE),
					  NFT(NFT_MSG_DELCHAIN), NFT(NFT_MSG_DELCHAIN),
					  NFT(NFT_MSG_NEWCHAIN), NFT(NFT_MSG_NEWRULE) };

	actual.chains &= ~SHAPE_CHAIN_BIT(SHAPE_PREROUTING);
	actual.rules = false;
	actual.names = names;
	actual.n_names = 2;
	encode(0, 0);
	for (size_t i = 0; i < ARRAY_SIZE(types); i++)
		cr_assert_eq(messages[i]->nlmsg_type, types[i], "message %zu", i);
	cr_assert_leq(n_messages, batch_sequences_max(&plan));
}

Test(encode, sequences_are_consecutive_and_the_end_wants_an_answer)
{
	install(&ledger, "203.0.113.10:30001", "10.0.0.5:22", NULL);
	desire(&ledger, "203.0.113.10:30002", "10.0.0.5:80", NULL);
	encode(0, 0);
	cr_assert_eq(n_messages, 4); /* begin, delete, add, end */
	for (size_t i = 0; i < n_messages; i++)
		cr_assert_eq(messages[i]->nlmsg_seq, FIRST + i);
	cr_assert_eq(batch.begin_sequence, FIRST);
	cr_assert_eq(batch.last_sequence, FIRST + 2);
	cr_assert_eq(batch.end_sequence, FIRST + 3);
	cr_assert_eq(batch.n_sequences, 4);
	for (size_t i = 0; i < n_messages; i++)
		cr_assert_eq(!!(messages[i]->nlmsg_flags & NLM_F_ACK), i == 3, "message %zu", i);
	cr_assert_eq(batch.end_length, messages[3]->nlmsg_len);
}

Test(encode, the_last_command_wants_an_answer_where_there_is_no_receipt)
{
	desire(&ledger, "203.0.113.10:30002", "10.0.0.5:80", NULL);
	ack_last = true;
	encode(0, 0);
	cr_assert_eq(n_messages, 3);
	for (size_t i = 0; i < n_messages; i++)
		cr_assert_eq(!!(messages[i]->nlmsg_flags & NLM_F_ACK), i >= 1, "message %zu", i);
}

/* BEGIN's attribute, NULL if it has none. */
static const struct nlattr *generation_attribute(void)
{
	const struct nlattr *attr;

	mnl_attr_for_each(attr, messages[0], sizeof(struct nfgenmsg))
	{
		if (mnl_attr_get_type(attr) == NFNL_BATCH_GENID)
			return attr;
	}
	return NULL;
}

Test(encode, begin_carries_the_generation)
{
	const struct nlattr *attr;

	desire(&ledger, "203.0.113.10:30001", "10.0.0.5:22", NULL);
	encode(0, 42);
	attr = generation_attribute();
	cr_assert_not_null(attr);
	cr_assert_eq(ntohl(mnl_attr_get_u32(attr)), 42);
}

Test(encode, begin_carries_no_generation_without_a_dump)
{
	desire(&ledger, "203.0.113.10:30001", "10.0.0.5:22", NULL);
	encode(0, 0);
	cr_assert_null(generation_attribute());
}

static void desire_many(unsigned n)
{
	char key[ENDPOINT_STRING_MAX], label[SHAPE_COMMENT_MAX];

	for (unsigned i = 0; i < n; i++) {
		(void)snprintf(key, sizeof(key), "203.0.113.10:%u", 1 + i);
		(void)snprintf(label, sizeof(label), "env-%0100u ssh", i);
		desire(&ledger, key, "10.0.0.5:22", label);
	}
}

/* The list of an element message. */
static const struct nlattr *list_of(const struct nlmsghdr *message)
{
	const struct nlattr *attr;

	mnl_attr_for_each(attr, message, sizeof(struct nfgenmsg))
	{
		if (mnl_attr_get_type(attr) == NFTA_SET_ELEM_LIST_ELEMENTS)
			return attr;
	}
	return NULL;
}

static size_t count_elements(const struct nlattr *list)
{
	const struct nlattr *attr;
	size_t n = 0;

	mnl_attr_for_each_nested(attr, list)
	{
		n++;
	}
	return n;
}

Test(encode, lists_are_split_below_64_KiB_and_lose_nothing)
{
	size_t total = 0;

	desire_many(5000);
	encode(0, 0);
	cr_assert_gt(n_messages, 10);
	for (size_t i = 1; i + 1 < n_messages; i++) {
		const struct nlattr *list = list_of(messages[i]);

		cr_assert_not_null(list);
		/* The length's own 16 bits say no more than the bytes that are there. */
		cr_assert_eq(MNL_ALIGN(mnl_attr_get_len(list)) +
				     (size_t)((const char *)list - (const char *)messages[i]),
			     messages[i]->nlmsg_len);
		total += count_elements(list);
	}
	cr_assert_eq(total, 5000);
	cr_assert_leq(n_messages, batch_sequences_max(&plan));
}

Test(encode, one_element_a_message_if_asked)
{
	desire_many(20);
	encode(1, 0);
	cr_assert_eq(n_messages, 22);
	for (size_t i = 0; i < plan.n_operations; i++)
		cr_assert_eq(batch.slots[i].sequence, FIRST + 1 + i);
}

Test(encode, families_and_kinds_stand_in_messages_of_their_own)
{
	static const uint16_t types[] = { NFNL_MSG_BATCH_BEGIN,    NFT(NFT_MSG_DELSETELEM),
					  NFT(NFT_MSG_DELSETELEM), NFT(NFT_MSG_NEWSETELEM),
					  NFT(NFT_MSG_NEWSETELEM), NFNL_MSG_BATCH_END };

	for (unsigned i = 0; i < 6; i++) {
		char key[ENDPOINT_STRING_MAX];

		(void)snprintf(key, sizeof(key), i % 2 ? "203.0.113.10:%u" : "[2001:db8::10]:%u",
			       1 + i);
		install(&ledger, key, i % 2 ? "10.0.0.5:1" : "[2001:db8::5]:1", NULL);
		desire(&ledger, key, i % 2 ? "10.0.0.6:1" : "[2001:db8::6]:1", NULL);
	}
	encode(0, 0);
	expect_types(types, ARRAY_SIZE(types));
	for (size_t i = 1; i < 5; i++)
		cr_assert_eq(count_elements(list_of(messages[i])), 3);
}

/* The attribute that stands at a slot's offset is the one that the kernel would name. */
Test(encode, answers_lead_back_to_their_operation)
{
	size_t found;

	desire_many(1000);
	encode(0, 0);
	for (size_t i = 0; i < plan.n_operations; i++) {
		const struct batch_slot *slot = &batch.slots[i];
		const struct nlmsghdr *message = messages[slot->sequence - FIRST];
		const struct nlattr *element = (const void *)((const char *)message + slot->offset);
		const struct nlattr *data = mnl_attr_get_payload(element);
		uint8_t key[SHAPE_KEY_MAX];
		size_t n = shape_key(&plan.operations[i].entry->key, key);

		cr_assert_eq(mnl_attr_get_type(element), NFTA_LIST_ELEM);
		data = mnl_attr_get_payload(data);
		cr_assert_eq(mnl_attr_get_payload_len(data), n);
		cr_assert_arr_eq(mnl_attr_get_payload(data), key, n);
		cr_assert_eq(batch_find_operation(&batch, slot->sequence, slot->offset, &found), 0);
		cr_assert_eq(found, i);
	}
	cr_assert_eq(batch_find_operation(&batch, FIRST + 1, 0, &found), -ENOENT);
	cr_assert_eq(batch_find_operation(&batch, FIRST, 0, &found), -EINVAL);
}

Test(encode, a_message_of_one_element_needs_no_offset)
{
	size_t found;

	desire_many(3);
	encode(1, 0);
	cr_assert_eq(batch_find_operation(&batch, FIRST + 2, 0, &found), 0);
	cr_assert_eq(found, 1);
}

/* ---- maps with timeouts ---- */

static struct element read_first(const struct nlmsghdr *message, enum shape_set set)
{
	struct element element;

	cr_assert_eq(element_read(mnl_attr_get_payload(list_of(message)), set, &element), 0);
	return element;
}

Test(encode, a_map_comes_with_its_first_element_and_its_rules)
{
	static const uint16_t types[] = { NFNL_MSG_BATCH_BEGIN, NFT(NFT_MSG_DELRULE),
					  NFT(NFT_MSG_NEWSET), NFT(NFT_MSG_NEWSETELEM),
					  NFT(NFT_MSG_NEWRULE) };
	size_t rules = 0;

	desire_until(&ledger, "203.0.113.10:30001", "10.0.0.5:22", NOW_S + 60);
	encode(0, 0);
	for (size_t i = 0; i < ARRAY_SIZE(types); i++)
		cr_assert_eq(messages[i]->nlmsg_type, types[i], "message %zu", i);
	for (size_t i = 0; i < n_messages; i++)
		rules += messages[i]->nlmsg_type == NFT(NFT_MSG_NEWRULE);
	cr_assert_eq(rules, 2 * 6 + 1, "%zu", rules);
}

Test(encode, a_map_that_nobody_uses_goes_behind_its_rules_and_elements)
{
	static const uint16_t types[] = { NFNL_MSG_BATCH_BEGIN,    NFT(NFT_MSG_DELRULE),
					  NFT(NFT_MSG_NEWSETELEM), NFT(NFT_MSG_DELSETELEM),
					  NFT(NFT_MSG_DELSET),     NFT(NFT_MSG_NEWRULE) };

	actual.sets = SHAPE_BIT(SHAPE_EXPIRING4);
	install_until(&ledger, "203.0.113.10:30001", "10.0.0.5:22", NOW_S);
	ways = PLAN_SHRINK;
	encode(0, 0);
	for (size_t i = 0; i < ARRAY_SIZE(types); i++)
		cr_assert_eq(messages[i]->nlmsg_type, types[i], "message %zu", i);
}

Test(encode, what_is_left_until_the_end_is_the_timeout)
{
	actual.sets |= SHAPE_BIT(SHAPE_EXPIRING4) | SHAPE_BIT(SHAPE_EXPIRING6);
	desire_until(&ledger, "203.0.113.10:30001", "10.0.0.5:22", NOW_S + 60);
	desire_until(&ledger, "[2001:db8::10]:1", "[2001:db8::5]:1", NOW_S - 1);
	encode(0, 0);
	cr_assert_eq(n_messages, 4);
	cr_assert_eq(read_first(messages[1], SHAPE_EXPIRING4).timeout_ms, 60000);
	cr_assert_eq(read_first(messages[2], SHAPE_EXPIRING6).timeout_ms, 1,
		     "no longer than it may");
}

/* It may have ended by itself meanwhile, and to delete what is not there fails the batch. */
Test(encode, what_may_have_ended_is_put_before_it_is_deleted)
{
	static const uint16_t types[] = { NFNL_MSG_BATCH_BEGIN, NFT(NFT_MSG_NEWSETELEM),
					  NFT(NFT_MSG_DELSETELEM), NFT(NFT_MSG_NEWSETELEM),
					  NFNL_MSG_BATCH_END };
	struct element before;

	actual.sets |= SHAPE_BIT(SHAPE_EXPIRING4);
	install_until(&ledger, "203.0.113.10:30001", "10.0.0.5:22", NOW_S + 60);
	desire_until(&ledger, "203.0.113.10:30001", "10.0.0.6:22", NOW_S + 60);
	encode(0, 0);
	expect_types(types, ARRAY_SIZE(types));
	before = read_first(messages[1], SHAPE_EXPIRING4);
	cr_assert_eq(before.value[3], 5, "with what the kernel has, or it refuses it");
	cr_assert_not(messages[1]->nlmsg_flags & NLM_F_EXCL);
	cr_assert(messages[3]->nlmsg_flags & NLM_F_EXCL);
	cr_assert_leq(n_messages, batch_sequences_max(&plan));
	for (size_t i = 0; i < plan.n_operations; i++)
		cr_assert_eq(batch.slots[i].sequence, FIRST + 2 + i);
}

Test(encode, a_mapping_whose_end_comes_or_goes_moves_from_map_to_map)
{
	static const uint16_t types[] = { NFNL_MSG_BATCH_BEGIN,    NFT(NFT_MSG_DELSETELEM),
					  NFT(NFT_MSG_NEWSETELEM), NFT(NFT_MSG_DELSETELEM),
					  NFT(NFT_MSG_NEWSETELEM), NFT(NFT_MSG_NEWSETELEM),
					  NFNL_MSG_BATCH_END };

	actual.sets |= SHAPE_BIT(SHAPE_EXPIRING4);
	install(&ledger, "203.0.113.10:30001", "10.0.0.5:22", NULL);
	desire_until(&ledger, "203.0.113.10:30001", "10.0.0.5:22", NOW_S + 60);
	install_until(&ledger, "203.0.113.10:30002", "10.0.0.5:22", NOW_S + 60);
	desire(&ledger, "203.0.113.10:30002", "10.0.0.5:22", NULL);
	encode(0, 0);
	cr_assert_eq(plan.n_changes, 2);
	expect_types(types, ARRAY_SIZE(types));
}

/* ---- limits ---- */

static void desire_limited(const char *key, const char *target)
{
	const struct policy policy = { .new_connections_per_minute = 60, .max_connections = 5 };
	struct mapping_key k = key_of(key);
	struct endpoint t = endpoint_of(target);

	cr_assert_eq(ledger_desire(&ledger, &k, &t, NULL, &policy, 1, NULL), 0);
}

Test(encode, limits_come_with_their_sets_counters_and_chain)
{
	static const uint16_t types[] = {
		NFNL_MSG_BATCH_BEGIN,    NFT(NFT_MSG_DELRULE),    NFT(NFT_MSG_NEWSET),
		NFT(NFT_MSG_NEWSET),     NFT(NFT_MSG_NEWOBJ),     NFT(NFT_MSG_NEWOBJ),
		NFT(NFT_MSG_NEWSETELEM), NFT(NFT_MSG_NEWSETELEM), NFT(NFT_MSG_NEWSETELEM),
		NFT(NFT_MSG_NEWCHAIN),   NFT(NFT_MSG_NEWRULE),
	};

	desire_limited("203.0.113.10:30001", "10.0.0.5:22");
	encode(0, 0);
	for (size_t i = 0; i < ARRAY_SIZE(types); i++)
		cr_assert_eq(messages[i]->nlmsg_type, types[i], "message %zu is %#x", i,
			     messages[i]->nlmsg_type);
	cr_assert_eq(batch_find_set(&batch, FIRST + 2), SHAPE_RATE4);
	cr_assert_eq(batch_find_set(&batch, FIRST + 3), SHAPE_CONNECTIONS4);
	cr_assert_eq(batch_find_set(&batch, FIRST + 4), SHAPE_SET_INVALID);
	cr_assert_leq(n_messages, batch_sequences_max(&plan));
}

Test(encode, limits_are_read_as_they_were_written)
{
	struct element rate, connections;

	actual.sets |= SHAPE_BIT(SHAPE_RATE4) | SHAPE_BIT(SHAPE_CONNECTIONS4);
	actual.counters = shape_counters(actual.sets);
	desire_limited("203.0.113.10:30001", "10.0.0.5:22");
	for (struct member *member = ledger.members.all; member; member = member->hh.next)
		member->packets = 7; /* to count on from */
	encode(0, 0);
	cr_assert_eq(n_messages, 5);
	rate = read_first(messages[2], SHAPE_RATE4);
	connections = read_first(messages[3], SHAPE_CONNECTIONS4);
	cr_assert_eq(rate.limit, 60);
	cr_assert_eq(rate.packets, 7);
	cr_assert_eq(connections.limit, 5);
	cr_assert_eq(connections.packets, 7);
	/* In the other set they are statements of another kind, and as good as none. */
	cr_assert_eq(read_first(messages[2], SHAPE_CONNECTIONS4).limit, 0);
}

Test(encode, what_the_last_limit_needed_goes_with_it)
{
	static const uint16_t types[] = { NFNL_MSG_BATCH_BEGIN,  NFT(NFT_MSG_DELRULE),
					  NFT(NFT_MSG_DELCHAIN), NFT(NFT_MSG_DELSET),
					  NFT(NFT_MSG_DELOBJ),   NFT(NFT_MSG_NEWRULE) };

	actual.sets = SHAPE_BIT(SHAPE_RATE6);
	actual.counters = shape_counters(actual.sets);
	actual.chains = shape_chains(&shape, actual.sets);
	ways = PLAN_SHRINK;
	encode(0, 0);
	for (size_t i = 0; i < ARRAY_SIZE(types); i++)
		cr_assert_eq(messages[i]->nlmsg_type, types[i], "message %zu is %#x", i,
			     messages[i]->nlmsg_type);
}
