/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The noun "token": bearer tokens made, listed and revoked. A new token goes to stdout, this once,
 * or straight into a file that only its owner can read. */

#include <errno.h>
#include <fcntl.h>
#include <string.h>

#include "lib/clock.h"
#include "lib/file.h"
#include "schedctl/command.h"
#include "schedctl/show.h"
#include "schedctl/text.h"

#define COLLECTION "/v1/tokens"

static const struct table_column columns[] = {
	{ .title = "NAME" },
	{ .title = "ROLE" },
	{ .title = "SUBJECT" },
	{ .title = "EXPIRES" },
	{ .title = "USED", .right = true },
	{ .title = "AGE", .right = true },
	{ .title = "ID", .wide_only = true },
	{ .title = "BY", .wide_only = true },
};

static void add_row(struct table *table, json_t *token)
{
	table_cell(table, STYLE_PLAIN, text_field(token, "name"));
	table_cell(table, STYLE_PLAIN, text_field(token, "role"));
	table_cell(table, STYLE_PLAIN, text_field(token, "subject"));
	table_cell(table, STYLE_PLAIN, text_field(token, "expires_at"));
	show_age_cell(table, text_field(token, "last_used_at"));
	show_age_cell(table, text_field(token, "created_at"));
	table_cell(table, STYLE_PLAIN, text_field(token, "id"));
	table_cell(table, STYLE_PLAIN, text_field(token, "created_by"));
}

static const struct output_list list = {
	.columns = columns, .n_columns = ARRAY_SIZE(columns), .name_key = "name", .row = add_row
};

static int run_list(struct context *context, const struct args *args, struct error *err)
{
	return show_list(context, COLLECTION, &list, err);
}

/* ---- create ---- */

static int set_expiry(json_t *body, const char *text, struct error *err)
{
	uint64_t ms;

	if (duration_parse(text, &ms) < 0 || ms < 1000)
		return error_set(err, -EINVAL, "usage", "expires",
				 "--expires \"%s\" is not a duration like 12h or 90d", text);
	return json_object_set_new(body, "expires_at",
				   json_time(clock_unix_seconds() + (int64_t)(ms / 1000))) < 0
		       ? -ENOMEM
		       : 0;
}

static int build(const struct args *args, json_t **ret, struct error *err)
{
	const char *role = args_text(args, "role"), *subject = args_text(args, "subject");
	const char *expires = args_text(args, "expires");
	_cleanup_json_ json_t *body = NULL;
	int r = 0;

	if (!role)
		return error_set(err, -EINVAL, "usage", "role",
				 "token create needs --role admin, customer, host or gateway");
	body = json_pack("{s:s, s:s, s:s*}", "name", args->positional[0], "role", role, "subject",
			 subject);
	if (!body)
		return error_set(err, -EINVAL, "usage", NULL, "the name is not UTF-8");
	if (expires)
		r = set_expiry(body, expires, err);
	if (r == 0)
		*ret = TAKE_PTR(body);
	return r;
}

/* Before the token is made, so that none is made that cannot be kept. */
static int open_file(const char *path, int *ret_fd, struct error *err)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600), r = -errno;

	if (fd < 0)
		return error_set(err, -EINVAL, "usage", "save", "cannot make %s: %s", path,
				 error_text(NULL, r));
	*ret_fd = fd;
	return 0;
}

static int keep(int fd, const char *path, const char *text, struct error *err)
{
	int r = write_all(fd, text, strlen(text));

	if (r == 0)
		r = write_all(fd, "\n", 1);
	if (r == 0 && fsync(fd) < 0)
		r = -errno;
	return r < 0 ? error_set(err, -EIO, "io", "save",
				 "the token was made and cannot be written to %s: %s; revoke it",
				 path, error_text(NULL, r))
		     : 0;
}

static int print(struct context *context, const json_t *token)
{
	if (context->output.format == OUTPUT_JSON)
		return output_json(token, false);
	note("token %s of role %s (shown only now)", text_field(token, "name"),
	     text_field(token, "role"));
	return output_line(text_field(token, "token"));
}

/* An earlier try may have made it, and then nobody has read its text in the answer to that. */
static int make(struct context *context, json_t *body, json_t **ret, struct error *err)
{
	_cleanup_json_ json_t *token = NULL;
	const char *name;
	int r = client_call(context->client, "POST", COLLECTION, body, &token, err);

	if (r < 0)
		return r;
	name = text_field(token, "name");
	if (!*text_field(token, "token"))
		return error_set(err, -EIO, "lost", NULL,
				 "an earlier try of this request made token %s, and its text was "
				 "lost with the answer: it is shown only once; \"schedctl token "
				 "revoke %s\" and create it anew",
				 name, name);
	*ret = TAKE_PTR(token);
	return 0;
}

static int run_create(struct context *context, const struct args *args, struct error *err)
{
	_cleanup_json_ json_t *body = NULL, *token = NULL;
	const char *path = args_text(args, "save");
	_cleanup_close_ int fd = -1;
	int r = build(args, &body, err);

	if (r == 0 && path)
		r = open_file(path, &fd, err);
	if (r < 0)
		return r;
	r = make(context, body, &token, err);
	if (r < 0 && path)
		(void)unlink(path);
	if (r < 0)
		return r;
	if (!path)
		return print(context, token);
	r = keep(fd, path, text_field(token, "token"), err);
	if (r < 0)
		return r;
	(void)json_object_del(token, "token");
	return output_done(&context->output, token, text_field(token, "name"),
			   "token %s of role %s is in %s", text_field(token, "name"),
			   text_field(token, "role"), path);
}

/* ---- revoke ---- */

static int run_revoke(struct context *context, const struct args *args, struct error *err)
{
	_cleanup_json_ json_t *answer = NULL;
	const char *name = args->positional[0];
	char path[CLIENT_PATH_MAX];
	int r = client_path(path, COLLECTION, name, NULL, err);

	if (r == 0)
		r = client_call(context->client, "DELETE", path, NULL, &answer, err);
	if (r == 0)
		r = output_done(&context->output, answer, name, "token %s is revoked", name);
	return r;
}

static const struct args_option create_options[] = {
	{ .name = "role", .argument = "ROLE", .help = "admin, customer, host or gateway" },
	{ .name = "subject",
	  .argument = "NAME",
	  .help = "the customer, host or gateway that it stands for" },
	{ .name = "expires", .argument = "DURATION", .help = "12h, 90d; default: never" },
	{ .name = "save",
	  .argument = "FILE",
	  .help = "put it into a new file of mode 0600 and not on stdout" },
};

static const struct args_table create_table = { create_options, ARRAY_SIZE(create_options) };

static const struct command commands[] = {
	{ .verb = "create",
	  .arguments = "NAME",
	  .summary = "Make a token and show it, this once",
	  .options = &create_table,
	  .min_arguments = 1,
	  .max_arguments = 1,
	  .sides = SIDE_SCHEDD,
	  .run = run_create },
	{ .verb = "list",
	  .summary = "List tokens, without their secrets",
	  .sides = SIDE_SCHEDD,
	  .run = run_list },
	{ .verb = "revoke",
	  .arguments = "TOKEN",
	  .summary = "Revoke a token, by its name or id; its streams end",
	  .min_arguments = 1,
	  .max_arguments = 1,
	  .sides = SIDE_SCHEDD,
	  .run = run_revoke },
};

const struct noun noun_token = {
	.name = "token",
	.summary = "Tokens: who may call schedd",
	.commands = commands,
	.n_commands = ARRAY_SIZE(commands),
};
