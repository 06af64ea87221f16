/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What "list" and "show" of all nouns have in common. */

#include <arpa/inet.h>
#include <inttypes.h>
#include <string.h>

#include "lib/clock.h"
#include "schedctl/quantity.h"
#include "schedctl/show.h"
#include "schedctl/text.h"

int show_fetch(struct context *context, const char *collection, const char *name, json_t **ret,
	       struct error *err)
{
	char path[CLIENT_PATH_MAX];
	int r;

	r = client_path(path, collection, name, NULL, err);
	if (r < 0)
		return r;
	return client_call(context->client, "GET", path, NULL, ret, err);
}

int show_list(struct context *context, const char *collection, const struct output_list *list,
	      struct error *err)
{
	_cleanup_json_ json_t *answer = NULL;
	int r;

	r = client_call(context->client, "GET", collection, NULL, &answer, err);
	if (r < 0)
		return r;
	return output_list(&context->output, list, answer, err);
}

int show_one(struct context *context, const char *collection, const char *name,
	     const char *name_key, int (*details)(const struct output *output, json_t *item),
	     struct error *err)
{
	_cleanup_json_ json_t *item = NULL;
	int r;

	r = show_fetch(context, collection, name, &item, err);
	if (r < 0)
		return r;
	if (context->output.format == OUTPUT_JSON)
		return output_json(item, false);
	if (context->output.format == OUTPUT_NAME)
		return output_line(text_field(item, name_key));
	return details(&context->output, item);
}

char *show_port_text(const json_t *item)
{
	const char *address = text_field(item, "address");

	return text_format(strchr(address, ':') ? "[%s]:%" PRIu64 "/%s" : "%s:%" PRIu64 "/%s",
			   address, number_field(item, "port"), text_field(item, "protocol"));
}

void show_endpoint_cell(struct table *table, const json_t *endpoint)
{
	const char *address = text_field(endpoint, "address");
	uint64_t port = number_field(endpoint, "port");

	if (*address == '\0')
		table_cell(table, STYLE_PLAIN, NULL);
	else
		table_cellf(table, strchr(address, ':') ? "[%s]:%" PRIu64 : "%s:%" PRIu64, address,
			    port);
}

void show_age_cell(struct table *table, const char *time)
{
	char age[QUANTITY_STRING_MAX];
	int64_t seconds;

	if (time_parse(time, &seconds) < 0)
		table_cell(table, STYLE_PLAIN, NULL);
	else
		table_cell(table, STYLE_PLAIN, age_format(clock_unix_seconds() - seconds, age));
}

int show_new(struct table **ret)
{
	static const struct table_column columns[2];

	return table_new(ret, columns, ARRAY_SIZE(columns));
}

void show_text(struct table *table, const char *key, const char *value)
{
	table_cellf(table, "%s:", key);
	table_cell(table, STYLE_PLAIN, value);
}

void show_optional(struct table *table, const char *key, const char *value)
{
	if (*value)
		show_text(table, key, value);
}

void show_time(struct table *table, const char *key, const char *time)
{
	char age[QUANTITY_STRING_MAX];
	int64_t seconds;

	if (time_parse(time, &seconds) < 0)
		return;
	table_cellf(table, "%s:", key);
	table_cellf(table, "%s (%s ago)", time, age_format(clock_unix_seconds() - seconds, age));
}

void show_pairs(struct table *table, const char *key, json_t *object)
{
	const char *name;
	json_t *value;

	json_object_foreach (object, name, value) {
		table_cellf(table, "%s:", key);
		table_cellf(table, "%s=%s", name,
			    json_is_string(value) ? json_string_value(value) : "");
	}
}
