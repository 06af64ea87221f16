/* SPDX-License-Identifier: GPL-2.0-or-later */
/* UTF-8 in texts that come from anywhere, or were cut to a limit. PostgreSQL and JSON take nothing
 * else: one bad byte and the whole commit, or the whole list, is refused.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

/* The length of the sequence at text, of so many bytes (at least one); 0 where there is none that
 * is whole and right. */
size_t utf8_sequence(const char *text, size_t length);

bool utf8_is_valid(const char *text);

/* The length of text without a sequence at its end that more bytes may complete. */
size_t utf8_whole_length(const char *text, size_t length);

/* Drops the piece of a sequence that a cut has left at the end, and puts "?" for each other byte
 * that is none of UTF-8. */
void utf8_mend(char *text);
