/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The noun "env": environments listed, shown and watched; env_create.c, env_act.c, env_logs.c
 * and env_ssh.c hold the longer verbs.
 */

#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "lib/clock.h"
#include "schedctl/env.h"
#include "schedctl/env_act.h"
#include "schedctl/progress.h"
#include "schedctl/quantity.h"
#include "schedctl/request.h"
#include "schedctl/show.h"
#include "schedctl/text.h"
#include "schedctl/wait.h"

static const struct table_column columns[] = {
	{ .title = "NAME" },
	{ .title = "ID", .wide_only = true },
	{ .title = "PHASE" },
	{ .title = "HOST" },
	{ .title = "SSH" },
	{ .title = "CPU", .right = true },
	{ .title = "MEMORY", .right = true },
	{ .title = "GPU", .right = true },
	{ .title = "AGE", .right = true },
	{ .title = "IMAGE", .wide_only = true },
	{ .title = "POOL", .wide_only = true },
	{ .title = "REASON", .wide_only = true },
};

json_t *env_find_port(const json_t *environment, const char *service)
{
	json_t *port;
	size_t i;

	json_array_foreach (json_object_get(environment, "ports"), i, port) {
		if (strcmp(text_field(port, "service"), service) == 0)
			return port;
	}
	return NULL;
}

static enum table_style phase_style(const char *phase)
{
	if (strcmp(phase, "running") == 0)
		return STYLE_GOOD;
	if (strcmp(phase, "failed") == 0 || strcmp(phase, "unreachable") == 0)
		return STYLE_BAD;
	if (strcmp(phase, "stopped") == 0 || strcmp(phase, "deleted") == 0)
		return STYLE_PLAIN;
	return STYLE_PENDING;
}

static void add_row(struct table *table, json_t *environment)
{
	char phase[64], cpu[QUANTITY_STRING_MAX], memory[QUANTITY_STRING_MAX];

	table_cell(table, STYLE_PLAIN, text_field(environment, "name"));
	table_cell(table, STYLE_PLAIN, text_field(environment, "id"));
	table_cell(table, phase_style(text_field(environment, "phase")),
		   progress_phase(environment, phase, sizeof(phase)));
	table_cell(table, STYLE_PLAIN, text_field(environment, "host"));
	show_endpoint_cell(table, env_find_port(environment, "ssh"));
	table_cell(table, STYLE_PLAIN, cpu_format(number_field(environment, "cpu_milli"), cpu));
	table_cell(table, STYLE_PLAIN,
		   memory_format(number_field(environment, "memory_bytes"), memory));
	table_cellf(table, "%" PRIu64, number_field(environment, "gpu"));
	show_age_cell(table, text_field(environment, "created_at"));
	table_cell(table, STYLE_PLAIN, text_field(environment, "image"));
	table_cell(table, STYLE_PLAIN, text_field(environment, "pool"));
	table_cell(table, STYLE_PLAIN, text_field(environment, "reason"));
}

static const struct output_list list = {
	.columns = columns, .n_columns = ARRAY_SIZE(columns), .name_key = "name", .row = add_row
};

int env_print_row(const struct output *output, json_t *environment)
{
	_cleanup_(cleanup_table) struct table *table = NULL;
	int r;

	r = table_new(&table, columns, ARRAY_SIZE(columns));
	if (r < 0)
		return r;
	add_row(table, environment);
	return output_table(output, table);
}

int env_fetch(struct context *context, const char *name, json_t **ret, struct error *err)
{
	return show_fetch(context, ENV_COLLECTION, name, ret, err);
}

static int run_list(struct context *context, const struct args *args, struct error *err)
{
	return show_list(context, ENV_COLLECTION, &list, err);
}

static void add_ports(struct table *table, const json_t *environment)
{
	json_t *port;
	size_t i;

	json_array_foreach (json_object_get(environment, "ports"), i, port) {
		json_t *target = json_object_get(port, "target");

		table_cellf(table, "Port %s:", text_field(port, "service"));
		table_cellf(table, "%s:%" PRIu64 "/%s %s%s%s", text_field(port, "address"),
			    number_field(port, "port"), text_field(port, "protocol"),
			    text_field(port, "state"), json_is_object(target) ? ", to " : "",
			    json_is_object(target) ? text_field(target, "address") : "");
	}
}

