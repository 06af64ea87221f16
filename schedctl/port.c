/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The noun "port": schedd's ports listed, or, with --gateway, one gateway's mappings listed, opened
 * and closed without any scheduler.
 */

#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "proto/mapping.h"
#include "schedctl/command.h"
#include "schedctl/place.h"
#include "schedctl/port_why.h"
#include "schedctl/show.h"
#include "schedctl/text.h"

#define PORTS "/v1/ports"
#define MAPPINGS "/v1/mappings"

static const struct table_column port_columns[] = {
	{ .title = "PORT" },
	{ .title = "STATE" },
	{ .title = "ENVIRONMENT" },
	{ .title = "SERVICE" },
	{ .title = "TARGET" },
	{ .title = "UNTIL", .wide_only = true },
	{ .title = "ID", .wide_only = true },
};

static const struct table_column mapping_columns[] = {
	{ .title = "PORT" },
	{ .title = "TARGET" },
	{ .title = "ENVIRONMENT" },
	{ .title = "SERVICE" },
	{ .title = "CONNECTIONS", .right = true },
	{ .title = "PACKETS", .right = true },
	{ .title = "BYTES", .right = true },
	{ .title = "EXPIRES", .wide_only = true },
};

static enum table_style state_style(const char *state)
{
	return strcmp(state, "published") == 0 ? STYLE_GOOD : STYLE_PENDING;
}

static void add_port(struct table *table, json_t *item)
{
	_cleanup_free_ char *text = show_port_text(item);
	const char *state = text_field(item, "state");
	const char *name = text_field(item, "environment_name");
	const char *id = text_field(item, "environment");

	table_cell(table, STYLE_PLAIN, text);
	table_cell(table, state_style(state), state);
	table_cell(table, STYLE_PLAIN, *name ? name : id);
	table_cell(table, STYLE_PLAIN, text_field(item, "service"));
	show_endpoint_cell(table, json_object_get(item, "target"));
	table_cell(table, STYLE_PLAIN, text_field(item, "until"));
	table_cell(table, STYLE_PLAIN, id);
}

static void add_mapping(struct table *table, json_t *item)
{
	_cleanup_free_ char *text = show_port_text(item);

	table_cell(table, STYLE_PLAIN, text);
	show_endpoint_cell(table, json_object_get(item, "target"));
	table_cell(table, STYLE_PLAIN, text_field(item, "environment"));
	table_cell(table, STYLE_PLAIN, text_field(item, "service"));
	table_cellf(table, "%" PRIu64, number_field(item, "connections"));
	table_cellf(table, "%" PRIu64, number_field(item, "packets"));
	table_cellf(table, "%" PRIu64, number_field(item, "bytes"));
	table_cell(table, STYLE_PLAIN, text_field(item, "expires_at"));
}

static int run_list(struct context *context, const struct args *args, struct error *err)
{
	static const struct output_list ports = { .columns = port_columns,
						  .n_columns = ARRAY_SIZE(port_columns),
						  .name_key = "name",
						  .row = add_port };
	static const struct output_list mappings = { .columns = mapping_columns,
						     .n_columns = ARRAY_SIZE(mapping_columns),
						     .name_key = "name",
						     .row = add_mapping };
	bool local = context->side == SIDE_GATEWAY;
	_cleanup_json_ json_t *answer = NULL;
	int r;

	if (local)
		r = client_call(context->client, "GET", MAPPINGS, NULL, &answer, err);
	else
		r = show_fetch_all(context, PORTS, &answer, err);
	if (r == 0 && context->output.format == OUTPUT_NAME)
		r = show_name_ports(answer);
	if (r < 0)
		return r;
	return output_list(&context->output, local ? &mappings : &ports, answer, err);
}

/* What an option says beside the port's own text: it fills in, and does not contradict. */
static int add_protocol(const struct args *args, struct place *place, struct error *err)
{
	const char *text = args_text(args, "protocol");
	enum protocol protocol = text ? protocol_parse(text) : PROTOCOL_TCP;

	if (protocol == PROTOCOL_INVALID)
		return error_set(err, -EINVAL, "usage", "protocol",
				 "--protocol \"%s\" is not tcp or udp", text);
	if (text && place->protocol != PROTOCOL_INVALID && place->protocol != protocol)
		return error_set(err, -EINVAL, "usage", "protocol",
				 "--protocol %s is not what \"%s\" says", text,
				 args->positional[0]);
	if (place->protocol == PROTOCOL_INVALID)
		place->protocol = protocol;
	return 0;
}

