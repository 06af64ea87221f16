/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The shape: keys, values and comments to bytes and back, and what counts as the same rule. The
 * text that nft makes of it is tested against the kernel.
 */
#include <stdio.h> /* before libnftnl's headers */

#include <errno.h>
#include <libnftnl/expr.h>
#include <netinet/in.h> /* before the kernel's headers */

#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>
#include <string.h>

#include "gatewayd/shape.h"
#include "tests/unit/gatewayd/make.h"

static const struct shape shape = { .source = SOURCE_MASQUERADE };

Test(shape, keys_and_values_are_padded_by_part_and_in_network_order)
{
	static const uint8_t key4[] = { 203, 0, 113, 10, 6, 0, 0, 0, 0x75, 0x31, 0, 0 };
	static const uint8_t value4[] = { 10, 0, 0, 5, 0, 22, 0, 0 };
	struct mapping_key key = key_of("203.0.113.10:30001");
	struct endpoint target = endpoint_of("10.0.0.5:22");
	uint8_t bytes[SHAPE_KEY_MAX], value[SHAPE_VALUE_MAX];

	cr_assert_eq(shape_key(&key, bytes), sizeof(key4));
	cr_assert_arr_eq(bytes, key4, sizeof(key4));
	cr_assert_eq(shape_value(&target, value), sizeof(value4));
	cr_assert_arr_eq(value, value4, sizeof(value4));
}

Test(shape, keys_and_values_come_back)
{
	static const char *const keys[] = { "203.0.113.10:1", "[2001:db8::10]:65535" };
	static const char *const targets[] = { "10.0.0.5:65535", "[2001:db8::5]:1" };

	for (size_t i = 0; i < ARRAY_SIZE(keys); i++) {
		struct mapping_key key = key_of(keys[i]), key_back;
		struct endpoint target = endpoint_of(targets[i]), target_back;
		uint8_t bytes[SHAPE_KEY_MAX], value[SHAPE_VALUE_MAX];
		enum shape_set map = shape_map_of(&shape, &key, false);
		size_t n;

		key.protocol = PROTOCOL_UDP;
		n = shape_key(&key, bytes);
		cr_assert_eq(shape_key_parse(map, bytes, n, &key_back), 0);
		cr_assert_eq(mapping_key_compare(&key, &key_back), 0);
		cr_assert_eq(shape_key_parse(map, bytes, n - 1, &key_back), -EBADMSG);
		cr_assert_eq(shape_key_parse(map, bytes, n + 4, &key_back), -EBADMSG);
		n = shape_value(&target, value);
		cr_assert_eq(shape_value_parse(map, value, n, &target_back), 0);
		cr_assert_eq(endpoint_compare(&target, &target_back), 0);
		cr_assert_eq(shape_value_parse(map, value, n - 4, &target_back), -EBADMSG);
	}
}

Test(shape, sets_have_names)
{
	for (int set = 0; set < SHAPE_SET_MAX; set++) {
		cr_assert_not_null(shape_set_name(set), "%d", set);
		cr_assert_eq(shape_set_parse(shape_set_name(set)), set);
	}
	cr_assert_eq(shape_set_parse("mapping"), SHAPE_SET_INVALID);
}

Test(shape, a_mappings_map_is_of_its_family_and_has_timeouts_where_it_ends)
{
	struct mapping_key four = key_of("203.0.113.10:1"), six = key_of("[2001:db8::10]:1");

	cr_assert_eq(shape_map_of(&shape, &four, false), SHAPE_MAPPING4);
	cr_assert_eq(shape_map_of(&shape, &six, false), SHAPE_MAPPING6);
	cr_assert_eq(shape_map_of(&shape, &four, true), SHAPE_EXPIRING4);
	cr_assert_eq(shape_map_of(&shape, &six, true), SHAPE_EXPIRING6);
	for (int set = 0; set < SHAPE_SET_MAX; set++)
		if (shape_set_is_map(set))
			cr_assert_eq(shape_set_has_timeout(set),
				     set == SHAPE_EXPIRING4 || set == SHAPE_EXPIRING6);
}

struct label_row {
	const char *environment, *service;
	bool drain;
	const char *comment;
};

static const struct label_row labels[] = {
	{ NULL, NULL, false, "" },           { "env-a", "ssh", false, "env-a ssh" },
	{ "env-a", NULL, false, "env-a ." }, { NULL, "ssh", false, ". ssh" },
	{ NULL, NULL, true, ". . drain" },   { "env-a", "ssh", true, "env-a ssh drain" },
};

