/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The one place that turns an errno value into schedctl's exit status. */

#include <errno.h>

#include "schedctl/exit_status.h"

enum exit_status exit_status_of(int errnum)
{
	switch (errnum) {
	case 0:
		return EXIT_DONE;
	case -EINVAL:
		return EXIT_USAGE;
	case -ENOENT:
		return EXIT_NOT_FOUND;
	case -EPERM:
		return EXIT_REFUSED;
	case -ENOTCONN:
		return EXIT_UNREACHABLE;
	default:
		return EXIT_FAILED;
	}
}