static int add_address(const struct args *args, struct place *place, struct error *err)
{
	const char *text = args_text(args, "address");
	struct address address;

	if (!text)
		return 0;
	if (address_parse(text, &address) < 0)
		return error_set(err, -EINVAL, "usage", "address",
				 "--address \"%s\" is not an IP address", text);
	if (place->address.family != AF_UNSPEC && !address_equal(&place->address, &address))
		return error_set(err, -EINVAL, "usage", "address",
				 "--address %s is not what \"%s\" says", text, args->positional[0]);
	place->address = address;
	return 0;
}

static int parse_place(const struct args *args, struct place *ret, struct error *err)
{
	int r = place_parse(args->positional[0], ret, err);

	if (r == 0)
		r = add_protocol(args, ret, err);
	return r < 0 ? r : add_address(args, ret, err);
}

static bool is_at(const json_t *mapping, const struct place *place)
{
	struct address address;

	if (number_field(mapping, "port") != place->port ||
	    protocol_parse(text_field(mapping, "protocol")) != place->protocol)
		return false;
	return place->address.family == AF_UNSPEC ||
	       (address_parse(text_field(mapping, "address"), &address) == 0 &&
		address_equal(&place->address, &address));
}

/* All mappings there, which may be several where no address is named. */
static int find_mappings(struct context *context, const struct place *place, json_t **ret,
			 struct error *err)
{
	_cleanup_json_ json_t *answer = NULL, *found = json_array();
	char path[CLIENT_PATH_MAX];
	json_t *mapping;
	size_t i;
	int r;

	(void)snprintf(path, sizeof(path), MAPPINGS "?port=%u", place->port);
	r = client_call(context->client, "GET", path, NULL, &answer, err);
	if (r < 0)
		return r;
	json_array_foreach (json_object_get(answer, "items"), i, mapping) {
		if (is_at(mapping, place) && json_array_append(found, mapping) < 0)
			return -ENOMEM;
	}
	*ret = TAKE_PTR(found);
	return 0;
}

/* One change, in one atomic request. Takes over change. */
static int apply(struct context *context, json_t *change, json_t **ret, struct error *err)
{
	_cleanup_json_ json_t *body = json_pack("{s:[o]}", "changes", change);

	if (!body)
		return -ENOMEM;
	return client_call(context->client, "POST", MAPPINGS ":apply", body, ret, err);
}

static bool has_target(const json_t *mapping, const struct endpoint *target)
{
	const json_t *have = json_object_get(mapping, "target");
	struct endpoint endpoint = { .port = (uint16_t)number_field(have, "port") };

	return address_parse(text_field(have, "address"), &endpoint.address) == 0 &&
	       endpoint_compare(&endpoint, target) == 0;
}

/* "put" would silently take the port away from whoever has it. */
static int refuse_taken(struct context *context, const struct place *place,
			const struct endpoint *target, struct error *err)
{
	_cleanup_json_ json_t *found = NULL;
	json_t *mapping;
	size_t i;
	int r;

	r = find_mappings(context, place, &found, err);
	if (r < 0)
		return r;
	json_array_foreach (found, i, mapping) {
		const json_t *have = json_object_get(mapping, "target");

		if (!has_target(mapping, target))
			return error_set(err, -EPERM, "refused", "port",
					 "port %u/%s already leads to %s port %" PRIu64
					 "; close it first or add --replace",
					 place->port, protocol_name(place->protocol),
					 text_field(have, "address"), number_field(have, "port"));
	}
	return 0;
}

