/* SPDX-License-Identifier: GPL-2.0-or-later */
/* schedctl's way from the command line to the exit status. */

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "schedctl/command.h"
#include "schedctl/exit_status.h"
#include "schedctl/settings.h"

/* What has been understood of the command line. */
struct invocation {
	const struct noun *noun;
	const struct command *command;
};

static int on_noun(struct invocation *invocation, const char *word, struct args_table *options,
		   struct error *err)
{
	invocation->noun = command_find_noun(word);
	if (!invocation->noun)
		return error_set(err, -EINVAL, "usage", NULL,
				 "there is no \"%s\"; see schedctl --help", word);
	if (invocation->noun->alone)
		invocation->command = &invocation->noun->commands[0];
	if (invocation->command && invocation->command->options)
		*options = *invocation->command->options;
	return 1;
}

static int on_verb(struct invocation *invocation, const char *word, struct args_table *options,
		   struct error *err)
{
	const struct command *command = command_find(invocation->noun, word);

	if (!command)
		return error_set(err, -EINVAL, "usage", NULL,
				 "%s has no verb \"%s\"; see schedctl %s --help",
				 invocation->noun->name, word, invocation->noun->name);
	invocation->command = command;
	if (command->options)
		*options = *command->options;
	return 1;
}

static int on_word(void *userdata, const char *word, struct args_table *options, bool *verbatim,
		   struct error *err)
{
	struct invocation *invocation = userdata;

	if (!invocation->noun)
		return on_noun(invocation, word, options, err);
	if (!invocation->command)
		return on_verb(invocation, word, options, err);
	*verbatim = invocation->command->verbatim;
	return 0;
}

#define NAME_MAX_BYTES 40

/* "env list", or "doctor" where the noun is all of it. */
static const char *full_name(const struct invocation *invocation, char buffer[NAME_MAX_BYTES])
{
	(void)snprintf(buffer, NAME_MAX_BYTES, "%s%s%s", invocation->noun->name,
		       invocation->noun->alone ? "" : " ", invocation->command->verb);
	return buffer;
}

static int check_arguments(const struct invocation *invocation, const struct args *args,
			   struct error *err)
{
	const struct command *command = invocation->command;
	const char *noun = invocation->noun ? invocation->noun->name : NULL;
	char name[NAME_MAX_BYTES];

	if (!noun)
		return error_set(err, -EINVAL, "usage", NULL,
				 "say what to do: schedctl NOUN VERB; see schedctl --help");
	if (!command)
		return error_set(err, -EINVAL, "usage", NULL,
				 "say what to do with %s; see schedctl %s --help", noun, noun);
	(void)full_name(invocation, name);
	if (args->n_positional < command->min_arguments)
		return error_set(err, -EINVAL, "usage", NULL, "%s needs %s; see schedctl %s --help",
				 name, command->arguments, name);
	if (args->n_positional > command->max_arguments)
		return error_set(err, -EINVAL, "usage", NULL,
				 "%s does not know what to do with \"%s\"; see schedctl %s --help",
				 name, args->positional[command->max_arguments], name);
	return 0;
}

/* The socket of the gateway that is asked; NULL: schedd is. Without --gateway it is the one of this
 * machine, for what only a gateway does, and for what both do where there is nobody else. */
static const char *choose_gateway(const struct command *command, const struct settings *settings)
{
	if (settings->gateway)
		return settings->gateway;
	if (command->sides == SIDE_GATEWAY ||
	    (settings->only_gateway && (command->sides & SIDE_GATEWAY)))
		return SETTINGS_GATEWAYD_SOCKET;
	return NULL;
}

static int check_side(const struct invocation *invocation, enum command_side side,
		      struct error *err)
{
	char name[NAME_MAX_BYTES];

	if (invocation->command->sides & side)
		return 0;
	return error_set(err, -EINVAL, "usage", "gateway",
			 "%s asks schedd, not a gateway: leave out --gateway",
			 full_name(invocation, name));
}

