/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The heap of what is due, beside a look at all. */
#include "schedd/due.h"

#include <criterion/criterion.h>

#include "schedd/state.h"

#define N 200
#define EDITS 100000
#define TIMES 50 /* few, so that many are equal */

static struct environment_entry environments[N];
static uint64_t wanted[N]; /* 0: none */
static struct due due;

static uint64_t random_state = 88172645463325252;

static uint64_t next(uint64_t below)
{
	random_state ^= random_state << 13;
	random_state ^= random_state >> 7;
	random_state ^= random_state << 17;
	return random_state % below;
}

static uint64_t earliest(void)
{
	uint64_t first = 0;

	for (size_t i = 0; i < N; i++)
		if (wanted[i] > 0 && (first == 0 || wanted[i] < first))
			first = wanted[i];
	return first;
}

static void set(size_t i, uint64_t ms)
{
	wanted[i] = ms;
	due_set(&due, &environments[i], ms);
	cr_assert_eq(environments[i].recheck_ms, ms);
}

static void take(uint64_t now_ms)
{
	uint64_t first = earliest();
	struct environment_entry *taken = due_take(&due, now_ms);

	if (first == 0 || first > now_ms) {
		cr_assert_null(taken);
		return;
	}
	cr_assert(taken);
	cr_assert_eq(wanted[taken - environments], first);
	cr_assert_eq(taken->recheck_ms, 0);
	wanted[taken - environments] = 0;
}

Test(due, the_earliest_is_first_whatever_is_set_and_taken)
{
	cr_assert_eq(due_first_ms(&due), 0);
	cr_assert_null(due_take(&due, UINT64_MAX));
	cr_assert_eq(due_reserve(&due, N), 0);
	for (unsigned i = 0; i < EDITS; i++) {
		if (next(4) == 0)
			take(1 + next(TIMES));
		else
			set(next(N), next(3) ? 1 + next(TIMES) : 0);
		cr_assert_eq(due_first_ms(&due), earliest());
	}
	while (due_take(&due, UINT64_MAX))
		;
	cr_expect_eq(due.n, 0);
	due_clear(&due);
}

Test(due, room_grows_and_what_is_in_it_stays)
{
	for (size_t i = 0; i < N; i++) {
		cr_assert_eq(due_reserve(&due, i + 1), 0);
		set(i, N - i);
	}
	for (size_t i = N; i-- > 0;)
		cr_assert_eq(due_take(&due, N), &environments[i]);
	due_clear(&due);
}
