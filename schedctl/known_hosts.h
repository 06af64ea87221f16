/* SPDX-License-Identifier: GPL-2.0-or-later */
/* One known_hosts file for each environment, private to the user, under $XDG_RUNTIME_DIR/portico,
 * $XDG_CACHE_HOME/portico or ~/.cache/portico.
 */
#pragma once

#include "lib/error.h"
#include "lib/util.h"

/* Writes the environment's key there, by its id, and makes the option for ssh:
 * 'UserKnownHostsFile="…"'. *ret_option is owned by the caller. With an empty key the file is left
 * as it is. id must be a plain word; a key that is not one line of two or three words is -EPROTO.
 */
int known_hosts_write(const char *id, const char *key, char **ret_option, struct error *err)
	_must_check_;

/* The option's text for a path, quoted for ssh's own parser. NULL: out of memory. */
char *known_hosts_option(const char *path);
