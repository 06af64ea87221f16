/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Counts how often the disk is waited for: of one test program, which is linked with
 * -Wl,--wrap=fsync. */
#pragma once

#include <unistd.h>

static unsigned syncs;

int __real_fsync(int fd);
int __wrap_fsync(int fd);
int __wrap_fsync(int fd)
{
	syncs++;
	return __real_fsync(fd);
}
