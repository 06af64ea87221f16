/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What schedctl's exit status means: a promise to scripts. Commands return 0 or -errno with a
 * struct error; only exit_status_of turns that into a status.
 */
#pragma once

enum exit_status {
	EXIT_DONE = 0,
	EXIT_FAILED = 1,    /* it was tried and did not work */
	EXIT_USAGE = 2,     /* the command line or the configuration is wrong; nothing was asked */
	EXIT_NOT_FOUND = 3, /* what was named does not exist */
	EXIT_REFUSED = 4,   /* understood and refused: no capacity, not allowed, in use */
	EXIT_UNREACHABLE = 5, /* no answer, or "not now": the same command may work later */
};

/* 0 -> done, -EINVAL -> usage, -ENOENT -> not found, -EPERM -> refused, -ENOTCONN ->
 * unreachable, anything else -> failed. Commands map the errors of what they call to these. */
enum exit_status exit_status_of(int errnum);
