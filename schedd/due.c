/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A binary heap in an array: the children of i are at 2i + 1 and 2i + 2. */
#include "schedd/due.h"

#include <assert.h>
#include <errno.h>

#include "schedd/state.h"

/* An index of 0 says that it is not in the heap, so they begin at 1. */
static void put(struct due *due, size_t i, struct environment_entry *environment)
{
	due->items[i] = environment;
	environment->due_index = i + 1;
}

static bool is_earlier(const struct due *due, size_t a, size_t b)
{
	return due->items[a]->recheck_ms < due->items[b]->recheck_ms;
}

static void swap(struct due *due, size_t a, size_t b)
{
	struct environment_entry *environment = due->items[a];

	put(due, a, due->items[b]);
	put(due, b, environment);
}

static void rise(struct due *due, size_t i)
{
	for (; i > 0 && is_earlier(due, i, (i - 1) / 2); i = (i - 1) / 2)
		swap(due, i, (i - 1) / 2);
}

static void sink(struct due *due, size_t i)
{
	for (;;) {
		size_t child = 2 * i + 1;

		if (child + 1 < due->n && is_earlier(due, child + 1, child))
			child++;
		if (child >= due->n || !is_earlier(due, child, i))
			return;
		swap(due, i, child);
		i = child;
	}
}

int due_reserve(struct due *due, size_t n)
{
	struct environment_entry **items;

	if (n <= due->capacity)
		return 0;
	n = MAX(n, 2 * due->capacity);
	items = reallocarray(due->items, n, sizeof(struct environment_entry *));
	if (!items)
		return -ENOMEM;
	due->items = items;
	due->capacity = n;
	return 0;
}

static void take_out(struct due *due, struct environment_entry *environment)
{
	size_t i = environment->due_index - 1, last = --due->n;

	environment->due_index = 0;
	if (i == last)
		return;
	put(due, i, due->items[last]);
	rise(due, i);
	sink(due, i);
}

void due_set(struct due *due, struct environment_entry *environment, uint64_t ms)
{
	if (environment->due_index > 0)
		take_out(due, environment);
	environment->recheck_ms = ms;
	if (ms == 0)
		return;
	assert(due->n < due->capacity);
	put(due, due->n++, environment);
	rise(due, due->n - 1);
}

uint64_t due_first_ms(const struct due *due)
{
	return due->n > 0 ? due->items[0]->recheck_ms : 0;
}

struct environment_entry *due_take(struct due *due, uint64_t now_ms)
{
	struct environment_entry *first;

	if (due->n == 0 || due->items[0]->recheck_ms > now_ms)
		return NULL;
	first = due->items[0];
	due_set(due, first, 0);
	return first;
}

void due_clear(struct due *due)
{
	free(due->items);
	*due = (struct due){ 0 };
}
