/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The noun "doctor": looks at a fleet from here to its hosts, and says of each thing that is wrong
 * what to do. It asks and changes nothing. */

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "lib/clock.h"
#include "schedctl/command.h"
#include "schedctl/show.h"
#include "schedctl/text.h"

#define SKEW_MAX_S 5
#define STUCK_S 60 /* on its way for longer than this is not on its way */

struct doctor {
	struct context *context;
	json_t *items; /* what was found, {"level","subject","finding","remedy"} */
	unsigned errors;
	int r;
};

_printf_(5, 6) static void find(struct doctor *doctor, const char *level, const char *subject,
				const char *remedy, const char *format, ...)
{
	_cleanup_free_ char *finding = NULL;
	va_list arguments;

	va_start(arguments, format);
	finding = text_vformat(format, arguments);
	va_end(arguments);
	doctor->errors += strcmp(level, "error") == 0;
	if (!finding ||
	    json_array_append_new(doctor->items,
				  json_pack("{s:s, s:s, s:s, s:s}", "level", level, "subject",
					    subject, "finding", finding, "remedy", remedy)) < 0)
		doctor->r = -ENOMEM;
}

#define good(doctor, subject, ...) find(doctor, "ok", subject, "", __VA_ARGS__)

static bool is(const json_t *object, const char *key, const char *value)
{
	return strcmp(text_field(object, key), value) == 0;
}

/* The answer for a collection; NULL where it cannot be read, which was said. */
static json_t *fetch_answer(struct doctor *doctor, const char *collection)
{
	struct error err = ERROR_INIT;
	json_t *answer = NULL;
	int r = show_fetch_all(doctor->context, collection, &answer, &err);

	if (r < 0) {
		find(doctor, "error", "api", "see schedd's log", "%s: %s", collection,
		     error_text(&err, r));
		return NULL;
	}
	return answer;
}

/* The same, its items alone: a new reference. */
static json_t *fetch(struct doctor *doctor, const char *collection)
{
	_cleanup_json_ json_t *answer = fetch_answer(doctor, collection);

	return json_incref(json_object_get(answer, "items"));
}

static int64_t age_of(const json_t *object, const char *key)
{
	int64_t since;

	return time_parse(text_field(object, key), &since) < 0 ? 0 : clock_unix_seconds() - since;
}

/* ---- schedd itself ---- */

static void check_clock(struct doctor *doctor, const json_t *health, int64_t began, int64_t ended)
{
	int64_t theirs, skew = 0;

	if (time_parse(text_field(health, "time"), &theirs) < 0)
		return;
	if (theirs > ended)
		skew = theirs - ended;
	else if (theirs < began)
		skew = theirs - began;
	if (skew > SKEW_MAX_S || skew < -SKEW_MAX_S)
		find(doctor, "error", "clock", "set both by NTP: timedatectl set-ntp true",
		     "schedd's clock is %" PRId64 " s %s ours", skew > 0 ? skew : -skew,
		     skew > 0 ? "ahead of" : "behind");
	else
		good(doctor, "clock", "schedd's clock is ours");
}

/* False where nothing further can be asked. */
static bool check_server(struct doctor *doctor)
{
	_cleanup_json_ json_t *health = NULL;
	struct error err = ERROR_INIT;
	int64_t began = clock_unix_seconds();
	int r = client_call(doctor->context->client, "GET", "/healthz", NULL, &health, &err);

	if (r < 0) {
		find(doctor, "error", "server",
		     "start it: systemctl start portico-schedd; or give its address with --server",
		     "%s", error_text(&err, r));
		return false;
	}
	good(doctor, "server", "schedd answers");
	check_clock(doctor, health, began, clock_unix_seconds());
	return true;
}

static void check_database(struct doctor *doctor)
{
	struct error err = ERROR_INIT;
	int r = client_call(doctor->context->client, "GET", "/readyz?standby=1", NULL, NULL, &err);

	if (r < 0 && strcmp(err.code, "other_schema") == 0)
		find(doctor, "error", "database",
		     "install the same version of schedd on all of its machines", "%s",
		     error_text(&err, r));
	else if (r < 0)
		find(doctor, "error", "database",
		     "start PostgreSQL, and see schedd --check on schedd's machine", "%s",
		     error_text(&err, r));
	else
		good(doctor, "database", "schedd takes requests");
}

/* False where the token opens less than is looked at from here on. */
static bool check_token(struct doctor *doctor)
{
	struct error err = ERROR_INIT;
	int r = client_call(doctor->context->client, "GET", "/v1/hosts?limit=1", NULL, NULL, &err);

	if (r == 0) {
		good(doctor, "token", "it is an admin's");
		return true;
	}
	if (r == -EPERM && strcmp(err.code, "forbidden") == 0)
		find(doctor, "warning", "token", "use an admin's token to see the rest",
		     "it is not an admin's");
	else
		find(doctor, "error", "token",
		     "give one with --token-file; an admin makes it: schedctl token create", "%s",
		     error_text(&err, r));
	return false;
}

