/* SPDX-License-Identifier: GPL-2.0-or-later */
/* schedctl's command line: options anywhere, then NOUN VERB and the verb's arguments. Everything
 * it returns points into argv. It knows no command by name: the tables say what is allowed.
 */
#pragma once

#include "lib/error.h"
#include "lib/util.h"

struct args_option {
	const char *name;     /* without dashes in front */
	char letter;          /* short form, 0 for none */
	const char *argument; /* its name in --help; NULL: the option takes no argument */
	const char *help;     /* one sentence */
	bool repeatable;      /* may be given several times; others are an error the second time */
};

struct args_value {
	const struct args_option *option;
	const char *text; /* NULL for an option without argument */
};

struct args {
	struct args_value *values; /* owned */
	size_t n_values;
	const char **positional; /* owned, NULL-terminated; without noun and verb */
	size_t n_positional;
	bool after_dashes; /* a command's verbatim part began with "--" */
};

struct args_table {
	const struct args_option *options;
	size_t n;
};

/* What args_parse asks its caller for as words come. */
struct args_grammar {
	struct args_table global;
	/* Called with each word that is no option, in order, before any of them is stored. 0 stores
	 * it as positional, 1 takes it (noun, verb), negative ends with that error. It may fill
	 * *command with the options that are allowed from here on, and set *verbatim where all
	 * that follows this word is to be stored as it is. */
	int (*on_word)(void *userdata, const char *word, struct args_table *command, bool *verbatim,
		       struct error *err);
	void *userdata;
};

/* Parses argv[1…argc-1]. Long options are "--name value" or "--name=value", never abbreviated; "--"
 * ends the options. -EINVAL with a sentence (and the code "unknown_option" where there is none of
 * that name), -ENOMEM, or on_word's error. *ret is overwritten, also on failure: free it with
 * args_clear. */
int args_parse(int argc, char **argv, const struct args_grammar *grammar, struct args *ret,
	       struct error *err) _must_check_;
void args_clear(struct args *args);

/* The option's text, or NULL where it was not given. */
const char *args_text(const struct args *args, const char *name);
bool args_flag(const struct args *args, const char *name);
/* The next text of a repeatable option; *position starts at 0. NULL at the end. */
const char *args_next(const struct args *args, const char *name, size_t *position);