/* How it ended, and when it will. */
static void show_ends(struct table *table, const json_t *environment)
{
	const json_t *exit_code = json_object_get(environment, "exit_code");
	uint64_t crashes = number_field(environment, "crashes");
	const char *expires_at = text_field(environment, "expires_at");

	if (json_is_integer(exit_code)) {
		table_cellf(table, "Last exit:");
		table_cellf(table, "status %" JSON_INTEGER_FORMAT, json_integer_value(exit_code));
	}
	if (crashes > 0) {
		table_cellf(table, "Ended:");
		table_cellf(table, "%" PRIu64 " times in a row", crashes);
	}
	show_optional(table, "Next try", text_field(environment, "next_try"));
	if (*expires_at) {
		table_cellf(table, "Deadline:");
		table_cellf(table, "%s, then %s", expires_at, text_field(environment, "on_expiry"));
	}
}

static int print_details(const struct output *output, json_t *environment)
{
	_cleanup_(cleanup_table) struct table *table = NULL;
	char phase[64], cpu[QUANTITY_STRING_MAX], memory[QUANTITY_STRING_MAX];
	int r;

	r = show_new(&table);
	if (r < 0)
		return r;
	show_text(table, "Name", text_field(environment, "name"));
	show_text(table, "ID", text_field(environment, "id"));
	table_cell(table, STYLE_PLAIN, "Phase:");
	table_cell(table, phase_style(text_field(environment, "phase")),
		   progress_phase(environment, phase, sizeof(phase)));
	show_optional(table, "Reason", text_field(environment, "reason"));
	show_optional(table, "Asked for", text_field(environment, "action"));
	show_ends(table, environment);
	show_text(table, "Host", text_field(environment, "host"));
	show_text(table, "Pool", text_field(environment, "pool"));
	show_text(table, "Image", text_field(environment, "image"));
	show_text(table, "CPU", cpu_format(number_field(environment, "cpu_milli"), cpu));
	show_text(table, "Memory",
		  memory_format(number_field(environment, "memory_bytes"), memory));
	table_cell(table, STYLE_PLAIN, "GPU:");
	table_cellf(table, "%" PRIu64, number_field(environment, "gpu"));
	show_pairs(table, "Label", json_object_get(environment, "labels"));
	show_pairs(table, "Volume", json_object_get(environment, "volumes"));
	add_ports(table, environment);
	show_time(table, "Created", text_field(environment, "created_at"));
	show_optional(table, "Host key", text_field(environment, "ssh_host_key"));
	show_optional(table, "Connect", text_field(environment, "connect"));
	return output_table(output, table);
}

static int run_show(struct context *context, const struct args *args, struct error *err)
{
	return show_one(context, ENV_COLLECTION, args->positional[0], "name", print_details, err);
}

struct watcher {
	struct context *context;
	bool single; /* ends with the one environment that is watched */
	int r;
};

static void print_event(struct watcher *watcher, json_t *environment)
{
	char phase[64], line[1024], now[TIME_STRING_MAX];
	const char *reason = text_field(environment, "reason");

	if (watcher->r < 0)
		return;
	if (watcher->context->output.format == OUTPUT_JSON) {
		watcher->r = output_json(environment, true);
	} else if (watcher->context->output.format == OUTPUT_NAME) {
		watcher->r = output_line(text_field(environment, "name"));
	} else {
		(void)snprintf(line, sizeof(line), "%s %s %s%s%s",
			       time_format(clock_unix_seconds(), now),
			       text_field(environment, "name"),
			       progress_phase(environment, phase, sizeof(phase)),
			       *reason ? ": " : "", reason);
		watcher->r = output_line(line);
	}
	if (watcher->r == 0 && fflush(stdout) != 0)
		watcher->r = -EIO;
	if (watcher->r < 0 ||
	    (watcher->single && strcmp(text_field(environment, "phase"), "deleted") == 0))
		client_stop(watcher->context->client);
}

static void on_snapshot(void *userdata, uint64_t epoch, uint64_t revision, json_t *items)
{
	json_t *environment;
	size_t i;

	json_array_foreach (items, i, environment)
		print_event(userdata, environment);
}

static void on_change(void *userdata, uint64_t epoch, uint64_t revision, json_t *put,
		      json_t *deleted)
{
	struct watcher *watcher = userdata;

	on_snapshot(userdata, epoch, revision, put);
	if (watcher->single && json_array_size(deleted) > 0)
		client_stop(watcher->context->client);
}

static void on_lost(void *userdata, const char *reason)
{
	note_error(reason);
}