/* ---- the fleet ---- */

static void check_gateway(struct doctor *doctor, const json_t *gateway)
{
	const json_t *failed = json_object_get(gateway, "failed");
	const char *id = text_field(gateway, "id");
	_cleanup_free_ char *subject = text_format("gateway %s", id);

	if (!subject)
		doctor->r = -ENOMEM;
	else if (!is(gateway, "status", "online"))
		find(doctor, "error", subject,
		     "see systemctl status portico-gatewayd there; its ports go on as they are; "
		     "if it never returns: schedctl gateway delete",
		     "not heard of since %s", text_field(gateway, "status_since"));
	else if (json_array_size(failed) > 0)
		find(doctor, "error", subject,
		     "see schedctl gateway show, and gatewayd's log there",
		     "%zu %s could not be applied: %s", json_array_size(failed),
		     json_array_size(failed) == 1 ? "mapping" : "mappings",
		     text_field(json_array_get(failed, 0), "reason"));
	else
		good(doctor, subject, "online, %" PRIu64 " mappings",
		     number_field(gateway, "mappings"));
}

static json_t *check_gateways(struct doctor *doctor)
{
	json_t *gateways = fetch(doctor, "/v1/gateways"), *gateway;
	size_t i;

	if (gateways && json_array_size(gateways) == 0)
		find(doctor, "error", "gateways",
		     "start gatewayd with --server, --name and --addresses",
		     "none has registered: no port leads anywhere");
	json_array_foreach (gateways, i, gateway)
		check_gateway(doctor, gateway);
	return gateways;
}

static void check_host(struct doctor *doctor, const json_t *host)
{
	const char *id = text_field(host, "id"), *problem = text_field(host, "engine_error");
	_cleanup_free_ char *subject = text_format("host %s", id);

	if (!subject)
		doctor->r = -ENOMEM;
	else if (is(host, "status", "offline"))
		find(doctor, "error", subject,
		     "see systemctl status portico-agentd there; if it is meant to be away: schedctl host "
		     "maintenance",
		     "not heard of since %s", text_field(host, "status_since"));
	else if (*problem)
		find(doctor, "error", subject, "see systemctl status docker there", "%s", problem);
	else
		good(doctor, subject, "%s, %" PRIu64 " environments", text_field(host, "status"),
		     number_field(host, "environments"));
}

static void check_hosts(struct doctor *doctor)
{
	_cleanup_json_ json_t *hosts = fetch(doctor, "/v1/hosts");
	bool open = false;
	json_t *host;
	size_t i;

	json_array_foreach (hosts, i, host) {
		check_host(doctor, host);
		open = open || is(host, "status", "online");
	}
	if (hosts && json_array_size(hosts) == 0)
		find(doctor, "error", "hosts", "start agentd with --server and --address on one",
		     "none has registered: nothing can run");
	else if (hosts && !open)
		find(doctor, "error", "hosts", "schedctl host uncordon, or start agentd on one",
		     "none takes environments");
}

static bool serves(json_t *gateways, const char *address)
{
	json_t *gateway, *one;
	size_t i, j;

	json_array_foreach (gateways, i, gateway)
		json_array_foreach (json_object_get(gateway, "addresses"), j, one)
			if (json_is_string(one) && strcmp(json_string_value(one), address) == 0)
				return true;
	return false;
}

/* True where every port of a protocol is somebody's, or rests after it was. */
static bool is_full(struct doctor *doctor, const json_t *answer, const char *protocol)
{
	const json_t *left = json_object_get(json_object_get(answer, "free"), protocol);
	json_t *ports = json_object_get(answer, "items"), *port;
	size_t i, resting = 0;

	if (!json_is_integer(left) || json_integer_value(left) > 0)
		return false;
	json_array_foreach (ports, i, port)
		resting += is(port, "state", "quarantined") && is(port, "protocol", protocol);
	find(doctor, "error", "ports",
	     "widen schedd's port-range or port-addresses, or delete environments that nobody needs",
	     "no %s port is free, %zu rest in quarantine: environments that need one are refused",
	     protocol, resting);
	return true;
}

