/* SPDX-License-Identifier: GPL-2.0-or-later */
/* schedctl's command line. getopt_long(3) is not used since it takes abbreviations, which would
 * make every new option a change of old scripts, and since the options depend on the verb.
 */

#include <errno.h>
#include <string.h>

#include "schedctl/args.h"

struct parser {
	int argc;
	char **argv;
	int next; /* index of the word to look at */
	const struct args_grammar *grammar;
	struct args_table command;
	struct args *args;
	struct error *err;
};

static const struct args_option *find_in(const struct args_table *table, const char *name,
					 size_t length)
{
	for (size_t i = 0; i < table->n; i++) {
		const char *candidate = table->options[i].name;

		if (strlen(candidate) == length && memcmp(candidate, name, length) == 0)
			return &table->options[i];
	}
	return NULL;
}

static const struct args_option *find_letter(const struct args_table *table, char letter)
{
	for (size_t i = 0; i < table->n; i++) {
		if (table->options[i].letter == letter)
			return &table->options[i];
	}
	return NULL;
}

static int add_value(struct parser *parser, const struct args_option *option, const char *text)
{
	struct args *args = parser->args;

	if (!option->repeatable) {
		for (size_t i = 0; i < args->n_values; i++) {
			if (args->values[i].option == option)
				return error_set(parser->err, -EINVAL, "usage", option->name,
						 "--%s is given twice", option->name);
		}
	}
	args->values[args->n_values++] = (struct args_value){ .option = option, .text = text };
	return 0;
}

/* Stores an option whose argument, if it was written in the same word, is attached. */
static int take_option(struct parser *parser, const struct args_option *option,
		       const char *attached)
{
	if (!option->argument) {
		if (attached)
			return error_set(parser->err, -EINVAL, "usage", option->name,
					 "--%s takes no argument", option->name);
		return add_value(parser, option, NULL);
	}
	if (!attached) {
		if (parser->next >= parser->argc)
			return error_set(parser->err, -EINVAL, "usage", option->name,
					 "--%s needs an argument: %s", option->name,
					 option->argument);
		attached = parser->argv[parser->next++];
	}
	return add_value(parser, option, attached);
}

static int take_long(struct parser *parser, const char *name)
{
	size_t length = strcspn(name, "=");
	const char *attached = name[length] == '=' ? name + length + 1 : NULL;
	const struct args_option *option;

	option = find_in(&parser->command, name, length);
	if (!option)
		option = find_in(&parser->grammar->global, name, length);
	if (!option)
		return error_set(parser->err, -EINVAL, "unknown_option", NULL,
				 "unknown option --%.*s", (int)length, name);
	return take_option(parser, option, attached);
}

/* "-o json" and "-ojson"; letters are not bundled, there are too few of them. */
static int take_short(struct parser *parser, const char *word)
{
	const struct args_option *option;

	option = find_letter(&parser->command, word[1]);
	if (!option)
		option = find_letter(&parser->grammar->global, word[1]);
	if (!option)
		return error_set(parser->err, -EINVAL, "unknown_option", NULL, "unknown option %s",
				 word);
	return take_option(parser, option, word[2] != '\0' ? word + 2 : NULL);
}

static void add_positional(struct args *args, const char *word)
{
	args->positional[args->n_positional++] = word;
	args->positional[args->n_positional] = NULL;
}

static void take_verbatim(struct parser *parser)
{
	if (parser->next < parser->argc && strcmp(parser->argv[parser->next], "--") == 0) {
		parser->args->after_dashes = true;
		parser->next++;
	}
	while (parser->next < parser->argc)
		add_positional(parser->args, parser->argv[parser->next++]);
}

static int take_word(struct parser *parser, const char *word)
{
	const struct args_grammar *grammar = parser->grammar;
	bool verbatim = false;
	int r;

	r = grammar->on_word(grammar->userdata, word, &parser->command, &verbatim, parser->err);
	if (r < 0)
		return r;
	if (r == 0)
		add_positional(parser->args, word);
	if (verbatim)
		take_verbatim(parser);
	return 0;
}

static int parse_all(struct parser *parser)
{
	bool options = true;
	int r = 0;

	while (r >= 0 && parser->next < parser->argc) {
		const char *word = parser->argv[parser->next++];

		if (options && strcmp(word, "--") == 0)
			options = false;
		else if (options && strncmp(word, "--", 2) == 0)
			r = take_long(parser, word + 2);
		else if (options && word[0] == '-' && word[1] != '\0')
			r = take_short(parser, word);
		else
			r = take_word(parser, word);
	}
	return r;
}

int args_parse(int argc, char **argv, const struct args_grammar *grammar, struct args *ret,
	       struct error *err)
{
	struct parser parser = {
		.argc = argc,
		.argv = argv,
		.next = 1,
		.grammar = grammar,
		.args = ret,
		.err = err,
	};

	/* No word makes more than one value or one positional. */
	*ret = (struct args){ 0 };
	ret->values = calloc((size_t)argc + 1, sizeof(*ret->values));
	ret->positional = calloc((size_t)argc + 1, sizeof(*ret->positional));
	if (!ret->values || !ret->positional)
		return -ENOMEM;
	return parse_all(&parser);
}

void args_clear(struct args *args)
{
	free(args->values);
	free(args->positional);
	*args = (struct args){ 0 };
}

const char *args_next(const struct args *args, const char *name, size_t *position)
{
	while (*position < args->n_values) {
		const struct args_value *value = &args->values[(*position)++];

		if (strcmp(value->option->name, name) == 0)
			return value->text;
	}
	return NULL;
}

const char *args_text(const struct args *args, const char *name)
{
	size_t position = 0;

	return args_next(args, name, &position);
}

bool args_flag(const struct args *args, const char *name)
{
	for (size_t i = 0; i < args->n_values; i++) {
		if (strcmp(args->values[i].option->name, name) == 0)
			return true;
	}
	return false;
}
