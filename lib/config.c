/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Options from defaults, an ini file and the command line, in that order, from one table.
 *
 * A value given on the command line replaces the file's, a list as a whole; the file is read
 * first, so the command line is scanned twice: once for --config, once for the values.
 */
#include "lib/config.h"

#include <errno.h>
#include <ini.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "lib/clock.h"
#include "lib/file.h"

#define CONFIG_FILE_MAX ((size_t)1 << 20)
#define LIST_ITEMS_MAX 1024
#define HELP_COLUMNS 33 /* of an option and its argument, without the dashes */

/* Where a value comes from, for errors: a file's line, or the command line (file NULL). */
struct source {
	const char *file;
	int line;
};

/* What was set in the round that is read now: a second time is an error, but for lists. */
struct seen {
	bool *options;
};

static const struct option_spec *find_option(const struct program_spec *program, const char *name,
					     size_t length)
{
	for (size_t i = 0; i < program->n_options; i++) {
		const char *known = program->options[i].name;
		size_t n = 0;

		while (n < length && known[n] &&
		       (known[n] == name[n] || (known[n] == '-' && name[n] == '_')))
			n++;
		if (n == length && !known[n])
			return &program->options[i];
	}
	return NULL;
}

static int value_error(const struct source *source, const struct option_spec *option,
		       const char *value, const char *why, struct error *err)
{
	if (!*value)
		value = "\"\"";
	if (source->file)
		return error_set(err, -EINVAL, "invalid", option->name, "%s:%d: %s = %s: %s",
				 source->file, source->line, option->name, value, why);
	return error_set(err, -EINVAL, "invalid", option->name, "--%s %s: %s", option->name, value,
			 why);
}

static bool parse_bool(const char *text, bool *ret)
{
	static const char *const yes[] = { "yes", "true", "on", "1" };
	static const char *const no[] = { "no", "false", "off", "0" };

	for (size_t i = 0; i < ARRAY_SIZE(yes); i++) {
		if (strcasecmp(text, yes[i]) == 0 || strcasecmp(text, no[i]) == 0) {
			*ret = strcasecmp(text, yes[i]) == 0;
			return true;
		}
	}
	return false;
}

static int parse_uint(const char *text, uint64_t *ret)
{
	uint64_t value = 0;

	if (!*text)
		return -EINVAL;
	for (; *text; text++) {
		if (*text < '0' || *text > '9')
			return -EINVAL;
		if (__builtin_mul_overflow(value, 10, &value) ||
		    __builtin_add_overflow(value, (uint64_t)(*text - '0'), &value))
			return -ERANGE;
	}
	*ret = value;
	return 0;
}

static void list_clear(struct string_list *list)
{
	for (size_t i = 0; i < list->n; i++)
		free(list->items[i]);
	free(list->items);
	*list = (struct string_list){ 0 };
}

static int list_append(struct string_list *list, const char *item, size_t length)
{
	_cleanup_free_ char *copy = strndup(item, length);
	char **items;

	if (!copy)
		return -ENOMEM;
	if (list->n == LIST_ITEMS_MAX)
		return -E2BIG;
	items = reallocarray(list->items, list->n + 1, sizeof(*items));
	if (!items)
		return -ENOMEM;
	list->items = items;
	list->items[list->n++] = TAKE_PTR(copy);
	return 0;
}

/* Appends the comma-separated items of text, without the blanks around them. */
static int list_parse(struct string_list *list, const char *text)
{
	while (*text) {
		size_t length = strcspn(text, ",");
		const char *next = text + length + (text[length] == ',');
		int r;

		while (length > 0 && (*text == ' ' || *text == '\t')) {
			text++;
			length--;
		}
		while (length > 0 && (text[length - 1] == ' ' || text[length - 1] == '\t'))
			length--;
		if (length > 0) {
			r = list_append(list, text, length);
			if (r < 0)
				return r;
		}
		text = next;
	}
	return 0;
}

