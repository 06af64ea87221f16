/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Amounts as people write and read them. Decimal text is read into integers, never by way of
 * floating point, so that what is asked for is exactly what is sent.
 */

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>

#include "schedctl/quantity.h"

#define FRACTION_DIGITS_MAX 9

/* value / divisor, with divisor a power of ten. */
struct decimal {
	uint64_t value;
	uint64_t divisor;
};

static bool is_digit(char c)
{
	return c >= '0' && c <= '9';
}

static int decimal_add_digit(struct decimal *decimal, char digit)
{
	if (__builtin_mul_overflow(decimal->value, 10, &decimal->value) ||
	    __builtin_add_overflow(decimal->value, (uint64_t)(digit - '0'), &decimal->value))
		return -ERANGE;
	return 0;
}

/* Reads digits, and perhaps a point and more digits; *ret_end is behind them. */
static int decimal_parse(const char *text, struct decimal *ret, const char **ret_end)
{
	struct decimal decimal = { .divisor = 1 };
	unsigned n_fraction = 0;
	int r = 0;

	if (!is_digit(*text))
		return -EINVAL;
	for (; r == 0 && is_digit(*text); text++)
		r = decimal_add_digit(&decimal, *text);
	if (r == 0 && *text == '.') {
		text++;
		if (!is_digit(*text))
			return -EINVAL;
		for (; r == 0 && is_digit(*text); text++) {
			if (++n_fraction > FRACTION_DIGITS_MAX)
				return -EINVAL;
			r = decimal_add_digit(&decimal, *text);
			decimal.divisor *= 10;
		}
	}
	if (r < 0)
		return r;
	*ret = decimal;
	*ret_end = text;
	return 0;
}

/* decimal * factor; -EINVAL where that is no whole number. */
static int decimal_scale(const struct decimal *decimal, uint64_t factor, uint64_t *ret)
{
	unsigned __int128 scaled = (unsigned __int128)decimal->value * factor;

	if (scaled % decimal->divisor != 0)
		return -EINVAL;
	scaled /= decimal->divisor;
	if (scaled > UINT64_MAX)
		return -ERANGE;
	*ret = (uint64_t)scaled;
	return 0;
}

int cpu_parse(const char *text, uint64_t *ret_milli)
{
	struct decimal decimal;
	uint64_t factor = 1000;
	const char *end;
	int r;

	r = decimal_parse(text, &decimal, &end);
	if (r < 0)
		return r;
	if (*end == 'm') {
		factor = 1;
		end++;
	}
	if (*end != '\0')
		return -EINVAL;
	return decimal_scale(&decimal, factor, ret_milli);
}

/* Takes a unit letter and what may follow it. Returns the power of two, or -EINVAL. */
static int unit_shift(const char *unit)
{
	int shift;

	switch (*unit) {
	case '\0':
		return 0;
	case 'k':
	case 'K':
		shift = 10;
		break;
	case 'm':
	case 'M':
		shift = 20;
		break;
	case 'g':
	case 'G':
		shift = 30;
		break;
	case 't':
	case 'T':
		shift = 40;
		break;
	default:
		return -EINVAL;
	}
	unit++;
	if (*unit == 'i')
		unit++;
	if (*unit == 'B' || *unit == 'b')
		unit++;
	return *unit == '\0' ? shift : -EINVAL;
}

int memory_parse(const char *text, uint64_t *ret_bytes)
{
	struct decimal decimal;
	const char *unit;
	int r, shift;

	r = decimal_parse(text, &decimal, &unit);
	if (r < 0)
		return r;
	shift = unit_shift(unit);
	if (shift < 0)
		return shift;
	return decimal_scale(&decimal, UINT64_C(1) << shift, ret_bytes);
}

/* "1.50" -> "1.5", "2.00" -> "2"; buffer holds a number with a point. */
static void trim_fraction(char *buffer, int length)
{
	while (length > 0 && buffer[length - 1] == '0')
		buffer[--length] = '\0';
	if (length > 0 && buffer[length - 1] == '.')
		buffer[--length] = '\0';
}

const char *cpu_format(uint64_t milli, char buffer[QUANTITY_STRING_MAX])
{
	int length = snprintf(buffer, QUANTITY_STRING_MAX, "%" PRIu64 ".%03" PRIu64, milli / 1000,
			      milli % 1000);

	trim_fraction(buffer, length);
	return buffer;
}

const char *memory_format(uint64_t bytes, char buffer[QUANTITY_STRING_MAX])
{
	static const char *const units[] = { "B", "Ki", "Mi", "Gi", "Ti", "Pi", "Ei" };
	unsigned unit = 0;
	uint64_t hundredths;
	char number[QUANTITY_STRING_MAX / 2];
	int length;

	while (unit + 1 < ARRAY_SIZE(units) && bytes >> (10 * (unit + 1)) != 0)
		unit++;
	hundredths = (uint64_t)(((unsigned __int128)bytes * 100) >> (10 * unit));
	length = snprintf(number, sizeof(number), "%" PRIu64 ".%02" PRIu64, hundredths / 100,
			  hundredths % 100);
	trim_fraction(number, length);
	(void)snprintf(buffer, QUANTITY_STRING_MAX, "%s%s", number, units[unit]);
	return buffer;
}

const char *age_format(int64_t seconds, char buffer[QUANTITY_STRING_MAX])
{
	static const struct {
		int64_t seconds;
		char letter;
	} units[] = { { 86400, 'd' }, { 3600, 'h' }, { 60, 'm' } };

	if (seconds < 0)
		seconds = 0;
	for (size_t i = 0; i < ARRAY_SIZE(units); i++) {
		if (seconds < units[i].seconds)
			continue;
		(void)snprintf(buffer, QUANTITY_STRING_MAX, "%" PRId64 "%c",
			       seconds / units[i].seconds, units[i].letter);
		return buffer;
	}
	(void)snprintf(buffer, QUANTITY_STRING_MAX, "%" PRId64 "s", seconds);
	return buffer;
}
