/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Text that others wrote, made fit for a terminal, and the reading of answers' fields for people:
 * here a missing field is shown as missing and is no error.
 */
#pragma once

#include <stdarg.h>

#include "lib/json.h"
#include "lib/util.h"

/* Columns that UTF-8 text takes on a terminal: two for an ideograph, none for a mark on a letter.
 * What is no UTF-8 counts one for each byte. */
size_t text_width(const char *text);
/* Cuts text to so many columns, between characters. */
void text_cut(char *text, size_t width);

/* Replaces each control character by '?' (C0, DEL, and C1 in its two-byte UTF-8 form), since a
 * terminal would obey it, and each that turns the direction of writing, which would show text in
 * another order than it has: a '?' for each byte. */
void text_make_printable(char *text);

/* printf into a new string; NULL when out of memory. The caller frees it. */
char *text_format(const char *format, ...) _printf_(1, 2);
char *text_vformat(const char *format, va_list arguments) _printf_(1, 0);

/* The string at object[key], "" where there is none; borrowed. */
const char *text_field(const json_t *object, const char *key);

/* The whole number at object[key], 0 where there is none or it is negative. */
uint64_t number_field(const json_t *object, const char *key);
