/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Arrays that grow by one item at a time. */
#include "lib/array.h"

#define FIRST 16

void *array_grow(void *items, size_t size, size_t n, size_t *allocated)
{
	size_t wanted = *allocated ? 2 * *allocated : FIRST;
	void *grown;

	if (n < *allocated)
		return items;
	grown = reallocarray(items, wanted, size);
	if (grown)
		*allocated = wanted;
	return grown;
}
