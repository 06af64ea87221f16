/* SPDX-License-Identifier: GPL-2.0-or-later */
/* One gatewayd per network namespace: a lock file in the run folder, named after the namespace. The
 * kernel lets go of the lock when its holder ends, however that happens.
 */
#pragma once

#include "lib/error.h"
#include "lib/util.h"

/* Takes the lock; keep *ret_fd open for as long as it is needed. Makes the folder where it is
 * missing. -EBUSY with the holder's pid in the sentence. */
int lock_take(const char *folder, int *ret_fd, struct error *err) _must_check_;