Test(shape, labels_come_back)
{
	for (size_t i = 0; i < ARRAY_SIZE(labels); i++) {
		const struct label_row *row = &labels[i];
		char comment[SHAPE_COMMENT_MAX];
		struct shape_label label;

		cr_assert_eq(
			shape_label_format(row->environment, row->service, row->drain, comment), 0);
		cr_assert_str_eq(comment, row->comment);
		shape_label_parse(comment, &label);
		cr_assert_str_eq(label.environment, row->environment ? row->environment : "");
		cr_assert_str_eq(label.service, row->service ? row->service : "");
		cr_assert_eq(label.drain, row->drain);
	}
}

#define NAME_63 "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"

/* The longest names leave no room for " drain": it is refused, never cut. */
Test(shape, a_label_is_never_cut)
{
	char comment[SHAPE_COMMENT_MAX];

	cr_assert_eq(strlen(NAME_63), MAPPING_NAME_MAX);
	cr_assert_eq(shape_label_format(NAME_63, NAME_63, false, comment), 0);
	cr_assert_eq(strlen(comment), 2 * MAPPING_NAME_MAX + 1);
	cr_assert_eq(shape_label_format(NAME_63, NAME_63, true, comment), -E2BIG);
}

static const char *const foreign[] = {
	"hello", "hello world wide", "Hello world", "a b drain ", "a  b",
	" a b",  "a b drains",       NAME_63 "a b", "",           "a b c",
};

Test(shape, others_comments_are_no_labels)
{
	struct shape_label label;

	for (size_t i = 0; i < ARRAY_SIZE(foreign); i++) {
		shape_label_parse(foreign[i], &label);
		cr_assert_str_empty(label.environment, "\"%s\"", foreign[i]);
		cr_assert_str_empty(label.service, "\"%s\"", foreign[i]);
		cr_assert_not(label.drain, "\"%s\"", foreign[i]);
	}
	shape_label_parse(NULL, &label);
	cr_assert_str_empty(label.environment);
}

#define ALL_SETS (SHAPE_BIT(SHAPE_SET_MAX) - 1)
#define MAPS (SHAPE_BIT(SHAPE_MAPPING4) | SHAPE_BIT(SHAPE_MAPPING6))

static unsigned count_rules_of(const struct shape *of, shape_sets sets, enum shape_chain chain)
{
	for (unsigned i = 0;; i++) {
		bool end;
		_cleanup_(cleanup_nftnl_rule) struct nftnl_rule *rule = NULL;

		rule = shape_make_rule(of, sets, chain, i, &end);
		if (end)
			return i;
	}
}

static unsigned count_rules(shape_sets sets, enum shape_chain chain)
{
	return count_rules_of(&shape, sets, chain);
}

Test(shape, each_rule_is_the_same_as_itself_and_as_no_other)
{
	unsigned n = count_rules(ALL_SETS, SHAPE_PREROUTING);

	cr_assert_gt(n, count_rules(MAPS, SHAPE_PREROUTING));
	for (unsigned i = 0; i < n; i++) {
		bool end;
		_cleanup_(cleanup_nftnl_rule) struct nftnl_rule *rule =
			shape_make_rule(&shape, ALL_SETS, SHAPE_PREROUTING, i, &end);

		for (unsigned j = 0; j < n; j++)
			cr_assert_eq(
				shape_rule_matches(&shape, ALL_SETS, SHAPE_PREROUTING, j, rule),
				i == j, "%u and %u", i, j);
		cr_assert_not(shape_rule_matches(&shape, ALL_SETS, SHAPE_POSTROUTING, 0, rule));
	}
}

Test(shape, a_rule_is_there_only_while_its_set_is)
{
	shape_sets sets = MAPS | SHAPE_BIT(SHAPE_EXPIRING6);
	unsigned few = count_rules(MAPS, SHAPE_OUTPUT);

	cr_assert_eq(few, 5);
	cr_assert_eq(count_rules(0, SHAPE_OUTPUT), few - 2);
	cr_assert_eq(count_rules(sets, SHAPE_OUTPUT), few + 1);
	for (unsigned i = 0; i < few; i++) {
		bool end;
		_cleanup_(cleanup_nftnl_rule) struct nftnl_rule *rule =
			shape_make_rule(&shape, MAPS, SHAPE_OUTPUT, i, &end);

		/* The one more stands behind the maps of mappings that do not end. */
		cr_assert(shape_rule_matches(&shape, sets, SHAPE_OUTPUT, i < 4 ? i : i + 1, rule),
			  "%u", i);
	}
}

