/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Which connections are ended, and lists of mappings whose are looked through. */
#include "gatewayd/sweep_list.h"

#include "tests/unit/gatewayd/flows.h"

#define KEY "203.0.113.10:30001"
#define OTHER_KEY "203.0.113.10:30002"
#define LED "10.0.1.2:22"
#define TARGET "10.0.2.2:22"
#define ELSEWHERE "10.0.3.2:22"

static struct sweep_list list, other;

static void tear_down(void)
{
	sweep_list_clear(&list);
	sweep_list_clear(&other);
}

TestSuite(sweep_list, .fini = tear_down);

/* target NULL: it is not mapped. */
static void add(struct sweep_list *to, const char *key, const char *target, bool kept)
{
	struct sweep sweep = { .key = key_of(key), .led = endpoint_of(LED), .kept = kept };

	sweep.mapped = target != NULL;
	if (target)
		sweep.target = endpoint_of(target);
	cr_assert_eq(sweep_list_add(to, &sweep), 0);
	sweep_list_sort(to);
}

static bool hits(const char *key, const char *target)
{
	const struct ct_entry entry = entry_of(1, key, target, 100);

	return sweep_list_hits(&list, &entry);
}

Test(sweep_list, hits_all_that_does_not_lead_to_the_target)
{
	cr_expect_not(hits(KEY, LED));
	add(&list, KEY, TARGET, false);
	cr_expect(hits(KEY, LED));
	cr_expect(hits(KEY, ELSEWHERE)); /* as of a still earlier target that drained */
	cr_expect_not(hits(KEY, TARGET));
	cr_expect_not(hits(OTHER_KEY, LED));
}

Test(sweep_list, hits_all_of_a_mapping_that_is_gone)
{
	add(&list, KEY, NULL, false);
	cr_expect(hits(KEY, LED));
	cr_expect(hits(KEY, ELSEWHERE));
}

/* Nobody watched over the port meanwhile. */
Test(sweep_list, of_an_earlier_process_hits_only_what_it_led)
{
	add(&list, KEY, NULL, true);
	cr_expect(hits(KEY, LED));
	cr_expect_not(hits(KEY, ELSEWHERE));
	list.n = 0;
	add(&list, KEY, LED, true);
	cr_expect_not(hits(KEY, LED), "the mapping is back");
}

static bool hits_untranslated(uint8_t protocol)
{
	struct ct_entry entry = entry_of(1, KEY, LED, 100);

	entry.status = IPS_SEEN_REPLY;
	entry.original.protocol = protocol;
	return sweep_list_hits(&list, &entry);
}

static void set_udp(bool kept, bool mapped)
{
	list.n = 0;
	add(&list, KEY, mapped ? TARGET : NULL, kept);
	list.items[0].key.protocol = PROTOCOL_UDP;
}

Test(sweep_list, hits_udp_that_was_never_translated)
{
	add(&list, KEY, TARGET, false);
	cr_expect_not(hits_untranslated(PROTOCOL_TCP));
	set_udp(false, true);
	cr_expect(hits_untranslated(PROTOCOL_UDP));
	set_udp(false, false);
	cr_expect(hits_untranslated(PROTOCOL_UDP));
	set_udp(true, true);
	cr_expect(hits_untranslated(PROTOCOL_UDP), "it would not reach the mapping");
	set_udp(true, false);
	cr_expect_not(hits_untranslated(PROTOCOL_UDP), "it is the gateway's own");
}

Test(sweep_list, leaves_one_of_each_and_takes_out_by_mapping)
{
	add(&list, OTHER_KEY, NULL, false);
	add(&list, KEY, NULL, false);
	add(&list, KEY, NULL, true);
	add(&list, KEY, NULL, true);
	cr_expect_eq(list.n, 3);
	add(&other, KEY, NULL, false);
	sweep_list_remove(&list, &other);
	cr_assert_eq(list.n, 1);
	cr_expect_eq(list.items[0].key.port, 30002);
}

Test(sweep_list, moves_behind_what_is_there)
{
	add(&list, KEY, NULL, false);
	add(&other, OTHER_KEY, NULL, false);
	cr_assert_eq(sweep_list_move(&list, &other), 0);
	cr_expect_eq(list.n, 2);
	cr_expect_eq(other.n, 0);
	cr_assert_eq(sweep_list_move(&other, &list), 0);
	cr_expect_eq(other.n, 2);
	cr_expect_eq(list.n, 0);
}
