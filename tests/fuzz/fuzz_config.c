/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A configuration file, and from a zero byte on the words of a command line, for a program that has
 * an option of each type. */
#include <stddef.h>
#include <sys/mman.h>
#include <unistd.h>

#include "lib/config.h"
#include "tests/fuzz/fuzz.h"

#define WORDS_MAX 32

struct options {
	char *name;
	bool insecure;
	uint64_t limit, wait_ms;
	struct string_list addresses;
};

static const struct option_spec specs[] = {
	{ .name = "name",
	  .type = OPTION_STRING,
	  .offset = offsetof(struct options, name),
	  .fallback = "gw1",
	  .not_empty = true },
	{ .name = "insecure", .type = OPTION_BOOL, .offset = offsetof(struct options, insecure) },
	{ .name = "max-connections",
	  .type = OPTION_UINT,
	  .offset = offsetof(struct options, limit),
	  .fallback = "10",
	  .min = 1,
	  .max = 1000 },
	{ .name = "wait",
	  .type = OPTION_DURATION,
	  .offset = offsetof(struct options, wait_ms),
	  .fallback = "10s",
	  .max = 3600000 },
	{ .name = "addresses", .type = OPTION_LIST, .offset = offsetof(struct options, addresses) },
};

static const struct program_spec program = {
	.name = "gatewayd",
	.summary = "A program.",
	.options = specs,
	.n_options = ARRAY_SIZE(specs),
	.default_file = "/nonexistent",
};

/* --help and --version print, and --config reads what the fuzzer likes. */
static bool is_wanted(const char *word)
{
	return strcmp(word, "-h") != 0 && !strstr(word, "--help") && !strstr(word, "--version") &&
	       !strstr(word, "--config");
}

static int split_words(char *text, char *end, char **words)
{
	int n = 0;

	for (char *word = text; word < end && n < WORDS_MAX; word += strlen(word) + 1)
		if (is_wanted(word))
			words[n++] = word;
	return n;
}

static void check(const struct options *options)
{
	fuzz_require(options->name && options->name[0]);
	fuzz_require(options->limit >= 1 && options->limit <= 1000);
	fuzz_require(options->wait_ms <= 3600000);
	for (size_t i = 0; i < options->addresses.n; i++)
		fuzz_require(options->addresses.items[i][0]);
}

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size)
{
	char path[64], *text = fuzz_text(data, size), *words[WORDS_MAX + 3];
	enum config_outcome outcome = CONFIG_RUN;
	struct options options = { 0 };
	struct error err = ERROR_INIT;
	size_t length = strlen(text);
	int file = memfd_create("config", 0), n = 3, r;

	fuzz_require(file >= 0 && write(file, text, length) == (ssize_t)length);
	(void)snprintf(path, sizeof(path), "/proc/self/fd/%d", file);
	words[0] = (char *)"gatewayd";
	words[1] = (char *)"--config";
	words[2] = path;
	if (length < size)
		n += split_words(text + length + 1, text + size, words + 3);
	r = config_load(&program, n, words, &options, &outcome, NULL, &err);
	if (r < 0)
		fuzz_refused(r, &err);
	else if (outcome == CONFIG_RUN)
		check(&options);
	config_clear(&program, &options);
	close(file);
	free(text);
	return 0;
}