Test(shape, only_what_is_used_has_chains_and_counters)
{
	cr_assert_not(shape_has_chain(&shape, MAPS, SHAPE_ADMISSION));
	cr_assert_not(shape_has_chain(&shape, MAPS | SHAPE_BIT(SHAPE_EXPIRING4), SHAPE_ADMISSION));
	cr_assert_eq(shape_counters(MAPS), 0);
	for (int set = SHAPE_GUARDED4; set <= SHAPE_CONNECTIONS6; set++) {
		if (set == SHAPE_ALLOW4 || set == SHAPE_ALLOW6)
			continue; /* asked only together with what they guard */
		cr_assert(shape_has_chain(&shape, MAPS | SHAPE_BIT(set), SHAPE_ADMISSION), "%s",
			  shape_set_name(set));
		cr_assert_eq(count_rules(MAPS | SHAPE_BIT(set), SHAPE_ADMISSION), 1, "%s",
			     shape_set_name(set));
		cr_assert_neq(shape_counters(MAPS | SHAPE_BIT(set)), 0, "%s", shape_set_name(set));
	}
	for (int counter = 0; counter < SHAPE_COUNTER_MAX; counter++)
		cr_assert_eq(shape_counter_parse(shape_counter_name(counter)), counter);
}

Test(shape, a_rule_with_something_behind_it_is_another)
{
	for (unsigned i = 0; i < count_rules(ALL_SETS, SHAPE_PREROUTING); i++) {
		bool end;
		_cleanup_(cleanup_nftnl_rule) struct nftnl_rule *rule =
			shape_make_rule(&shape, ALL_SETS, SHAPE_PREROUTING, i, &end);

		nftnl_rule_add_expr(rule, nftnl_expr_alloc("counter"));
		cr_assert_not(shape_rule_matches(&shape, ALL_SETS, SHAPE_PREROUTING, i, rule),
			      "rule %u", i);
	}
}

Test(shape, a_chain_is_told_from_one_with_another_priority_policy_or_hook)
{
	struct nftnl_chain *chain = shape_make_chain(SHAPE_PREROUTING);

	cr_assert(shape_chain_matches(SHAPE_PREROUTING, chain));
	cr_assert_not(shape_chain_matches(SHAPE_OUTPUT, chain));
	nftnl_chain_set_s32(chain, NFTNL_CHAIN_PRIO, -99);
	cr_assert_not(shape_chain_matches(SHAPE_PREROUTING, chain));
	nftnl_chain_set_s32(chain, NFTNL_CHAIN_PRIO, -100);
	cr_assert(shape_chain_matches(SHAPE_PREROUTING, chain));
	nftnl_chain_set_u32(chain, NFTNL_CHAIN_POLICY, NF_DROP);
	cr_assert_not(shape_chain_matches(SHAPE_PREROUTING, chain));
	nftnl_chain_free(chain);
}

Test(shape, a_map_is_told_from_one_of_another_size_or_type)
{
	const struct shape small = { .map_size = 10 }, large = { .map_size = 20 };
	struct nftnl_set *set = shape_make_set(&small, SHAPE_MAPPING4);

	cr_assert(shape_set_matches(&small, SHAPE_MAPPING4, set));
	cr_assert_not(shape_set_matches(&large, SHAPE_MAPPING4, set));
	cr_assert_not(shape_set_matches(&small, SHAPE_MAPPING6, set));
	cr_assert_not(shape_set_matches(&small, SHAPE_EXPIRING4, set));
	nftnl_set_set_u32(set, NFTNL_SET_FLAGS, NFT_SET_MAP | NFT_SET_TIMEOUT);
	cr_assert_not(shape_set_matches(&small, SHAPE_MAPPING4, set));
	cr_assert(shape_set_matches(&small, SHAPE_EXPIRING4, set));
	nftnl_set_free(set);
}

