/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Decimal numbers in text. */
#pragma once

#include "lib/util.h"

/* Decimal digits and nothing else, or, with *ret_end not NULL, up to the first other character,
 * which it gets. -EINVAL where there is no digit or something follows, -ERANGE over 64 bits. */
int number_parse(const char *text, uint64_t *ret, const char **ret_end) _must_check_;
