/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What "list" and "show" of all nouns have in common. */

#include <arpa/inet.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "lib/clock.h"
#include "schedctl/quantity.h"
#include "schedctl/show.h"
#include "schedctl/text.h"

#define PAGE 1000 /* rows of a list that are fetched at a time */

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

/* The page after a row (NULL: the first). */
static int fetch_page(struct context *context, const char *collection, const char *after,
		      json_t **ret, struct error *err)
{
	char last[CLIENT_PATH_MAX] = "", path[CLIENT_PATH_MAX];
	int r = 0;

	if (after) /* as a path of its own it is encoded */
		r = client_path(last, "", after, NULL, err);
	if (r == 0 && snprintf(path, sizeof(path), "%s?limit=%d%s%s", collection, PAGE,
			       after ? "&after=" : "", after ? last + 1 : "") >= (int)sizeof(path))
		return error_set(err, -EPROTO, "protocol", "next", "the answer's next is too long");
	return r < 0 ? r : client_call(context->client, "GET", path, NULL, ret, err);
}

static int compare_created(const void *a, const void *b)
{
	return strcmp(text_field(*(json_t *const *)a, "created_at"),
		      text_field(*(json_t *const *)b, "created_at"));
}

/* Pages come in the order of ids; people look for what is new at the end. */
static int sort_items(json_t *answer)
{
	json_t *items = json_object_get(answer, "items"), *sorted;
	size_t n = json_array_size(items);
	_cleanup_free_ json_t **rows = calloc(n + 1, sizeof(*rows));
	int r;

	if (!json_is_array(items))
		return 0; /* output_list says so */
	sorted = json_array();
	r = rows && sorted ? 0 : -ENOMEM;
	for (size_t i = 0; r == 0 && i < n; i++)
		rows[i] = json_array_get(items, i);
	if (r == 0)
		qsort(rows, n, sizeof(*rows), compare_created);
	for (size_t i = 0; r == 0 && i < n; i++)
		r = json_array_append(sorted, rows[i]);
	if (r < 0) {
		json_decref(sorted);
		return -ENOMEM;
	}
	return json_object_set_new(answer, "items", sorted) < 0 ? -ENOMEM : 0;
}

int show_fetch_all(struct context *context, const char *collection, json_t **ret, struct error *err)
{
	_cleanup_json_ json_t *all = NULL;
	int r = fetch_page(context, collection, NULL, &all, err);

	while (r == 0 && *text_field(all, "next")) {
		_cleanup_json_ json_t *page = NULL;

		r = fetch_page(context, collection, text_field(all, "next"), &page, err);
		if (r == 0 &&
		    (json_array_extend(json_object_get(all, "items"),
				       json_object_get(page, "items")) < 0 ||
		     json_object_set(all, "revision", json_object_get(page, "revision")) < 0 ||
		     json_object_set(all, "next", json_object_get(page, "next")) < 0))
			r = error_set(err, -EPROTO, "protocol", "items",
				      "a page of the list has no items");
	}
	if (r == 0)
		r = sort_items(all);
	if (r == 0)
		*ret = TAKE_PTR(all);
	return r;
}

int show_list(struct context *context, const char *collection, const struct output_list *list,
	      struct error *err)
{
	_cleanup_json_ json_t *answer = NULL;
	int r;

	r = show_fetch_all(context, collection, &answer, err);
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

int show_name_ports(json_t *list)
{
	json_t *item;
	size_t i;

	json_array_foreach (json_object_get(list, "items"), i, item) {
		_cleanup_free_ char *text = show_port_text(item);

		if (!text || json_object_set_new(item, "name", json_string(text)) < 0)
			return -ENOMEM;
	}
	return 0;
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
