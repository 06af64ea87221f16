/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The elements of a set of intervals, as the kernel hands them out in no order that it promises,
 * put together to intervals again: each first value with the end that follows it.
 */
#include "gatewayd/intervals.h"

#include <errno.h>
#include <string.h>

#include "lib/array.h"

void intervals_clear(struct intervals *intervals)
{
	free(intervals->starts);
	free(intervals->ends);
	*intervals = INTERVALS_INIT;
}

static int add_end(struct intervals *intervals, const struct member_key *key)
{
	struct member_key *grown = array_grow(intervals->ends, sizeof(*grown), intervals->n_ends,
					      &intervals->ends_allocated);

	if (!grown)
		return -ENOMEM;
	intervals->ends = grown;
	grown[intervals->n_ends++] = *key;
	return 0;
}

int intervals_add(struct intervals *intervals, const struct element *element)
{
	struct element *grown;

	if (element->interval_end)
		return add_end(intervals, &element->key);
	grown = array_grow(intervals->starts, sizeof(*grown), intervals->n_starts,
			   &intervals->starts_allocated);
	if (!grown)
		return -ENOMEM;
	intervals->starts = grown;
	grown[intervals->n_starts++] = *element;
	return 0;
}

static int compare_keys(const void *a, const void *b)
{
	const struct member_key *left = a, *right = b;

	return memcmp(left->key, right->key, left->length);
}

static int compare_elements(const void *a, const void *b)
{
	const struct element *left = a, *right = b;

	return compare_keys(&left->key, &right->key);
}

/* The value before one that is not zero. */
static void before(const struct member_key *key, uint8_t ret[SHAPE_KEY_MAX])
{
	memcpy(ret, key->key, key->length);
	for (size_t i = key->length; i > 0; i--)
		if (ret[i - 1]-- != 0)
			return;
}

int intervals_take(struct intervals *intervals,
		   int (*on_interval)(const struct element *element, void *userdata),
		   void *userdata)
{
	size_t e = 0;
	int r = 0;

	if (intervals->n_starts > 0)
		qsort(intervals->starts, intervals->n_starts, sizeof(*intervals->starts),
		      compare_elements);
	if (intervals->n_ends > 0)
		qsort(intervals->ends, intervals->n_ends, sizeof(*intervals->ends), compare_keys);
	for (size_t s = 0; r == 0 && s < intervals->n_starts; s++) {
		struct member_key *key = &intervals->starts[s].key;

		while (e < intervals->n_ends && compare_keys(&intervals->ends[e], key) <= 0)
			e++;
		key->end_length = key->length;
		/* What has no end goes on to the last value of all. */
		if (e < intervals->n_ends)
			before(&intervals->ends[e], key->end);
		else
			memset(key->end, 0xff, key->length);
		r = on_interval(&intervals->starts[s], userdata);
	}
	intervals_clear(intervals);
	return r;
}