static int set_number(const struct option_spec *option, uint64_t *field, const char *value,
		      const struct source *source, struct error *err)
{
	bool duration = option->type == OPTION_DURATION;
	uint64_t number = 0;
	char why[128];
	int r = duration ? duration_parse(value, &number) : parse_uint(value, &number);

	if (r < 0)
		return value_error(source, option, value,
				   duration ? "not a duration like 500ms, 30s, 10m or 24h"
					    : "not a number",
				   err);
	if ((option->min || option->max) && (number < option->min || number > option->max)) {
		snprintf(why, sizeof(why), "outside %" PRIu64 "…%" PRIu64 "%s", option->min,
			 option->max, duration ? " milliseconds" : "");
		return value_error(source, option, value, why, err);
	}
	*field = number;
	return 0;
}

static int set_value(const struct option_spec *option, void *target, const char *value,
		     const struct source *source, struct error *err)
{
	void *field = (char *)target + option->offset;
	char *copy;
	int r;

	switch (option->type) {
	case OPTION_STRING:
		if (option->not_empty && !*value)
			return value_error(source, option, value, "must not be empty", err);
		copy = *value ? strdup(value) : NULL;
		if (*value && !copy)
			return error_set(err, -ENOMEM, "internal", NULL, "out of memory");
		free(*(char **)field);
		*(char **)field = copy;
		return 0;
	case OPTION_BOOL:
		if (!parse_bool(value, field))
			return value_error(source, option, value, "neither yes nor no", err);
		return 0;
	case OPTION_UINT:
	case OPTION_DURATION:
		return set_number(option, field, value, source, err);
	case OPTION_LIST:
		r = list_parse(field, value);
		if (r == -E2BIG)
			return value_error(source, option, value, "too many items", err);
		return r < 0 ? error_set(err, r, "internal", NULL, "out of memory") : 0;
	}
	return -EINVAL;
}

/* Sets a value in one round (file or command line): the first one of a list replaces what an
 * earlier round left. */
static int set_once(const struct program_spec *program, const struct option_spec *option,
		    void *target, const char *value, struct seen *seen, const struct source *source,
		    struct error *err)
{
	bool *mark = &seen->options[option - program->options];

	if (*mark && option->type != OPTION_LIST)
		return value_error(source, option, value, "given twice", err);
	if (!*mark && option->type == OPTION_LIST)
		list_clear((struct string_list *)((char *)target + option->offset));
	*mark = true;
	return set_value(option, target, value, source, err);
}

static int set_defaults(const struct program_spec *program, void *target, struct error *err)
{
	for (size_t i = 0; i < program->n_options; i++) {
		const struct option_spec *option = &program->options[i];
		struct source source = { .file = "default", .line = 0 };
		int r;

		if (!option->fallback)
			continue;
		r = set_value(option, target, option->fallback, &source, err);
		if (r < 0)
			return r;
	}
	return 0;
}

struct file_context {
	const struct program_spec *program;
	void *target;
	const char *path;
	struct seen seen;
	struct error *err;
	int status;
	int line; /* of the value that is read now */
};

/* inih's handler: 0 stops with an error. The line number is counted by our reader, since Debian's
 * inih is built without handing it on. */
static int on_ini_value(void *userdata, const char *section, const char *name, const char *value)
{
	struct file_context *context = userdata;
	const struct program_spec *program = context->program;
	const struct option_spec *option = find_option(program, name, strlen(name));
	struct source source = { .file = context->path, .line = context->line };

	if (context->status < 0)
		return 0;
	if (strcmp(section, program->name) != 0)
		context->status =
			error_set(context->err, -EINVAL, "unknown_section", section,
				  "%s:%d: %s = %s is in section [%s], expected [%s]", context->path,
				  context->line, name, value, section, program->name);
	else if (!option || option->command_line_only)
		context->status = error_set(context->err, -EINVAL, "unknown_option", name,
					    "%s:%d: %s = %s: no such option", context->path,
					    context->line, name, value);
	else
		context->status = set_once(program, option, context->target, value, &context->seen,
					   &source, context->err);
	return context->status == 0;
}

struct line_reader {
	const char *next;
	struct file_context *context;
};

static char *read_line(char *buffer, int size, void *userdata)
{
	struct line_reader *reader = userdata;
	size_t length = strcspn(reader->next, "\n"), take = MIN(length, (size_t)size - 2);

	if (!*reader->next)
		return NULL;
	reader->context->line++;
	if (take < length && reader->context->status == 0)
		reader->context->status =
			error_set(reader->context->err, -EINVAL, "invalid", NULL,
				  "%s:%d: the line is longer than %d bytes", reader->context->path,
				  reader->context->line, size - 2);
	memcpy(buffer, reader->next, take);
	buffer[take] = '\n';
	buffer[take + 1] = '\0';
	reader->next += length + (reader->next[length] == '\n');
	return buffer;
}

