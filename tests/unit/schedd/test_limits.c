/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Limits of one caller and of all: each at its maximum, named, and free again afterwards. */
#include <criterion/criterion.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "schedd/limits.h"

#define SECOND 1000000ULL
#define START (1000 * SECOND)

static struct limits *limits;
static const char *over;
static uint64_t wait_ms;

/* What is not given is no limit here. */
static void begin(struct limits_config config)
{
	unsigned *const numbers[] = { &config.requests, &config.watches, &config.all_requests,
				      &config.all_watches };

	for (size_t i = 0; i < ARRAY_SIZE(numbers); i++)
		if (*numbers[i] == 0)
			*numbers[i] = 1000;
	limits_free(limits);
	limits = NULL;
	cr_assert_eq(limits_new(&limits, &config), 0);
}

#define BEGIN(...) begin((struct limits_config){ __VA_ARGS__ })

static void end(void)
{
	limits_free(limits);
	limits = NULL;
}

TestSuite(limits, .fini = end);

static int take(const char *key, uint64_t now_us, struct limits_caller **ret)
{
	over = NULL;
	return limits_take(limits, key, false, now_us, ret, &over, &wait_ms);
}

static void passes(const char *key, uint64_t now_us)
{
	struct limits_caller *caller;

	cr_assert_eq(take(key, now_us, &caller), 0, "%s", over);
	limits_give(limits, caller, false);
}

Test(limits, a_rate_allows_twice_its_second_at_once_and_then_its_pace)
{
	struct limits_caller *caller;

	BEGIN(.rate = 10);
	for (int i = 0; i < 20; i++)
		passes("a", START);
	cr_assert_eq(take("a", START, &caller), -EAGAIN);
	cr_assert_str_eq(over, "token-rate");
	cr_assert_eq(wait_ms, 100);
	passes("b", START); /* another's */
	cr_assert_eq(take("a", START + 99999, &caller), -EAGAIN);
	passes("a", START + 100000);
	cr_assert_eq(take("a", START + 100000, &caller), -EAGAIN);
	for (int i = 0; i < 20; i++)
		passes("a", START + 10 * SECOND);
	cr_assert_eq(take("a", START + 10 * SECOND, &caller), -EAGAIN);
}

Test(limits, a_refused_request_costs_no_rate)
{
	struct limits_caller *caller;

	BEGIN(.rate = 1);
	passes("a", START);
	passes("a", START);
	for (int i = 0; i < 100; i++)
		cr_assert_eq(take("a", START, &caller), -EAGAIN);
	passes("a", START + SECOND);
}

Test(limits, no_rate_is_no_limit)
{
	BEGIN(.rate = 0);
	for (int i = 0; i < 100000; i++)
		passes("a", START);
}

Test(limits, requests_of_one_and_of_all_at_a_time)
{
	struct limits_caller *a[2], *b, *c;

	BEGIN(.requests = 2, .all_requests = 3);
	cr_assert_eq(take("a", START, &a[0]), 0);
	cr_assert_eq(take("a", START, &a[1]), 0);
	cr_assert_eq(take("a", START, &c), -EAGAIN);
	cr_assert_str_eq(over, "token-requests");
	cr_assert_gt(wait_ms, 0);
	cr_assert_eq(take("b", START, &b), 0);
	cr_assert_eq(limits_requests(limits), 3);
	cr_assert_eq(take("c", START, &c), -EAGAIN);
	cr_assert_str_eq(over, "max-requests");
	limits_give(limits, a[0], false);
	cr_assert_eq(take("a", START, &a[0]), 0);
}

Test(limits, watches_are_counted_apart)
{
	struct limits_caller *caller[3];

	BEGIN(.requests = 1, .watches = 2, .all_watches = 2);
	for (int i = 0; i < 2; i++) {
		cr_assert_eq(take("a", START, &caller[i]), 0, "%s", over);
		cr_assert_eq(limits_take_watch(limits, caller[i], &over, &wait_ms), 0);
	}
	cr_assert_eq(limits_requests(limits), 0);
	cr_assert_eq(take("b", START, &caller[2]), 0);
	cr_assert_eq(limits_take_watch(limits, caller[2], &over, &wait_ms), -EAGAIN);
	cr_assert_str_eq(over, "max-watches");
	cr_assert_eq(limits_requests(limits), 1); /* it is still a request */
	limits_give(limits, caller[0], true);
	cr_assert_eq(limits_take_watch(limits, caller[2], &over, &wait_ms), 0);
}

Test(limits, watches_of_one)
{
	struct limits_caller *first, *second;

	BEGIN(.watches = 1);
	cr_assert_eq(take("a", START, &first), 0);
	cr_assert_eq(limits_take_watch(limits, first, &over, &wait_ms), 0);
	cr_assert_eq(take("a", START, &second), 0);
	cr_assert_eq(limits_take_watch(limits, second, &over, &wait_ms), -EAGAIN);
	cr_assert_str_eq(over, "token-watches");
}

Test(limits, an_exempt_caller_gets_in_where_others_are_full)
{
	struct limits_caller *caller, *watching;

	BEGIN(.rate = 1, .requests = 1, .all_requests = 1, .watches = 1, .all_watches = 1);
	cr_assert_eq(take("a", START, &watching), 0);
	cr_assert_eq(limits_take_watch(limits, watching, &over, &wait_ms), 0);
	cr_assert_eq(take("b", START, &caller), 0);
	cr_assert_eq(take("c", START, &caller), -EAGAIN);
	cr_assert_str_eq(over, "max-requests");
	for (int i = 0; i < 3; i++)
		cr_assert_eq(limits_take(limits, "root", true, START, &caller, &over, &wait_ms), 0);
	cr_assert_eq(limits_take_watch(limits, caller, &over, &wait_ms), 0);
}

/* More callers than are remembered: those who have nothing taken are forgotten, others not. */
Test(limits, strangers_come_and_go)
{
	struct limits_caller *kept, *again;
	char key[LIMITS_KEY_MAX];

	BEGIN(.rate = 10, .requests = 1);
	cr_assert_eq(take("kept", START, &kept), 0);
	for (int i = 0; i < 200000; i++) {
		(void)snprintf(key, sizeof(key), "source-%d", i);
		passes(key, START + (uint64_t)i * SECOND);
	}
	cr_assert_eq(take("kept", START + 300000 * SECOND, &again), -EAGAIN);
	cr_assert_str_eq(over, "token-requests");
}
