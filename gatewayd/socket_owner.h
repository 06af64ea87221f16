/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Which process has a socket open, as far as /proc shows it. For sentences only: it is slow, and
 * without privilege it sees the processes of its own user only.
 */
#pragma once

#include "lib/util.h"

#define SOCKET_OWNER_MAX 48

/* "sshd, pid 812" of the first process of this network namespace that has it open. False where
 * there is none to see. */
bool socket_owner_find(uint32_t inode, char ret[SOCKET_OWNER_MAX]);
