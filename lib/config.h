/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Configuration of a program: an ini file (inih) and the command line, from one table of options,
 * which also makes --help. The command line wins over the file, the file over the default.
 *
 * The file has one section, named like the program; keys are the options' names with '_' or '-'.
 * Unknown sections and keys, keys given twice and values that do not parse are errors that name
 * file, line, key and value.
 */
#pragma once

#include "lib/error.h"
#include "lib/util.h"

enum option_type {
	OPTION_STRING,   /* char *, owned by the target struct, NULL if unset */
	OPTION_BOOL,     /* bool; yes/no, true/false, on/off, 1/0; "--name" alone is yes */
	OPTION_UINT,     /* uint64_t within [min, max] */
	OPTION_DURATION, /* uint64_t milliseconds within [min, max]; see duration_parse */
	OPTION_LIST,     /* struct string_list: comma-separated, or given several times */
};

struct string_list {
	char **items;
	size_t n;
};

struct option_spec {
	const char *name; /* "metrics-listen", without dashes in front */
	enum option_type type;
	size_t offset;          /* offsetof the target struct */
	const char *fallback;   /* default as text; NULL for unset, 0 or no */
	const char *argument;   /* for --help: "ADDRESS:PORT" */
	const char *help;       /* one sentence */
	uint64_t min, max;      /* for UINT and DURATION; both 0: no limits */
	bool command_line_only; /* not a key of the file: --check */
	bool not_empty; /* for STRING: "" is an error, so with a fallback it is never NULL */
};

struct program_spec {
	const char *name;    /* "gatewayd": section and file name */
	const char *summary; /* one sentence for --help */
	const struct option_spec *options;
	size_t n_options;
	const char *default_file; /* "/etc/portico/gatewayd.conf"; may be missing */
	bool positional;          /* the rest of argv belongs to the caller: stop at the first */
};

enum config_outcome {
	CONFIG_RUN,  /* go on */
	CONFIG_EXIT, /* --help or --version was printed: exit with 0 */
};

/* Fills *target (zeroed by the caller) from defaults, file and command line. Handles --config
 * FILE, --help and --version itself. *ret_rest (may be NULL) gets the index of the first
 * positional argument. On an error *target holds what was set so far: free it with config_clear. */
int config_load(const struct program_spec *program, int argc, char **argv, void *target,
		enum config_outcome *ret_outcome, int *ret_rest, struct error *err) _must_check_;
/* Frees strings and lists of the target. */
void config_clear(const struct program_spec *program, void *target);
/* Writes --help's text. */
void config_help(const struct program_spec *program);
