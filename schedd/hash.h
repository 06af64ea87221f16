/* SPDX-License-Identifier: GPL-2.0-or-later */
/* uthash, set so that it never ends the process when memory runs out: an element that could not be
 * added has hh.tbl == NULL. */
#pragma once

#define HASH_NONFATAL_OOM 1
#define uthash_nonfatal_oom(element) \
	do {                         \
	} while (0)

#include <uthash.h>
#include <utlist.h>
