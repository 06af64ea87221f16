/* SPDX-License-Identifier: GPL-2.0-or-later */
/* "env create": sends the request, and with --wait follows it to its ssh command. */

#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "schedctl/env.h"
#include "schedctl/request.h"
#include "schedctl/text.h"
#include "schedctl/wait.h"

/* The password goes to stderr, so that the last line of stdout is the ssh command and a
 * script that keeps stdout does not keep a secret by accident. */
static void tell_password(const json_t *created)
{
	const char *password = text_field(created, "password");
	const char *user = text_field(created, "user");

	if (*password)
		note("password%s%s: %s (shown only now)", *user ? " of " : "", user, password);
}

/* An earlier try had made it, and nobody has read the password in the answer to that. */
static void tell_lost_password(const json_t *created)
{
	bool keys = json_array_size(json_object_get(created, "ssh_authorized_keys")) > 0;

	if (*text_field(created, "password") || !*text_field(created, "notice"))
		return;
	note("an earlier try of this request made the environment, and its password was lost with "
	     "the answer: it is shown only once; %sto get another, \"schedctl env delete %s\" and "
	     "create it anew",
	     keys ? "log in with an SSH key, or, " : "", text_field(created, "id"));
}

/* What to connect with: the ssh command, or the published ports of what has no ssh. */
static int print_connect(const json_t *environment)
{
	const char *connect = text_field(environment, "connect");
	json_t *port;
	size_t i;
	int r = 0;

	if (*connect)
		return output_line(connect);
	json_array_foreach (json_object_get(environment, "ports"), i, port) {
		char line[512];

		(void)snprintf(line, sizeof(line), "%s %s:%" PRIu64 "/%s",
			       text_field(port, "service"), text_field(port, "address"),
			       number_field(port, "port"), text_field(port, "protocol"));
		r = output_line(line);
		if (r < 0)
			break;
	}
	return r;
}

/* With -o json the password is only here, so that it is printed also where waiting failed. */
static int print_json(const json_t *created, json_t *environment)
{
	static const char *const once[] = { "password", "notice" };

	for (size_t i = 0; i < ARRAY_SIZE(once) && environment != created; i++) {
		json_t *value = json_object_get(created, once[i]);

		if (value && json_object_set(environment, once[i], value) < 0)
			return -ENOMEM;
	}
	return output_json(environment, false);
}

static int finish(struct context *context, json_t *created, json_t *environment, bool running)
{
	switch (context->output.format) {
	case OUTPUT_JSON:
		return print_json(created, environment);
	case OUTPUT_NAME:
		return output_line(text_field(environment, "name"));
	case OUTPUT_TABLE:
	case OUTPUT_WIDE:
		if (running)
			return print_connect(environment);
		return env_print_row(&context->output, environment);
	case OUTPUT_INVALID:
		break;
	}
	return -EINVAL;
}

static int wait_and_finish(struct context *context, json_t *created, uint64_t timeout_ms,
			   struct error *err)
{
	_cleanup_json_ json_t *last = NULL;
	int r, r_print = 0;

	r = wait_for(context, text_field(created, "id"), text_field(created, "name"), WAIT_RUNNING,
		     timeout_ms, &last, err);
	if (r == 0 || context->output.format == OUTPUT_JSON)
		r_print = finish(context, created, last ? last : created, true);
	return r < 0 ? r : r_print;
}

int env_create(struct context *context, const struct args *args, struct error *err)
{
	_cleanup_json_ json_t *body = NULL, *created = NULL;
	uint64_t timeout_ms;
	int r;

	r = wait_timeout(args, &timeout_ms, err);
	if (r == 0)
		r = request_build(args, &body, err);
	if (r == 0)
		r = client_call(context->client, "POST", ENV_COLLECTION, body, &created, err);
	if (r < 0)
		return r;
	if (context->output.format != OUTPUT_JSON)
		tell_password(created);
	tell_lost_password(created);
	if (args_flag(args, "wait"))
		return wait_and_finish(context, created, timeout_ms, err);
	return finish(context, created, created, false);
}
