/* SPDX-License-Identifier: GPL-2.0-or-later */
/* "port why": what schedd knows of a port, or how one gateway walks its way, step by step. */
#include "schedctl/port_why.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "schedctl/place.h"
#include "schedctl/port_trace.h"
#include "schedctl/text.h"

static const struct args_option options[] = {
	{ .name = "source",
	  .argument = "ADDRESS",
	  .help = "one client: is it let in? (default: any client)" },
};

const struct args_table port_why_options = { options, ARRAY_SIZE(options) };

static const struct table_column columns[] = {
	{ .title = "STEP" },
	{ .title = "RESULT" },
	{ .title = "WHAT" },
	{ .title = "REMEDY" },
};

/* The only mapping of that port and protocol, or the gateway's first address where there is none:
 * the gateway then says that it is not mapped. */
static int find_address(struct context *context, struct place *place, struct error *err)
{
	_cleanup_json_ json_t *answer = NULL, *status = NULL;
	const char *found = NULL;
	char path[CLIENT_PATH_MAX];
	json_t *mapping;
	size_t i, n = 0;
	int r;

	(void)snprintf(path, sizeof(path), "/v1/mappings?port=%u", place->port);
	r = client_call(context->client, "GET", path, NULL, &answer, err);
	if (r < 0)
		return r;
	json_array_foreach (json_object_get(answer, "items"), i, mapping) {
		if (strcmp(text_field(mapping, "protocol"), protocol_name(place->protocol)) != 0)
			continue;
		found = text_field(mapping, "address");
		n++;
	}
	if (n > 1)
		return error_set(err, -EPERM, "refused", "port",
				 "port %u/%s is open on %zu addresses; say which, as in "
				 "%s%s%s:%u/%s",
				 place->port, protocol_name(place->protocol), n,
				 strchr(found, ':') ? "[" : "", found,
				 strchr(found, ':') ? "]" : "", place->port,
				 protocol_name(place->protocol));
	if (n == 0) {
		r = client_call(context->client, "GET", "/v1/status", NULL, &status, err);
		if (r < 0)
			return r;
		found = json_string_value(json_array_get(json_object_get(status, "addresses"), 0));
	}
	if (!found || address_parse(found, &place->address) < 0)
		return error_set(err, -ENOENT, "not_found", "port",
				 "the gateway has no public address: name one, as in "
				 "ADDRESS:%u/%s",
				 place->port, protocol_name(place->protocol));
	return 0;
}

static int ask(struct context *context, struct place *place, const char *source, json_t **ret,
	       struct error *err)
{
	char path[CLIENT_PATH_MAX], address[ADDRESS_STRING_MAX];
	int r = place->address.family == AF_UNSPEC ? find_address(context, place, err) : 0;

	if (r < 0)
		return r;
	(void)snprintf(path, sizeof(path), "/v1/mappings/%s/%s/%u:why%s%s",
		       address_format(&place->address, address), protocol_name(place->protocol),
		       place->port, source ? "?source=" : "", source ? source : "");
	return client_call(context->client, "GET", path, NULL, ret, err);
}

static enum table_style style_of(const char *result)
{
	if (strcmp(result, "ok") == 0)
		return STYLE_GOOD;
	if (strcmp(result, "fail") == 0)
		return STYLE_BAD;
	return strcmp(result, "warn") == 0 ? STYLE_PENDING : STYLE_PLAIN;
}

static void add_row(struct table *table, json_t *step)
{
	const char *result = text_field(step, "result");

	table_cell(table, STYLE_PLAIN, text_field(step, "name"));
	table_cell(table, style_of(result), result);
	table_cell(table, STYLE_PLAIN, text_field(step, "message"));
	table_cell(table, STYLE_PLAIN, text_field(step, "remedy"));
}

static int print(const struct output *output, json_t *answer)
{
	_cleanup_(cleanup_table) struct table *table = NULL;
	json_t *step;
	size_t i;
	int r;

	if (output->format == OUTPUT_JSON)
		return output_json(answer, false);
	if (output->format == OUTPUT_NAME)
		return json_is_string(json_object_get(answer, "broken"))
			       ? output_line(text_field(answer, "broken"))
			       : 0;
	r = table_new(&table, columns, ARRAY_SIZE(columns));
	if (r < 0)
		return r;
	json_array_foreach (json_object_get(answer, "steps"), i, step)
		add_row(table, step);
	return output_table(output, table);
}

static const json_t *find_step(const json_t *answer, const char *name)
{
	json_t *step;
	size_t i;

	json_array_foreach (json_object_get(answer, "steps"), i, step)
		if (strcmp(text_field(step, "name"), name) == 0 &&
		    strcmp(text_field(step, "result"), "fail") == 0)
			return step;
	return NULL;
}

int port_why_run(struct context *context, const struct args *args, struct error *err)
{
	const char *source = args_text(args, "source");
	_cleanup_json_ json_t *answer = NULL;
	struct address address;
	const char *broken;
	struct place place;
	int r;

	r = place_parse(args->positional[0], &place, err);
	if (r < 0)
		return r;
	if (source && address_parse(source, &address) < 0)
		return error_set(err, -EINVAL, "usage", "source",
				 "--source \"%s\" is not an IP address", source);
	if (place.protocol == PROTOCOL_INVALID)
		place.protocol = PROTOCOL_TCP;
	if (source && context->side == SIDE_SCHEDD)
		return error_set(err, -EINVAL, "usage", "source",
				 "--source is for a gateway to say: add --gateway SOCKET, usually "
				 "/run/portico/gatewayd.sock");
	if (context->side == SIDE_SCHEDD)
		r = port_trace(context, &place.address, place.port, protocol_name(place.protocol),
			       &answer, err);
	else
		r = ask(context, &place, source, &answer, err);
	if (r == 0)
		r = print(&context->output, answer);
	if (r < 0)
		return r;
	broken = text_field(answer, "broken");
	if (!*broken)
		return 0;
	return error_set(err, -EIO, "broken", NULL, "port %u/%s is broken at \"%s\": %s",
			 place.port, protocol_name(place.protocol), broken,
			 text_field(find_step(answer, broken), "message"));
}