static int run_command(const struct invocation *invocation, const struct args *args,
		       const struct settings *settings, struct error *err)
{
	_cleanup_(cleanup_client) struct client *client = NULL;
	const char *gateway = choose_gateway(invocation->command, settings);
	enum output_format format = output_format_parse(settings->output);
	struct context context = { .side = gateway ? SIDE_GATEWAY : SIDE_SCHEDD };
	int r;

	if (format == OUTPUT_INVALID)
		return error_set(err, -EINVAL, "usage", "output",
				 "output \"%s\" is not table, wide, json or name",
				 settings->output);
	context.output = output_detect(format);
	r = check_side(invocation, context.side, err);
	if (r < 0)
		return r;
	r = client_new(&client,
		       &(struct client_config){ .server = settings->server,
						.gateway = gateway,
						.token_file = settings->token_file,
						.ca_file = settings->ca_file,
						.server_pin = settings->server_pin },
		       err);
	if (r < 0)
		return r;
	context.client = client;
	return invocation->command->run(&context, args, err);
}

/* What is wrong with the words themselves, and where to read which there are. */
static int parse(int argc, char **argv, struct invocation *invocation, struct args *args,
		 struct error *err)
{
	const struct args_grammar grammar = {
		.global = command_global_options,
		.on_word = on_word,
		.userdata = invocation,
	};
	struct error detail = ERROR_INIT;
	const struct noun *noun;
	const char *verb, *behind = "";
	int r = args_parse(argc, argv, &grammar, args, &detail);

	noun = invocation->noun;
	verb = invocation->command ? invocation->command->verb : "";
	if (r == -EINVAL && !strstr(detail.message, "--help")) {
		if (!invocation->command && strcmp(detail.code, "unknown_option") == 0)
			behind = "; a command's own options go behind its verb";
		return error_set(err, r, detail.code, detail.field,
				 "%s%s; see schedctl %s%s%s%s--help", detail.message, behind,
				 noun ? noun->name : "", noun ? " " : "", verb, *verb ? " " : "");
	}
	*err = detail;
	return r;
}

static int run(int argc, char **argv, struct error *err)
{
	_cleanup_(settings_clear) struct settings settings = { 0 };
	_cleanup_(args_clear) struct args args = { 0 };
	struct invocation invocation = { 0 };
	int r;

	r = parse(argc, argv, &invocation, &args, err);
	if (r < 0)
		return r;
	if (args_flag(&args, "help")) {
		command_help(stdout, invocation.noun, invocation.command);
		return 0;
	}
	if (args_flag(&args, "version")) {
		(void)puts("schedctl " PORTICO_VERSION);
		return 0;
	}
	r = check_arguments(&invocation, &args, err);
	if (r < 0)
		return r;
	r = settings_load(&args, &settings, err);
	if (r < 0)
		return r;
	return run_command(&invocation, &args, &settings, err);
}

/* What reads our output has seen enough, as "head" has: the end that a pipe's writer comes to. */
static void end_with_reader(void)
{
	if (!output_reader_gone())
		return;
	(void)signal(SIGPIPE, SIG_DFL);
	(void)raise(SIGPIPE);
}

int main(int argc, char **argv)
{
	struct error err = ERROR_INIT, output_err = ERROR_INIT;
	int r, r_output;

	/* A server that goes away is an error of the call, not the end of the program. */
	(void)signal(SIGPIPE, SIG_IGN);
	r = run(argc, argv, &err);
	r_output = output_finish(&output_err);
	if (r_output < 0)
		end_with_reader();
	/* Where a write failed on the way, only the end knows why. */
	if (r_output < 0 && (r == 0 || err.errnum == 0)) {
		r = r_output;
		err = output_err;
	}
	if (r < 0)
		note_error(error_text(&err, r));
	return (int)exit_status_of(r);
}
