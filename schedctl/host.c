/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The noun "host": hosts listed and shown; host_mode.c holds what changes them. */

#include <inttypes.h>
#include <string.h>

#include "schedctl/host_mode.h"
#include "schedctl/quantity.h"
#include "schedctl/show.h"
#include "schedctl/text.h"

#define COLLECTION HOST_COLLECTION

static const struct table_column columns[] = {
	{ .title = "NAME" },
	{ .title = "STATUS" },
	{ .title = "POOL" },
	{ .title = "ADDRESS" },
	{ .title = "CPU FREE/ALL", .right = true },
	{ .title = "MEMORY FREE/ALL", .right = true },
	{ .title = "GPU FREE/ALL", .right = true },
	{ .title = "ENVS", .right = true },
	{ .title = "SEEN", .right = true },
	{ .title = "VERSION", .wide_only = true },
	{ .title = "PROBLEM", .wide_only = true },
};

static enum table_style status_style(const char *status)
{
	if (strcmp(status, "online") == 0)
		return STYLE_GOOD;
	return strcmp(status, "offline") == 0 ? STYLE_BAD : STYLE_PENDING;
}

/* What it is for people: who has only cordoned a host does not want to read that it is emptied. */
static const char *shown_status(const json_t *host)
{
	const char *status = text_field(host, "status"), *mode = text_field(host, "mode");

	return strcmp(status, "draining") == 0 && strcmp(mode, "cordoned") == 0 ? mode : status;
}

/* GPUs are told as a number or one by one. */
static uint64_t count_gpus(const json_t *resources)
{
	const json_t *gpus = json_object_get(resources, "gpus");

	return json_is_array(gpus) ? json_array_size(gpus) : number_field(resources, "gpus");
}

static void add_resources(struct table *table, const json_t *available, const json_t *capacity)
{
	char left[QUANTITY_STRING_MAX], right[QUANTITY_STRING_MAX];

	table_cellf(table, "%s/%s", cpu_format(number_field(available, "cpu_milli"), left),
		    cpu_format(number_field(capacity, "cpu_milli"), right));
	table_cellf(table, "%s/%s", memory_format(number_field(available, "memory_bytes"), left),
		    memory_format(number_field(capacity, "memory_bytes"), right));
	table_cellf(table, "%" PRIu64 "/%" PRIu64, count_gpus(available), count_gpus(capacity));
}

static void add_row(struct table *table, json_t *host)
{
	const char *status = shown_status(host);

	table_cell(table, STYLE_PLAIN, text_field(host, "id"));
	table_cell(table, status_style(status), status);
	table_cell(table, STYLE_PLAIN, text_field(host, "pool"));
	table_cell(table, STYLE_PLAIN, text_field(host, "address"));
	add_resources(table, json_object_get(host, "free"), json_object_get(host, "capacity"));
	table_cellf(table, "%" PRIu64, number_field(host, "environments"));
	show_age_cell(table, text_field(host, "last_heartbeat"));
	table_cell(table, STYLE_PLAIN, text_field(host, "version"));
	table_cell(table, STYLE_PLAIN, text_field(host, "engine_error"));
}

static const struct output_list list = {
	.columns = columns, .n_columns = ARRAY_SIZE(columns), .name_key = "id", .row = add_row
};

static int run_list(struct context *context, const struct args *args, struct error *err)
{
	return show_list(context, COLLECTION, &list, err);
}

static void add_gpus(struct table *table, const json_t *capacity)
{
	char memory[QUANTITY_STRING_MAX];
	json_t *gpu;
	size_t i;

	json_array_foreach (json_object_get(capacity, "gpus"), i, gpu) {
		table_cellf(table, "GPU %zu:", i);
		table_cellf(table, "%s, %s, %s", text_field(gpu, "model"),
			    memory_format(number_field(gpu, "memory_bytes"), memory),
			    text_field(gpu, "uuid"));
	}
}

static void add_free(struct table *table, const char *key, const char *available, const char *all)
{
	table_cellf(table, "%s:", key);
	table_cellf(table, "%s free of %s", available, all);
}

static void add_drain(struct table *table, const json_t *drain)
{
	if (!json_is_object(drain))
		return;
	table_cellf(table, "Drain:");
	table_cellf(table, "%" PRIu64 " left, %" PRIu64 " moving, %" PRIu64 " cannot move",
		    number_field(drain, "left"), number_field(drain, "moving"),
		    number_field(drain, "staying"));
}

static void add_overcommit(struct table *table, const json_t *host)
{
	uint64_t percent = number_field(host, "cpu_overcommit_percent");

	if (percent <= 100)
		return;
	table_cellf(table, "CPU overcommit:");
	table_cellf(table, "%" PRIu64 "%%", percent);
}

