/* SPDX-License-Identifier: GPL-2.0-or-later */
/* schedctl's settings, by way of lib/config. args.c has already taken the options apart, since they
 * may stand anywhere on the line; here they are handed on as if they stood first. */

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "lib/config.h"
#include "schedctl/settings.h"

static const struct option_spec options[] = {
	{ .name = "server",
	  .type = OPTION_STRING,
	  .offset = offsetof(struct settings, server),
	  .argument = "URL",
	  .help = "schedd",
	  .not_empty = true },
	{ .name = "token-file",
	  .type = OPTION_STRING,
	  .offset = offsetof(struct settings, token_file),
	  .argument = "FILE",
	  .help = "file with the token for schedd" },
	{ .name = "ca-file",
	  .type = OPTION_STRING,
	  .offset = offsetof(struct settings, ca_file),
	  .argument = "FILE",
	  .help = "certificates that schedd's may be signed by" },
	{ .name = "server-pin",
	  .type = OPTION_STRING,
	  .offset = offsetof(struct settings, server_pin),
	  .argument = "sha256//…",
	  .help = "fingerprint of schedd's key" },
	{ .name = "gateway",
	  .type = OPTION_STRING,
	  .offset = offsetof(struct settings, gateway),
	  .argument = "SOCKET",
	  .help = "gatewayd's socket",
	  .command_line_only = true,
	  .not_empty = true },
	{ .name = "output",
	  .type = OPTION_STRING,
	  .offset = offsetof(struct settings, output),
	  .fallback = "table",
	  .argument = "FORMAT",
	  .help = "form of output",
	  .not_empty = true },
};

static const struct program_spec program = {
	.name = "schedctl",
	.summary = "asks schedd",
	.options = options,
	.n_options = ARRAY_SIZE(options),
	.default_file = "/etc/portico/schedctl.conf",
};

struct words {
	char *items[20];
	int n;
};

static void add(struct words *words, const char *option, const char *text)
{
	if (!text)
		return;
	words->items[words->n++] = (char *)option;
	words->items[words->n++] = (char *)text;
}

/* The command line's, also where it is empty, or the environment's; NULL: neither says. */
static const char *choose(const struct args *args, const char *option, const char *variable)
{
	const char *text = args_text(args, option);

	if (text)
		return text;
	text = getenv(variable);
	return text && *text ? text : NULL;
}

/* Where nothing says which schedd: the one of this machine, by its socket where that may be opened,
 * since root needs no token there. */
static int find_server(struct settings *settings)
{
	bool socket;

	if (settings->server)
		return 0;
	socket = access(SETTINGS_SCHEDD_SOCKET, W_OK) == 0;
	settings->only_gateway = !socket && access(SETTINGS_GATEWAYD_SOCKET, W_OK) == 0;
	settings->server =
		strdup(socket ? "unix:" SETTINGS_SCHEDD_SOCKET : "http://127.0.0.1:8000");
	return settings->server ? 0 : -ENOMEM;
}

int settings_load(const struct args *args, struct settings *ret, struct error *err)
{
	struct words words = { .items = { (char *)"schedctl" }, .n = 1 };
	enum config_outcome outcome;
	int r;

	*ret = (struct settings){ 0 };
	add(&words, "--config", args_text(args, "config"));
	add(&words, "--server", choose(args, "server", "PORTICO_SERVER"));
	add(&words, "--token-file", choose(args, "token-file", "PORTICO_TOKEN_FILE"));
	add(&words, "--ca-file", choose(args, "ca-file", "PORTICO_CA_FILE"));
	add(&words, "--server-pin", choose(args, "server-pin", "PORTICO_SERVER_PIN"));
	add(&words, "--gateway", args_text(args, "gateway"));
	add(&words, "--output", args_text(args, "output"));
	r = config_load(&program, words.n, words.items, ret, &outcome, NULL, err);
	if (r < 0 && r != -ENOMEM)
		return error_set(err, -EINVAL, "usage", NULL, "the configuration cannot be read");
	return r < 0 ? r : find_server(ret);
}

void settings_clear(struct settings *settings)
{
	config_clear(&program, settings);
}
