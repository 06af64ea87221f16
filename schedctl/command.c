/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The list of nouns, the global options, and --help, which is made from the tables alone. */

#include <string.h>

#include "schedctl/command.h"

#define HELP_COLUMN 30

static const struct noun *const nouns[] = { &noun_env,     &noun_host,     &noun_port,
					    &noun_gateway, &noun_customer, &noun_token,
					    &noun_session, &noun_doctor,   &noun_completion,
					    &noun_ban,     &noun_top,      &noun_events,
					    &noun_quota,   &noun_usage };

static const struct args_option global_options[] = {
	{ .name = "server",
	  .argument = "URL",
	  .help = "schedd: http://HOST:PORT, https://… or unix:/PATH (default: PORTICO_SERVER, the "
		  "configuration file, schedd here)" },
	{ .name = "token-file",
	  .argument = "FILE",
	  .help = "file with the token for schedd (default: PORTICO_TOKEN_FILE, the configuration "
		  "file); root needs none with --server unix:/PATH" },
	{ .name = "ca-file",
	  .argument = "FILE",
	  .help = "certificates that schedd's may be signed by (default: PORTICO_CA_FILE, the "
		  "configuration file, the system's)" },
	{ .name = "server-pin",
	  .argument = "PIN",
	  .help = "schedd's key as schedd logs it, sha256//…, instead of --ca-file (default: "
		  "PORTICO_SERVER_PIN, the configuration file)" },
	{ .name = "gateway",
	  .argument = "SOCKET",
	  .help = "talk to gatewayd itself (default, for what only a gateway does: /run/portico/gatewayd.sock)" },
	{ .name = "output",
	  .letter = 'o',
	  .argument = "FORMAT",
	  .help = "table (default), wide, json or name" },
	{ .name = "config",
	  .argument = "FILE",
	  .help = "configuration file (default: /etc/portico/schedctl.conf)" },
	{ .name = "version", .help = "print the version" },
	{ .name = "help", .letter = 'h', .help = "print this help" },
};

const struct args_table command_global_options = { global_options, ARRAY_SIZE(global_options) };

const struct noun *command_noun(size_t i)
{
	return i < ARRAY_SIZE(nouns) ? nouns[i] : NULL;
}

const struct noun *command_find_noun(const char *name)
{
	for (size_t i = 0; i < ARRAY_SIZE(nouns); i++) {
		if (strcmp(nouns[i]->name, name) == 0)
			return nouns[i];
	}
	return NULL;
}

const struct command *command_find(const struct noun *noun, const char *verb)
{
	for (size_t i = 0; i < noun->n_commands; i++) {
		if (strcmp(noun->commands[i].verb, verb) == 0)
			return &noun->commands[i];
	}
	return NULL;
}

static void help_options(FILE *out, const struct args_table *table)
{
	for (size_t i = 0; i < table->n; i++) {
		const struct args_option *option = &table->options[i];
		int width;

		if (option->letter)
			width = fprintf(out, "  -%c, --%s", option->letter, option->name);
		else
			width = fprintf(out, "      --%s", option->name);
		if (option->argument)
			width += fprintf(out, " %s", option->argument);
		if (width >= HELP_COLUMN)
			(void)fprintf(out, "\n%*s%s\n", HELP_COLUMN, "", option->help);
		else
			(void)fprintf(out, "%*s%s\n", HELP_COLUMN - width, "", option->help);
	}
}

static void help_verbs(FILE *out, const struct noun *noun)
{
	if (noun->alone) {
		(void)fprintf(out, "  %-20s %s\n", noun->name, noun->commands[0].summary);
		return;
	}
	for (size_t i = 0; i < noun->n_commands; i++)
		(void)fprintf(out, "  %-8s %-11s %s\n", noun->name, noun->commands[i].verb,
			      noun->commands[i].summary);
}

static void help_program(FILE *out)
{
	(void)fputs("Usage: schedctl [OPTION…] NOUN VERB [ARGUMENT…]\n"
		    "Asks schedd for environments and shows hosts, ports and gateways.\n\n"
		    "Commands:\n",
		    out);
	for (size_t i = 0; i < ARRAY_SIZE(nouns); i++)
		help_verbs(out, nouns[i]);
	(void)fputs("\nOptions:\n", out);
	help_options(out, &command_global_options);
	(void)fputs("\nExit status: 0 done, 1 failed, 2 usage, 3 not found, 4 refused, "
		    "5 unreachable.\n"
		    "More: schedctl NOUN VERB --help\n",
		    out);
}

static void help_command(FILE *out, const struct noun *noun, const struct command *command)
{
	const struct args_table none = { 0 };
	const struct args_table *options = command->options ? command->options : &none;

	(void)fprintf(out, "Usage: schedctl %s%s%s%s%s%s%s\n%s.\n",
		      command->sides == SIDE_GATEWAY ? "[--gateway SOCKET] " : "", noun->name,
		      noun->alone ? "" : " ", command->verb, options->n > 0 ? " [OPTION…]" : "",
		      command->arguments ? " " : "", command->arguments ? command->arguments : "",
		      command->summary);
	if (command->details)
		(void)fprintf(out, "\n%s\n", command->details);
	if (options->n > 0) {
		(void)fputs("\nOptions:\n", out);
		help_options(out, options);
	}
	(void)fputs("\nOptions of every command:\n", out);
	help_options(out, &command_global_options);
}

void command_help(FILE *out, const struct noun *noun, const struct command *command)
{
	if (!noun) {
		help_program(out);
	} else if (command) {
		help_command(out, noun, command);
	} else {
		(void)fprintf(out, "Usage: schedctl %s VERB [ARGUMENT…]\n%s.\n\nCommands:\n",
			      noun->name, noun->summary);
		help_verbs(out, noun);
		(void)fprintf(out, "\nMore: schedctl %s VERB --help\n", noun->name);
	}
}
