/* SPDX-License-Identifier: GPL-2.0-or-later */
/* schedctl's few settings: command line over PORTICO_SERVER and its like over
 * /etc/portico/schedctl.conf over what is on this machine. No file is needed.
 */
#pragma once

#include "lib/error.h"
#include "lib/util.h"
#include "schedctl/args.h"

/* Where the units of this machine listen. */
#define SETTINGS_SCHEDD_SOCKET "/run/portico/schedd.sock"
#define SETTINGS_GATEWAYD_SOCKET "/run/portico/gatewayd.sock"

struct settings {
	char *server;
	char *token_file; /* NULL: no token */
	char *ca_file;    /* NULL: the system's */
	char *server_pin; /* NULL: none */
	char *gateway;    /* NULL: schedd is meant */
	char *output;
	bool only_gateway; /* nothing names a schedd, and of the two this machine has gatewayd */
};

/* -EINVAL with a sentence, -ENOMEM. *ret is overwritten, also on failure: free it with
 * settings_clear. */
int settings_load(const struct args *args, struct settings *ret, struct error *err) _must_check_;
void settings_clear(struct settings *settings);