static int run_watch(struct context *context, const struct args *args, struct error *err)
{
	static const struct watch_events events = { .on_snapshot = on_snapshot,
						    .on_change = on_change };
	struct watcher watcher = { .context = context, .single = args->n_positional > 0 };
	char path[CLIENT_PATH_MAX];
	int r;

	r = client_path(path, ENV_COLLECTION, watcher.single ? args->positional[0] : NULL,
			"watch=1", err);
	if (r == 0)
		r = client_watch(context->client, path, &events, on_lost, &watcher, 0, err);
	return r < 0 ? r : watcher.r;
}

static const struct command commands[] = {
	{ .verb = "create",
	  .summary = "Create an environment",
	  .details =
		  "With --wait, the phases are told on stderr and the last line on stdout is the ssh\n"
		  "command. The generated password is shown on stderr, this once; with -o json it "
		  "is\nin the answer.",
	  .options = &request_options,
	  .sides = SIDE_SCHEDD,
	  .run = env_create },
	{ .verb = "list", .summary = "List environments", .sides = SIDE_SCHEDD, .run = run_list },
	{ .verb = "show",
	  .arguments = "ENV",
	  .summary = "Show one environment, with the reason of its state",
	  .min_arguments = 1,
	  .max_arguments = 1,
	  .sides = SIDE_SCHEDD,
	  .run = run_show },
	{ .verb = "start",
	  .arguments = "ENV…",
	  .summary = "Start environments",
	  .options = &env_wait_options,
	  .min_arguments = 1,
	  .max_arguments = SIZE_MAX,
	  .sides = SIDE_SCHEDD,
	  .run = env_start },
	{ .verb = "stop",
	  .arguments = "ENV…",
	  .summary = "Stop environments; they keep their ports and what they have stored",
	  .options = &env_wait_options,
	  .min_arguments = 1,
	  .max_arguments = SIZE_MAX,
	  .sides = SIDE_SCHEDD,
	  .run = env_stop },
	{ .verb = "restart",
	  .arguments = "ENV…",
	  .summary = "Stop and start environments",
	  .options = &env_wait_options,
	  .min_arguments = 1,
	  .max_arguments = SIZE_MAX,
	  .sides = SIDE_SCHEDD,
	  .run = env_restart },
	{ .verb = "move",
	  .arguments = "ENV…",
	  .summary = "Move environments whose volumes are shared to another host",
	  .options = &env_move_options,
	  .min_arguments = 1,
	  .max_arguments = SIZE_MAX,
	  .sides = SIDE_SCHEDD,
	  .run = env_move },
	{ .verb = "extend",
	  .arguments = "ENV…",
	  .summary = "Give environments more time",
	  .options = &env_extend_options,
	  .min_arguments = 1,
	  .max_arguments = SIZE_MAX,
	  .sides = SIDE_SCHEDD,
	  .run = env_extend },
	{ .verb = "delete",
	  .arguments = "ENV…",
	  .summary = "Delete environments",
	  .options = &env_wait_options,
	  .min_arguments = 1,
	  .max_arguments = SIZE_MAX,
	  .sides = SIDE_SCHEDD,
	  .run = env_delete },
	{ .verb = "logs",
	  .arguments = "ENV",
	  .summary = "Show what an environment has written to stdout and stderr",
	  .details =
		  "With --follow it goes on until the container ends. Both streams go to stdout; "
		  "with\n-o json each line is an object that names its stream.",
	  .options = &env_logs_options,
	  .min_arguments = 1,
	  .max_arguments = 1,
	  .sides = SIDE_SCHEDD,
	  .run = env_logs },
	{ .verb = "ssh",
	  .arguments = "ENV [COMMAND…] | ENV -- [SSH-OPTION…] [COMMAND…]",
	  .summary = "Connect with OpenSSH, with the right port and the known host key",
	  .min_arguments = 1,
	  .max_arguments = SIZE_MAX,
	  .verbatim = true,
	  .sides = SIDE_SCHEDD,
	  .run = env_ssh },
	{ .verb = "watch",
	  .arguments = "[ENV]",
	  .summary = "Follow changes, a line each, until interrupted or ENV is deleted",
	  .max_arguments = 1,
	  .sides = SIDE_SCHEDD,
	  .run = run_watch },
};

const struct noun noun_env = {
	.name = "env",
	.summary = "Environments: containers with their own public ports",
	.commands = commands,
	.n_commands = ARRAY_SIZE(commands),
};
