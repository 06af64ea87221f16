/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Arrays that grow by one item at a time. */
#pragma once

#include "lib/util.h"

/* The items, of which there are n of this size, with room for one more; they may be elsewhere then.
 * NULL when out of memory: they stay as they are. */
void *array_grow(void *items, size_t size, size_t n, size_t *allocated);
