/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The command line, against a small grammar of the test's own. */

#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>

#include "schedctl/args.h"

static const struct args_option global_options[] = {
	{ .name = "output", .letter = 'o', .argument = "FORMAT" },
	{ .name = "help", .letter = 'h' },
};

static const struct args_option verb_options[] = {
	{ .name = "label", .argument = "K=V", .repeatable = true },
	{ .name = "wait" },
	{ .name = "out", .argument = "FILE" },
};

struct grammar_state {
	unsigned n_words;
	bool verbatim;
};

/* The first word is the verb; "bad" is none. */
static int on_word(void *userdata, const char *word, struct args_table *command, bool *verbatim,
		   struct error *err)
{
	struct grammar_state *state = userdata;

	if (state->n_words++ > 0) {
		*verbatim = state->verbatim;
		return 0;
	}
	if (strcmp(word, "bad") == 0)
		return error_set(err, -EINVAL, "usage", NULL, "no verb \"%s\"", word);
	*command = (struct args_table){ verb_options, ARRAY_SIZE(verb_options) };
	return 1;
}

static int parse(const char *const *words, bool verbatim, struct args *args, struct error *err)
{
	struct grammar_state state = { .verbatim = verbatim };
	const struct args_grammar grammar = {
		.global = { global_options, ARRAY_SIZE(global_options) },
		.on_word = on_word,
		.userdata = &state,
	};
	char *argv[16] = { (char *)"program" };
	int argc = 1;

	for (; *words; words++)
		argv[argc++] = (char *)*words;
	return args_parse(argc, argv, &grammar, args, err);
}

#define WORDS(...) ((const char *const[]){ __VA_ARGS__, NULL })

Test(args, options_stand_anywhere)
{
	const char *const *const lines[] = {
		WORDS("-o", "json", "verb", "one", "--wait", "two"),
		WORDS("verb", "one", "two", "--wait", "--output=json"),
		WORDS("verb", "--wait", "-ojson", "one", "two"),
		WORDS("verb", "--wait", "-ojson", "--", "one", "two"),
	};

	for (size_t i = 0; i < ARRAY_SIZE(lines); i++) {
		_cleanup_(args_clear) struct args args = { 0 };
		struct error err = ERROR_INIT;

		cr_assert_eq(parse(lines[i], false, &args, &err), 0, "line %zu: %s", i,
			     err.message);
		cr_expect_str_eq(args_text(&args, "output"), "json");
		cr_expect(args_flag(&args, "wait"));
		cr_expect(!args_flag(&args, "help"));
		cr_assert_eq(args.n_positional, 2, "line %zu", i);
		cr_expect_str_eq(args.positional[0], "one");
		cr_expect_str_eq(args.positional[1], "two");
		cr_expect_null(args.positional[2]);
	}
}

Test(args, repeated_options_keep_their_order)
{
	_cleanup_(args_clear) struct args args = { 0 };
	size_t position = 0;

	cr_assert_eq(parse(WORDS("verb", "--label", "a=1", "--wait", "--label=b=2,3"), false, &args,
			   NULL),
		     0);
	cr_expect_str_eq(args_next(&args, "label", &position), "a=1");
	cr_expect_str_eq(args_next(&args, "label", &position), "b=2,3");
	cr_expect_null(args_next(&args, "label", &position));
}

Test(args, an_argument_may_look_like_an_option)
{
	_cleanup_(args_clear) struct args args = { 0 };

	cr_assert_eq(parse(WORDS("verb", "--out", "--wait", "-"), false, &args, NULL), 0);
	cr_expect_str_eq(args_text(&args, "out"), "--wait");
	cr_expect(!args_flag(&args, "wait"));
	cr_expect_str_eq(args.positional[0], "-");
}

Test(args, empty_argument_is_kept)
{
	_cleanup_(args_clear) struct args args = { 0 };

	cr_assert_eq(parse(WORDS("verb", "--out=", ""), false, &args, NULL), 0);
	cr_expect_str_eq(args_text(&args, "out"), "");
	cr_expect_str_eq(args.positional[0], "");
}

Test(args, verbatim_part_is_not_looked_at)
{
	_cleanup_(args_clear) struct args args = { 0 };

	cr_assert_eq(parse(WORDS("verb", "--wait", "host", "ls", "-l", "--bogus", "--"), true,
			   &args, NULL),
		     0);
	cr_assert_eq(args.n_positional, 5);
	cr_expect_str_eq(args.positional[2], "-l");
	cr_expect_str_eq(args.positional[4], "--");
	cr_expect(!args.after_dashes);
}

Test(args, verbatim_part_after_dashes)
{
	_cleanup_(args_clear) struct args args = { 0 };

	cr_assert_eq(parse(WORDS("verb", "host", "--", "-L", "1:h:2"), true, &args, NULL), 0);
	cr_expect(args.after_dashes);
	cr_assert_eq(args.n_positional, 3);
	cr_expect_str_eq(args.positional[1], "-L");
}

Test(args, errors_say_what_is_wrong)
{
	const struct {
		const char *const *words;
		const char *message;
	} samples[] = {
		{ WORDS("verb", "--bogus"), "unknown option --bogus" },
		{ WORDS("verb", "--bogus=1"), "unknown option --bogus" },
		{ WORDS("--wait", "verb"), "unknown option --wait" },
		{ WORDS("verb", "-x"), "unknown option -x" },
		{ WORDS("verb", "--wai"), "unknown option --wai" },
		{ WORDS("verb", "--out"), "--out needs an argument: FILE" },
		{ WORDS("verb", "-o"), "--output needs an argument: FORMAT" },
		{ WORDS("verb", "--wait=yes"), "--wait takes no argument" },
		{ WORDS("verb", "--out", "a", "--out", "b"), "--out is given twice" },
		{ WORDS("-o", "json", "verb", "--output=name"), "--output is given twice" },
		{ WORDS("bad"), "no verb \"bad\"" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(samples); i++) {
		_cleanup_(args_clear) struct args args = { 0 };
		struct error err = ERROR_INIT;

		cr_expect_eq(parse(samples[i].words, false, &args, &err), -EINVAL, "line %zu", i);
		cr_expect_str_eq(err.message, samples[i].message);
	}
}