static int load_file(const struct program_spec *program, const char *path, bool required,
		     void *target, struct error *err)
{
	struct file_context context = {
		.program = program, .target = target, .path = path, .err = err
	};
	_cleanup_free_ bool *marks = calloc(program->n_options + 1, sizeof(*marks));
	_cleanup_free_ char *text = NULL;
	struct line_reader reader;
	size_t length = 0;
	int r;

	if (!marks)
		return error_set(err, -ENOMEM, "internal", NULL, "out of memory");
	r = file_read(path, CONFIG_FILE_MAX, &text, &length, required ? err : NULL);
	if (r == -ENOENT && !required)
		return 0;
	if (r < 0) /* file_read kept silent where the file is the default one */
		return error_set(err, r, "io", NULL, "cannot read %s: %s", path,
				 error_text(NULL, r));
	if (strlen(text) != length)
		return error_set(err, -EINVAL, "invalid", NULL, "%s contains a NUL character",
				 path);
	context.seen.options = marks;
	reader = (struct line_reader){ .next = text, .context = &context };
	r = ini_parse_stream(read_line, &reader, on_ini_value, &context);
	if (context.status < 0)
		return context.status;
	if (r > 0)
		return error_set(err, -EINVAL, "invalid", NULL,
				 "%s:%d: neither a [section] nor key = value", path, r);
	return r < 0 ? error_set(err, -ENOMEM, "internal", NULL, "out of memory") : 0;
}

struct argument {
	const char *name; /* after the dashes */
	size_t length;
	const char *value; /* NULL: none was given */
	int used;          /* how many of argv it took */
};

static bool is_flag(const struct program_spec *program, const char *name, size_t length)
{
	const struct option_spec *option = find_option(program, name, length);

	return (option && option->type == OPTION_BOOL) ||
	       (length == 4 && strncmp(name, "help", 4) == 0) ||
	       (length == 7 && strncmp(name, "version", 7) == 0);
}

/* A flag takes its value only after '=', so that "--check file" stays two words. */
static struct argument split_argument(const struct program_spec *program, int argc, char **argv,
				      int i)
{
	const char *name = argv[i] + 2, *equals = strchr(name, '=');
	struct argument argument = { .name = name, .used = 1 };

	argument.length = equals ? (size_t)(equals - name) : strlen(name);
	if (equals) {
		argument.value = equals + 1;
	} else if (!is_flag(program, name, argument.length) && i + 1 < argc) {
		argument.value = argv[i + 1];
		argument.used = 2;
	}
	return argument;
}

static bool argument_is(const struct argument *argument, const char *name)
{
	return argument->length == strlen(name) &&
	       strncmp(argument->name, name, argument->length) == 0;
}

/* Where the options end: the first word that is none, or after "--". */
static bool ends_options(const char *word)
{
	return strncmp(word, "--", 2) != 0 || word[2] == '\0';
}

/* The first pass: --help, --version and --config, which come before everything else. */
static int scan_special(const struct program_spec *program, int argc, char **argv,
			const char **ret_file, enum config_outcome *ret_outcome, struct error *err)
{
	for (int i = 1; i < argc;) {
		struct argument argument;

		if (strcmp(argv[i], "-h") == 0) {
			config_help(program);
			*ret_outcome = CONFIG_EXIT;
			return 0;
		}
		if (ends_options(argv[i]))
			break;
		argument = split_argument(program, argc, argv, i);
		if (argument_is(&argument, "help")) {
			config_help(program);
			*ret_outcome = CONFIG_EXIT;
			return 0;
		}
		if (argument_is(&argument, "version")) {
			printf("%s %s\n", program->name, PORTICO_VERSION);
			*ret_outcome = CONFIG_EXIT;
			return 0;
		}
		if (argument_is(&argument, "config")) {
			if (!argument.value)
				return error_set(err, -EINVAL, "invalid", "config",
						 "--config needs a file");
			*ret_file = argument.value;
		}
		i += argument.used;
	}
	return 0;
}

