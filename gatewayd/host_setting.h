/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Host settings by their sysctl names, of this process's network namespace. As in sysctl(8), a '/'
 * in a name stands for a dot of a link's name: "net.ipv4.conf.eth0/7.rp_filter".
 */
#pragma once

#include "lib/util.h"

/* The first line; the caller frees it. NULL where it cannot be read. */
char *host_setting_read(const char *name);
/* -ENOENT, -EINVAL (not a number), and others of open(2). */
int host_setting_read_uint(const char *name, uint64_t *ret) _must_check_;
int host_setting_write(const char *name, const char *value) _must_check_;

/* "net.ipv4.conf.LINK.WHAT" of a link whose name may have dots. */
#define HOST_SETTING_MAX 80
const char *host_setting_of_link(const char *link, const char *what, char buffer[HOST_SETTING_MAX]);
