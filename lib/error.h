/* SPDX-License-Identifier: GPL-2.0-or-later */
/* An error with a sentence, where an errno value alone would not tell a person what to do.
 *
 * struct error is plain data on the caller's stack; it owns no memory. Every function that
 * takes a `struct error *` accepts NULL.
 */
#pragma once

#include "lib/util.h"

#define ERROR_FIELD_MAX 96
#define ERROR_MESSAGE_MAX 512

struct error {
	int errnum;                  /* negative errno value, 0 while no error is set */
	const char *code;            /* static, for programs: "invalid", "conflict", … */
	char field[ERROR_FIELD_MAX]; /* path of the offending field, "" if none: "target.port" */
	char message[ERROR_MESSAGE_MAX]; /* one sentence for a person, without a full stop */
};

#define ERROR_INIT ((struct error){ 0 })

/* Sets *err (if not NULL) and returns errnum, so that a caller may write
 * `return error_set(err, -EINVAL, "invalid", "port", "…")`. errnum is negative; code must be
 * static; field may be NULL. Text over the limits is cut. The first error of a struct stays:
 * a second call on the same struct only returns errnum. */
int error_set(struct error *err, int errnum, const char *code, const char *field,
	      const char *format, ...) _printf_(5, 6);

/* The sentence of *err, or strerror's text for errnum where none was set. The pointer is valid
 * as long as err, or until the next call in this thread. */
const char *error_text(const struct error *err, int errnum);
