/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Fills struct error; see the header for the rules. */
#include "lib/error.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

int error_set(struct error *err, int errnum, const char *code, const char *field,
	      const char *format, ...)
{
	va_list args;

	if (!err || err->errnum)
		return errnum;
	err->errnum = errnum;
	err->code = code;
	snprintf(err->field, sizeof(err->field), "%s", field ? field : "");
	va_start(args, format);
	vsnprintf(err->message, sizeof(err->message), format, args);
	va_end(args);
	return errnum;
}

const char *error_text(const struct error *err, int errnum)
{
	if (err && err->errnum && err->message[0])
		return err->message;
	return strerrordesc_np(errnum < 0 ? -errnum : errnum) ?: "unknown error";
}