static int set_argument(const struct program_spec *program, const struct argument *argument,
			void *target, struct seen *seen, struct error *err)
{
	const struct option_spec *option = find_option(program, argument->name, argument->length);
	struct source source = { 0 };
	const char *value = argument->value;

	if (!option)
		return error_set(err, -EINVAL, "unknown_option", NULL,
				 "--%.*s: no such option; see %s --help", (int)argument->length,
				 argument->name, program->name);
	if (!value && option->type == OPTION_BOOL)
		value = "yes";
	if (!value)
		return error_set(err, -EINVAL, "invalid", option->name, "--%s needs a value (%s)",
				 option->name, option->argument ? option->argument : "VALUE");
	return set_once(program, option, target, value, seen, &source, err);
}

static int load_arguments(const struct program_spec *program, int argc, char **argv, void *target,
			  int *ret_rest, struct error *err)
{
	_cleanup_free_ bool *marks = calloc(program->n_options + 1, sizeof(*marks));
	struct seen seen = { .options = marks };
	int i = 1, r;

	if (!marks)
		return error_set(err, -ENOMEM, "internal", NULL, "out of memory");
	while (i < argc && !ends_options(argv[i])) {
		struct argument argument = split_argument(program, argc, argv, i);

		if (!argument_is(&argument, "config")) {
			r = set_argument(program, &argument, target, &seen, err);
			if (r < 0)
				return r;
		}
		i += argument.used;
	}
	if (i < argc && strcmp(argv[i], "--") == 0)
		i++;
	if (i < argc && !program->positional)
		return error_set(err, -EINVAL, "invalid", NULL,
				 "unexpected argument \"%s\"; see %s --help", argv[i],
				 program->name);
	if (ret_rest)
		*ret_rest = i;
	return 0;
}

int config_load(const struct program_spec *program, int argc, char **argv, void *target,
		enum config_outcome *ret_outcome, int *ret_rest, struct error *err)
{
	const char *file = NULL;
	int r;

	*ret_outcome = CONFIG_RUN;
	r = scan_special(program, argc, argv, &file, ret_outcome, err);
	if (r < 0 || *ret_outcome == CONFIG_EXIT)
		return r;
	r = set_defaults(program, target, err);
	if (r == 0 && (file || program->default_file))
		r = load_file(program, file ? file : program->default_file, file, target, err);
	if (r == 0)
		r = load_arguments(program, argc, argv, target, ret_rest, err);
	return r;
}

void config_clear(const struct program_spec *program, void *target)
{
	for (size_t i = 0; i < program->n_options; i++) {
		void *field = (char *)target + program->options[i].offset;

		if (program->options[i].type == OPTION_STRING) {
			free(*(char **)field);
			*(char **)field = NULL;
		} else if (program->options[i].type == OPTION_LIST) {
			list_clear(field);
		}
	}
}

/* Characters of UTF-8 text. */
static size_t columns(const char *text)
{
	size_t n = 0;

	for (; *text; text++)
		n += ((unsigned char)*text & 0xc0) != 0x80;
	return n;
}

static void print_option(const char *name, const char *argument, const char *help,
			 const char *fallback)
{
	size_t width = strlen(name) + (argument ? 1 + columns(argument) : 0);

	printf("  --%s%s%s", name, argument ? " " : "", argument ? argument : "");
	if (width < HELP_COLUMNS)
		printf("%*s", (int)(HELP_COLUMNS - width), "");
	else
		printf("\n%*s", HELP_COLUMNS + 4, "");
	printf("%s", help);
	if (fallback && *fallback)
		printf(" (default: %s)", fallback);
	printf("\n");
}

void config_help(const struct program_spec *program)
{
	printf("Usage: %s [OPTION]…%s\n\n%s\n\nOptions:\n", program->name,
	       program->positional ? " COMMAND…" : "", program->summary);
	for (size_t i = 0; i < program->n_options; i++)
		print_option(program->options[i].name, program->options[i].argument,
			     program->options[i].help, program->options[i].fallback);
	print_option("config", "FILE", "read options from this ini file", program->default_file);
	print_option("version", NULL, "print the version and exit", NULL);
	print_option("help", NULL, "print this text and exit", NULL);
}
