/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The noun "completion": a script for bash, made from the tables of all commands, so that it knows
 * what this program knows. Names of what exists are asked of schedd when they are needed. */

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "schedctl/command.h"

static void write_options(const struct args_table *table)
{
	for (size_t i = 0; i < table->n; i++) {
		(void)printf(" --%s", table->options[i].name);
		if (table->options[i].letter)
			(void)printf(" -%c", table->options[i].letter);
	}
}

/* "env start)": the words that may stand there. */
static void write_command(const struct noun *noun, const struct command *command)
{
	bool has_names = command->max_arguments > 0 && command_find(noun, "list") &&
			 strcmp(command->verb, "create") != 0;

	(void)printf("\t'%s%s%s')\n\t\toptions='", noun->name, noun->alone ? "" : " ",
		     command->verb);
	if (command->options)
		write_options(command->options);
	(void)printf("'\n");
	if (has_names)
		(void)printf("\t\tnames='%s'\n", noun->name);
	(void)printf("\t\t;;\n");
}

static void write_nouns(void)
{
	const struct noun *noun;

	(void)printf("\tlocal nouns='");
	for (size_t i = 0; (noun = command_noun(i)); i++)
		(void)printf("%s%s", i > 0 ? " " : "", noun->name);
	(void)printf("'\n\tlocal globals='");
	write_options(&command_global_options);
	(void)printf("'\n");
}

static void write_verbs(void)
{
	const struct noun *noun;

	(void)printf("\tcase $noun in\n");
	for (size_t i = 0; (noun = command_noun(i)); i++) {
		if (noun->alone)
			continue;
		(void)printf("\t%s) verbs='", noun->name);
		for (size_t j = 0; j < noun->n_commands; j++)
			(void)printf("%s%s", j > 0 ? " " : "", noun->commands[j].verb);
		(void)printf("' ;;\n");
	}
	(void)printf("\tesac\n");
}

static void write_commands(void)
{
	const struct noun *noun;

	(void)printf("\tcase \"$noun${verb:+ $verb}\" in\n");
	for (size_t i = 0; (noun = command_noun(i)); i++)
		for (size_t j = 0; j < noun->n_commands; j++)
			write_command(noun, &noun->commands[j]);
	(void)printf("\tesac\n");
}

/* Options of all commands that take an argument: the word behind them is no noun or verb. */
static void write_with_argument(const struct args_table *table)
{
	for (size_t i = 0; table && i < table->n; i++)
		if (table->options[i].argument)
			(void)printf(" --%s", table->options[i].name);
}

static void write_all_with_argument(void)
{
	const struct noun *noun;

	(void)printf("\tlocal takes=' -o");
	write_with_argument(&command_global_options);
	for (size_t i = 0; (noun = command_noun(i)); i++)
		for (size_t j = 0; j < noun->n_commands; j++)
			write_with_argument(noun->commands[j].options);
	(void)printf(" '\n");
}

static const char head[] =
	"# bash completion for schedctl, made by \"schedctl completion\"\n"
	"_schedctl() {\n"
	"\tlocal current=${COMP_WORDS[COMP_CWORD]} previous=${COMP_WORDS[COMP_CWORD - 1]}\n"
	"\tlocal noun='' verb='' verbs='' options='' names='' server=() word i\n";

static const char find_words[] =
	"\tfor ((i = 1; i < COMP_CWORD; i++)); do\n"
	"\t\tword=${COMP_WORDS[i]}\n"
	"\t\tcase $word in\n"
	"\t\t--server | --token-file | --ca-file | --server-pin | --gateway | --config)\n"
	"\t\t\tserver+=(\"$word\" \"${COMP_WORDS[i + 1]}\")\n"
	"\t\t\t((i++)) ;;\n"
	"\t\t-*) [[ $takes == *\" $word \"* ]] && ((i++)) ;;\n"
	"\t\t*)\n"
	"\t\t\tif [ -z \"$noun\" ]; then noun=$word\n"
	"\t\t\telif [ -z \"$verb\" ]; then verb=$word\n"
	"\t\t\tfi ;;\n"
	"\t\tesac\n"
	"\tdone\n";

static const char tail[] =
	"\tcase $previous in\n"
	"\t-o | --output) mapfile -t COMPREPLY < <(compgen -W 'table wide json name' -- \"$current\"); return ;;\n"
	"\t--*-file | --config | --ssh-key | --save) mapfile -t COMPREPLY < <(compgen -f -- \"$current\"); return ;;\n"
	"\tesac\n"
	"\tif [[ $current == -* ]]; then\n"
	"\t\tmapfile -t COMPREPLY < <(compgen -W \"$options $globals\" -- \"$current\")\n"
	"\telif [ -z \"$noun\" ]; then\n"
	"\t\tmapfile -t COMPREPLY < <(compgen -W \"$nouns\" -- \"$current\")\n"
	"\telif [ -z \"$verb\" ] && [ -n \"$verbs\" ]; then\n"
	"\t\tmapfile -t COMPREPLY < <(compgen -W \"$verbs\" -- \"$current\")\n"
	"\telif [ -n \"$names\" ]; then\n"
	"\t\tmapfile -t COMPREPLY < <(compgen -W \"$(\"${COMP_WORDS[0]}\" \"${server[@]}\" -o name \"$names\" list 2>/dev/null)\" -- \"$current\")\n"
	"\tfi\n"
	"}\n"
	"complete -F _schedctl schedctl\n";

static int run(struct context *context, const struct args *args, struct error *err)
{
	(void)fputs(head, stdout);
	write_nouns();
	write_all_with_argument();
	(void)fputs(find_words, stdout);
	write_verbs();
	write_commands();
	(void)fputs(tail, stdout);
	return 0;
}

static const struct command commands[] = {
	{ .verb = "",
	  .summary = "Write the completion script for bash",
	  .details = "It is installed with schedctl; by hand: source <(schedctl completion).",
	  .sides = SIDE_SCHEDD | SIDE_GATEWAY,
	  .run = run },
};

const struct noun noun_completion = {
	.name = "completion",
	.summary = "Completion for bash",
	.commands = commands,
	.n_commands = ARRAY_SIZE(commands),
	.alone = true,
};
