/* SPDX-License-Identifier: GPL-2.0-or-later */
/* schedctl's settings, by way of lib/config. args.c has already taken the options apart, since they
 * may stand anywhere on the line; here they are handed on as if they stood first. */

#include <errno.h>

#include "lib/config.h"
#include "schedctl/settings.h"

static const struct option_spec options[] = {
	{ .name = "server",
	  .type = OPTION_STRING,
	  .offset = offsetof(struct settings, server),
	  .fallback = "http://127.0.0.1:8000",
	  .argument = "URL",
	  .help = "schedd" },
	{ .name = "token-file",
	  .type = OPTION_STRING,
	  .offset = offsetof(struct settings, token_file),
	  .argument = "FILE",
	  .help = "file with the token for schedd" },
	{ .name = "gateway",
	  .type = OPTION_STRING,
	  .offset = offsetof(struct settings, gateway),
	  .argument = "SOCKET",
	  .help = "gatewayd's socket",
	  .command_line_only = true },
	{ .name = "output",
	  .type = OPTION_STRING,
	  .offset = offsetof(struct settings, output),
	  .fallback = "table",
	  .argument = "FORMAT",
	  .help = "form of output" },
};

static const struct program_spec program = {
	.name = "schedctl",
	.summary = "asks schedd",
	.options = options,
	.n_options = ARRAY_SIZE(options),
	.default_file = "/etc/portico/schedctl.conf",
};

struct words {
	char *items[16];
	int n;
};

static void add(struct words *words, const char *option, const char *text)
{
	if (!text)
		return;
	words->items[words->n++] = (char *)option;
	words->items[words->n++] = (char *)text;
}

int settings_load(const struct args *args, struct settings *ret, struct error *err)
{
	struct words words = { .items = { (char *)"schedctl" }, .n = 1 };
	const char *server = args_text(args, "server");
	const char *token_file = args_text(args, "token-file");
	enum config_outcome outcome;
	int r;

	if (!server)
		server = getenv("PORTICO_SERVER");
	if (!token_file)
		token_file = getenv("PORTICO_TOKEN_FILE");
	*ret = (struct settings){ 0 };
	add(&words, "--config", args_text(args, "config"));
	add(&words, "--server", server && *server ? server : NULL);
	add(&words, "--token-file", token_file && *token_file ? token_file : NULL);
	add(&words, "--gateway", args_text(args, "gateway"));
	add(&words, "--output", args_text(args, "output"));
	r = config_load(&program, words.n, words.items, ret, &outcome, NULL, err);
	if (r < 0 && r != -ENOMEM)
		return error_set(err, -EINVAL, "usage", NULL, "the configuration cannot be read");
	return r;
}

void settings_clear(struct settings *settings)
{
	config_clear(&program, settings);
}