static int print_details(const struct output *output, json_t *host)
{
	_cleanup_(cleanup_table) struct table *table = NULL;
	const json_t *available = json_object_get(host, "free");
	const json_t *capacity = json_object_get(host, "capacity");
	char left[QUANTITY_STRING_MAX], right[QUANTITY_STRING_MAX];
	const char *status = shown_status(host), *mode = text_field(host, "mode");
	int r;

	r = show_new(&table);
	if (r < 0)
		return r;
	show_text(table, "Name", text_field(host, "id"));
	table_cell(table, STYLE_PLAIN, "Status:");
	table_cell(table, status_style(status), status);
	show_time(table, "Since", text_field(host, "status_since"));
	if (strcmp(mode, "active") != 0 && strcmp(mode, status) != 0)
		show_text(table, "Mode", mode);
	add_drain(table, json_object_get(host, "drain"));
	show_optional(table, "Problem", text_field(host, "engine_error"));
	show_text(table, "Pool", text_field(host, "pool"));
	show_text(table, "Address", text_field(host, "address"));
	add_free(table, "CPU", cpu_format(number_field(available, "cpu_milli"), left),
		 cpu_format(number_field(capacity, "cpu_milli"), right));
	add_overcommit(table, host);
	add_free(table, "Memory", memory_format(number_field(available, "memory_bytes"), left),
		 memory_format(number_field(capacity, "memory_bytes"), right));
	table_cell(table, STYLE_PLAIN, "GPUs:");
	table_cellf(table, "%" PRIu64 " free of %" PRIu64, count_gpus(available),
		    count_gpus(capacity));
	add_gpus(table, capacity);
	table_cell(table, STYLE_PLAIN, "Environments:");
	table_cellf(table, "%" PRIu64, number_field(host, "environments"));
	show_pairs(table, "Label", json_object_get(host, "labels"));
	show_time(table, "Last heartbeat", text_field(host, "last_heartbeat"));
	show_optional(table, "Version", text_field(host, "version"));
	return output_table(output, table);
}

static int run_show(struct context *context, const struct args *args, struct error *err)
{
	return show_one(context, COLLECTION, args->positional[0], "id", print_details, err);
}

static const struct command commands[] = {
	{ .verb = "list", .summary = "List hosts", .sides = SIDE_SCHEDD, .run = run_list },
	{ .verb = "show",
	  .arguments = "HOST",
	  .summary = "Show one host",
	  .min_arguments = 1,
	  .max_arguments = 1,
	  .sides = SIDE_SCHEDD,
	  .run = run_show },
	{ .verb = "cordon",
	  .arguments = "HOST…",
	  .summary = "Let hosts take nothing new",
	  .min_arguments = 1,
	  .max_arguments = SIZE_MAX,
	  .sides = SIDE_SCHEDD,
	  .run = host_cordon },
	{ .verb = "drain",
	  .arguments = "HOST…",
	  .summary = "Empty hosts: what can move does, the rest stays until it is deleted",
	  .options = &host_drain_options,
	  .min_arguments = 1,
	  .max_arguments = SIZE_MAX,
	  .sides = SIDE_SCHEDD,
	  .run = host_drain },
	{ .verb = "maintenance",
	  .arguments = "HOST…",
	  .summary =
		  "Expect hosts to be away; their environments say so and are not placed elsewhere",
	  .min_arguments = 1,
	  .max_arguments = SIZE_MAX,
	  .sides = SIDE_SCHEDD,
	  .run = host_maintenance },
	{ .verb = "delete",
	  .arguments = "HOST…",
	  .summary = "Remove hosts and revoke their tokens",
	  .options = &host_delete_options,
	  .min_arguments = 1,
	  .max_arguments = SIZE_MAX,
	  .sides = SIDE_SCHEDD,
	  .run = host_delete },
	{ .verb = "set",
	  .arguments = "HOST…",
	  .summary = "Set how much of their CPU may be given away",
	  .options = &host_set_options,
	  .min_arguments = 1,
	  .max_arguments = SIZE_MAX,
	  .sides = SIDE_SCHEDD,
	  .run = host_set },
	{ .verb = "uncordon",
	  .arguments = "HOST…",
	  .summary = "Let hosts take environments again",
	  .min_arguments = 1,
	  .max_arguments = SIZE_MAX,
	  .sides = SIDE_SCHEDD,
	  .run = host_uncordon },
};

const struct noun noun_host = {
	.name = "host",
	.summary = "Hosts: machines that run environments",
	.commands = commands,
	.n_commands = ARRAY_SIZE(commands),
};
