/* SPDX-License-Identifier: GPL-2.0-or-later */
/* One gatewayd per network namespace: a lock file in the run folder, named after the namespace. The
 * kernel lets go of the lock when its holder ends, however that happens.
 */
#pragma once

#include <limits.h>

#include "lib/error.h"
#include "lib/util.h"

/* Takes the lock; keep *ret_fd open for as long as it is needed. Makes the folder where it is
 * missing. -EBUSY with the holder's pid in the sentence. */
int lock_take(const char *folder, int *ret_fd, struct error *err) _must_check_;

/* A file of this network namespace's own in the run folder: "FOLDER/gatewayd-4026531840.SUFFIX". */
int lock_file_path(const char *folder, const char *suffix, char path[PATH_MAX], struct error *err)
	_must_check_;

/* Locks an open file or folder. The locks of a process that was killed go one by one, so that one
 * is waited for during a second; -EBUSY then. */
int lock_wait(int fd) _must_check_;