static void check_ports(struct doctor *doctor, json_t *gateways)
{
	_cleanup_json_ json_t *answer = fetch_answer(doctor, "/v1/ports");
	json_t *ports = json_object_get(answer, "items"), *port;
	bool full_tcp = is_full(doctor, answer, "tcp"), full_udp = is_full(doctor, answer, "udp");
	size_t i, unserved = 0, stuck = 0;
	const char *address = "";

	json_array_foreach (ports, i, port) {
		if (!serves(gateways, text_field(port, "address"))) {
			address = text_field(port, "address");
			unserved++;
		}
		stuck += is(port, "state", "withdrawing") && age_of(port, "since") > STUCK_S;
	}
	if (unserved > 0)
		find(doctor, "error", "ports",
		     "add the address to a gateway's --addresses, or take it from schedd's "
		     "port-addresses",
		     "%zu %s on an address that no gateway serves, such as %s", unserved,
		     unserved == 1 ? "port is" : "ports are", address);
	if (stuck > 0)
		find(doctor, "warning", "ports",
		     "bring the gateway back that has not confirmed, see schedctl gateway list; "
		     "if it never returns: schedctl gateway delete",
		     "%zu %s to be withdrawn for more than a minute", stuck,
		     stuck == 1 ? "port waits" : "ports wait");
	if (ports && unserved == 0 && stuck == 0 && !full_tcp && !full_udp)
		good(doctor, "ports", "%zu in use or resting", json_array_size(ports));
}

static bool is_ill(const json_t *environment)
{
	if (is(environment, "phase", "pending"))
		return age_of(environment, "phase_since") > STUCK_S;
	return is(environment, "phase", "failed") || is(environment, "phase", "unreachable") ||
	       is(environment, "stage", "crash-loop");
}

static void check_environments(struct doctor *doctor)
{
	_cleanup_json_ json_t *environments = fetch(doctor, "/v1/environments");
	json_t *environment, *first = NULL;
	size_t i, ill = 0;

	json_array_foreach (environments, i, environment) {
		if (!is_ill(environment))
			continue;
		first = first ? first : environment;
		ill++;
	}
	if (ill > 0)
		find(doctor, "warning", "environments", "see schedctl env list -o wide",
		     "%zu of %zu do not run as wanted, such as %s: %s", ill,
		     json_array_size(environments), text_field(first, "name"),
		     text_field(first, "reason"));
	else if (environments)
		good(doctor, "environments", "%zu", json_array_size(environments));
}

static void examine(struct doctor *doctor)
{
	_cleanup_json_ json_t *gateways = NULL;

	if (!check_server(doctor))
		return;
	check_database(doctor);
	if (!check_token(doctor))
		return;
	gateways = check_gateways(doctor);
	check_hosts(doctor);
	check_ports(doctor, gateways);
	check_environments(doctor);
}

/* ---- output ---- */

static const struct table_column columns[] = {
	{ .title = "LEVEL" },
	{ .title = "SUBJECT" },
	{ .title = "FINDING" },
	{ .title = "REMEDY" },
};

static void add_row(struct table *table, json_t *item)
{
	const char *level = text_field(item, "level");
	enum table_style style = STYLE_GOOD;

	if (strcmp(level, "ok") != 0)
		style = strcmp(level, "error") == 0 ? STYLE_BAD : STYLE_PENDING;
	table_cell(table, style, level);
	table_cell(table, STYLE_PLAIN, text_field(item, "subject"));
	table_cell(table, STYLE_PLAIN, text_field(item, "finding"));
	table_cell(table, STYLE_PLAIN, text_field(item, "remedy"));
}

static const struct output_list list = {
	.columns = columns, .n_columns = ARRAY_SIZE(columns), .name_key = "subject", .row = add_row
};

static int run(struct context *context, const struct args *args, struct error *err)
{
	_cleanup_json_ json_t *answer = json_pack("{s:[]}", "items");
	struct doctor doctor = { .context = context, .items = json_object_get(answer, "items") };
	int r;

	if (!answer)
		return -ENOMEM;
	client_set_patience(context->client, 0); /* what cannot serve now is a finding */
	examine(&doctor);
	if (doctor.r < 0)
		return doctor.r;
	r = output_list(&context->output, &list, answer, err);
	if (r < 0 || doctor.errors == 0)
		return r;
	return error_set(err, -ECANCELED, "failed", NULL, "%u thing%s to mend", doctor.errors,
			 doctor.errors == 1 ? "" : "s");
}

static const struct command commands[] = {
	{ .verb = "",
	  .summary = "Check server, clock, database, token, gateways, hosts and ports",
	  .details =
		  "Each finding has its remedy. The exit status is 1 where something is to be mended.",
	  .sides = SIDE_SCHEDD,
	  .run = run },
};

const struct noun noun_doctor = {
	.name = "doctor",
	.summary = "What is wrong, and what to do",
	.commands = commands,
	.n_commands = ARRAY_SIZE(commands),
	.alone = true,
};