static int run_open(struct context *context, const struct args *args, struct error *err)
{
	char address[ADDRESS_STRING_MAX], public[ADDRESS_STRING_MAX];
	struct endpoint target;
	struct place place;
	_cleanup_json_ json_t *answer = NULL;
	json_t *mapping;
	int r;

	r = parse_place(args, &place, err);
	if (r < 0)
		return r;
	if (endpoint_parse(args->positional[1], &target) < 0)
		return error_set(err, -EINVAL, "usage", "target",
				 "target \"%s\" is not ADDRESS:PORT, as in 10.0.0.5:22",
				 args->positional[1]);
	if (!args_flag(args, "replace"))
		r = refuse_taken(context, &place, &target, err);
	if (r < 0)
		return r;
	mapping = json_pack(
		"{s:i, s:s, s:s*, s:{s:s, s:i}}", "port", (int)place.port, "protocol",
		protocol_name(place.protocol), "address",
		place.address.family == AF_UNSPEC ? NULL : address_format(&place.address, public),
		"target", "address", address_format(&target.address, address), "port",
		(int)target.port);
	r = apply(context,
		  json_pack("{s:s, s:o, s:b}", "op", "put", "mapping", mapping, "force",
			    (int)args_flag(args, "force")),
		  &answer, err);
	return r < 0 ? r
		     : output_done(&context->output, answer, args->positional[0],
				   "port %u/%s leads to %s", place.port,
				   protocol_name(place.protocol), args->positional[1]);
}

static int run_close(struct context *context, const struct args *args, struct error *err)
{
	_cleanup_json_ json_t *found = NULL, *answer = NULL;
	struct place place;
	int r;

	r = parse_place(args, &place, err);
	if (r == 0)
		r = find_mappings(context, &place, &found, err);
	if (r < 0)
		return r;
	if (json_array_size(found) == 0)
		return error_set(err, -ENOENT, "not_found", "port",
				 "port %u/%s is not open; schedctl port list shows what is",
				 place.port, protocol_name(place.protocol));
	if (json_array_size(found) > 1)
		return error_set(err, -EPERM, "refused", "address",
				 "port %u/%s is open on %zu addresses; say which with --address",
				 place.port, protocol_name(place.protocol), json_array_size(found));
	r = apply(context,
		  json_pack("{s:s, s:s, s:s, s:i}", "op", "delete", "address",
			    text_field(json_array_get(found, 0), "address"), "protocol",
			    protocol_name(place.protocol), "port", (int)place.port),
		  &answer, err);
	return r < 0 ? r
		     : output_done(&context->output, answer, args->positional[0],
				   "port %u/%s is closed", place.port,
				   protocol_name(place.protocol));
}

static const struct args_option open_options[] = {
	{ .name = "protocol", .argument = "PROTOCOL", .help = "tcp (default) or udp" },
	{ .name = "address",
	  .argument = "ADDRESS",
	  .help = "public address (default: the gateway's first)" },
	{ .name = "replace", .help = "take the port over where it leads elsewhere" },
	{ .name = "force", .help = "also where the gateway itself listens on the port" },
};

static const struct args_table open_table = { open_options, ARRAY_SIZE(open_options) };
/* What names the port. */
static const struct args_table close_table = { open_options, 2 };

static const struct command commands[] = {
	{ .verb = "list",
	  .summary = "List ports; with --gateway, the mappings of that gateway",
	  .sides = SIDE_SCHEDD | SIDE_GATEWAY,
	  .run = run_list },
	{ .verb = "open",
	  .arguments = "PORT TARGET",
	  .summary = "Lead a public port to ADDRESS:PORT on one gateway, without schedd",
	  .options = &open_table,
	  .min_arguments = 2,
	  .max_arguments = 2,
	  .sides = SIDE_GATEWAY,
	  .run = run_open },
	{ .verb = "close",
	  .arguments = "PORT",
	  .summary = "Close a port of one gateway; its connections end",
	  .options = &close_table,
	  .min_arguments = 1,
	  .max_arguments = 1,
	  .sides = SIDE_GATEWAY,
	  .run = run_close },
	{ .verb = "why",
	  .arguments = "PORT",
	  .summary = "Say why a port works or not: PORT or ADDRESS:PORT[/PROTOCOL]",
	  .details =
		  "schedd says whose it is, whether that runs, and which gateway has it. With "
		  "--gateway, that\ngateway walks the way of a packet from the public address to the "
		  "service on the host. It\nends with 1 where a step is broken.",
	  .options = &port_why_options,
	  .min_arguments = 1,
	  .max_arguments = 1,
	  .sides = SIDE_SCHEDD | SIDE_GATEWAY,
	  .run = port_why_run },
};

const struct noun noun_port = {
	.name = "port",
	.summary = "Public ports and where they lead",
	.commands = commands,
	.n_commands = ARRAY_SIZE(commands),
};
