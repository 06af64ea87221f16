/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The commands as data: nouns, their verbs, options and help. One file per noun defines its table;
 * only command.c lists them all.
 */
#pragma once

#include "lib/error.h"
#include "schedctl/args.h"
#include "schedctl/client.h"
#include "schedctl/output.h"

enum command_side {
	SIDE_SCHEDD = 1 << 0,
	SIDE_GATEWAY = 1 << 1, /* works with --gateway */
};

struct context {
	struct client *client;
	struct output output;
	enum command_side side; /* who answers: exactly one */
};

struct command {
	const char *verb;
	const char *arguments;            /* for --help: "ENV [COMMAND…]" */
	const char *summary;              /* one line */
	const char *details;              /* more for the verb's own --help; NULL for none */
	const struct args_table *options; /* NULL for none */
	size_t min_arguments, max_arguments;
	bool verbatim;  /* what follows the first argument is not looked at: env ssh */
	unsigned sides; /* enum command_side */
	/* 0, or an errno value for exit_status_of with its sentence in *err. */
	int (*run)(struct context *context, const struct args *args, struct error *err);
};

struct noun {
	const char *name;
	const char *summary;
	const struct command *commands;
	size_t n_commands;
	bool alone; /* its one command has no verb */
};

extern const struct noun noun_env, noun_host, noun_port, noun_gateway, noun_customer, noun_token,
	noun_session, noun_doctor, noun_completion, noun_ban, noun_top, noun_events, noun_quota,
	noun_usage;

/* Options that every command takes. */
extern const struct args_table command_global_options;

/* One after the other; NULL behind the last. */
const struct noun *command_noun(size_t i);
/* NULL where there is none of that name. */
const struct noun *command_find_noun(const char *name);
const struct command *command_find(const struct noun *noun, const char *verb);

/* --help at each level: of schedctl (noun NULL), of a noun (command NULL), of a command. */
void command_help(FILE *out, const struct noun *noun, const struct command *command);
