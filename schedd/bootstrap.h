/* SPDX-License-Identifier: GPL-2.0-or-later */
/* schedd --bootstrap: the first admin token, into a file that only its owner can read. It runs as
 * the leader, once, and listens nowhere.
 *
 * Repeating it changes nothing: where the file has a valid admin token, that is success; where it
 * has anything else, or where an admin's token exists already, it fails and says what to do. The
 * file is written before the row, so no token is made that nobody has; it is never overwritten.
 */
#pragma once

#include "schedd/options.h"

/* True: there is an admin token in the file. What went wrong was logged. */
bool bootstrap_run(const struct options *options, struct settings *settings);
