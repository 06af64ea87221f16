/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What is left to be looked through of what an earlier process wrote down. */
#include "gatewayd/sweep_replay.h"

#include <stdio.h>

#include "tests/unit/gatewayd/make.h"

static struct sweep_replay replay;
static struct sweep_list list;

static void tear_down(void)
{
	sweep_replay_clear(&replay);
	sweep_list_clear(&list);
}

TestSuite(sweep_replay, .fini = tear_down);

static struct mapping_key key_at(unsigned port)
{
	struct mapping_key key = key_of("203.0.113.10:1");

	key.port = (uint16_t)port;
	return key;
}

static void sweep(unsigned port, const char *led)
{
	const struct mapping_key key = key_at(port);
	const struct endpoint endpoint = endpoint_of(led);

	cr_assert_eq(sweep_replay_add(&replay, &key, &endpoint), 0);
}

static void spare(unsigned port)
{
	const struct mapping_key key = key_at(port);

	cr_assert_eq(sweep_replay_spare(&replay, &key), 0);
}

static void expect_left(const char *wanted)
{
	char text[512] = "", led[ENDPOINT_STRING_MAX];
	size_t n = 0;

	cr_assert_eq(sweep_replay_finish(&replay, &list), 0);
	sweep_list_sort(&list);
	for (size_t i = 0; i < list.n; i++) {
		cr_expect(list.items[i].kept);
		n += (size_t)snprintf(text + n, sizeof(text) - n, "%u %s\n", list.items[i].key.port,
				      endpoint_format(&list.items[i].led, led));
	}
	cr_expect_str_eq(text, wanted);
}

Test(sweep_replay, of_nothing_is_nothing)
{
	spare(1);
	expect_left("");
}

Test(sweep_replay, keeps_all_targets_of_a_port_once)
{
	sweep(2, "10.0.0.2:22");
	sweep(1, "10.0.0.2:22");
	sweep(1, "10.0.0.1:22");
	sweep(1, "10.0.0.2:22");
	expect_left("1 10.0.0.1:22\n1 10.0.0.2:22\n2 10.0.0.2:22\n");
}

Test(sweep_replay, spares_a_ports_earlier_sweeps_and_no_later_ones)
{
	sweep(1, "10.0.0.1:22");
	sweep(1, "10.0.0.2:22");
	sweep(2, "10.0.0.1:22");
	spare(1);
	sweep(1, "10.0.0.3:22");
	expect_left("1 10.0.0.3:22\n2 10.0.0.1:22\n");
}

Test(sweep_replay, forgets_what_was_done)
{
	sweep(1, "10.0.0.1:22");
	sweep_replay_done(&replay);
	sweep(2, "10.0.0.2:22");
	expect_left("2 10.0.0.2:22\n");
}
