/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Deletes a folder whose content strangers wrote: follows no link, and crosses no mount. */
#pragma once

#include <stdatomic.h>

#include "lib/util.h"

/* Deletes name in the folder dir, and what is in it. *stop, once true, ends it with -ECANCELED
 * (the rest is still there). -EXDEV at a mount point; -errno. */
int remove_tree(int dir, const char *name, const atomic_bool *stop) _must_check_;
