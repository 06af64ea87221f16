/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Decimal numbers in text: strtoull without its signs, blanks and silent overflow. */
#include "lib/number.h"

#include <errno.h>

int number_parse(const char *text, uint64_t *ret, const char **ret_end)
{
	uint64_t value = 0;

	if (*text < '0' || *text > '9')
		return -EINVAL;
	for (; *text >= '0' && *text <= '9'; text++)
		if (__builtin_mul_overflow(value, 10u, &value) ||
		    __builtin_add_overflow(value, (uint64_t)(*text - '0'), &value))
			return -ERANGE;
	if (!ret_end && *text)
		return -EINVAL;
	*ret = value;
	if (ret_end)
		*ret_end = text;
	return 0;
}