Test(shape, has_a_chain_behind_routing_where_sources_are_translated)
{
	const struct shape masquerade = { .source = SOURCE_MASQUERADE };
	const struct shape snat = { .source = SOURCE_SNAT };
	const struct shape preserve = { .source = SOURCE_PRESERVE };

	cr_assert(shape_has_chain(&masquerade, 0, SHAPE_POSTROUTING));
	cr_assert(shape_has_chain(&snat, 0, SHAPE_POSTROUTING));
	cr_assert_not(shape_has_chain(&preserve, 0, SHAPE_POSTROUTING));
	cr_assert(shape_has_chain(&preserve, SHAPE_BIT(SHAPE_HAIRPIN), SHAPE_POSTROUTING));
	cr_assert(shape_has_chain(&preserve, 0, SHAPE_OUTPUT));
}

Test(shape, rules_for_sources_are_those_of_the_mode)
{
	const struct shape masquerade = { .source = SOURCE_MASQUERADE };
	const struct shape snat = { .source = SOURCE_SNAT, .n_sources4 = 2 };
	const struct shape preserve = { .source = SOURCE_PRESERVE };

	cr_assert_eq(count_rules_of(&masquerade, ALL_SETS, SHAPE_POSTROUTING), 1);
	cr_assert_eq(count_rules_of(&snat, ALL_SETS, SHAPE_POSTROUTING), 3);
	cr_assert_eq(count_rules_of(&snat, SHAPE_BIT(SHAPE_SOURCE4), SHAPE_POSTROUTING), 2);
	cr_assert_eq(count_rules_of(&preserve, ALL_SETS, SHAPE_POSTROUTING), 1);
	cr_assert_eq(count_rules_of(&preserve, 0, SHAPE_POSTROUTING), 0);
}

Test(shape, source_modes_have_names)
{
	for (int mode = 0; mode < SOURCE_MODE_MAX; mode++)
		cr_assert_eq(source_mode_parse(source_mode_name(mode)), mode);
	cr_assert_eq(source_mode_parse("both"), SOURCE_MODE_INVALID);
}

/* ---- shards ---- */

static const struct shape large = { .source = SOURCE_MASQUERADE, .map_size = 4 * SHAPE_SHARD_FROM };

Test(shape, a_large_table_has_a_map_for_each_of_the_ports_last_bits)
{
	const struct shape brim = { .map_size = SHAPE_SHARD_FROM };
	struct mapping_key four = key_of("203.0.113.10:30005"),
			   six = key_of("[2001:db8::10]:65535");

	cr_assert_eq(shape_map_of(&brim, &four, false), SHAPE_MAPPING4);
	cr_assert_eq(shape_map_of(&large, &four, false), SHAPE_SHARD4_FIRST + 30005 % SHAPE_SHARDS);
	cr_assert_eq(shape_map_of(&large, &six, false), SHAPE_SHARD6_LAST);
	cr_assert_eq(shape_map_of(&large, &four, true), SHAPE_EXPIRING4);
	cr_assert_eq(shape_set_shard(SHAPE_SHARD4_FIRST + 3), 3);
	cr_assert_eq(shape_set_shard(SHAPE_SHARD6_LAST), SHAPE_SHARDS - 1);
	cr_assert_eq(shape_set_shard(SHAPE_MAPPING4), -1);
	cr_assert_eq(shape_set_shard(SHAPE_EXPIRING6), -1);
}

Test(shape, a_table_has_either_shards_or_none)
{
	const shape_sets shards4 = shape_sets_of_mappings(&large, AF_INET);
	const shape_sets shards6 = shape_sets_of_mappings(&large, AF_INET6);

	cr_assert_eq(shape_sets_of_mappings(&shape, AF_INET), SHAPE_BIT(SHAPE_MAPPING4));
	cr_assert_eq(shape_sets_of_mappings(&shape, AF_INET6), SHAPE_BIT(SHAPE_MAPPING6));
	cr_assert_eq(__builtin_popcountll(shards4), SHAPE_SHARDS);
	cr_assert_eq(__builtin_popcountll(shards6), SHAPE_SHARDS);
	for (int set = 0; set < SHAPE_SET_MAX; set++)
		cr_assert_eq(!!((shards4 | shards6) & SHAPE_BIT(set)), shape_set_shard(set) >= 0);
	cr_assert_eq(count_rules_of(&large, shards4 | shards6, SHAPE_PREROUTING),
		     count_rules(MAPS, SHAPE_PREROUTING) - 2 + 2 * SHAPE_SHARDS);
}
