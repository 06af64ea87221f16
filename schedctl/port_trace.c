/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Why a port works or not, as far as schedd knows. It reads what anybody may read of what is its
 * own, and, for admins, the gateways. */

#include "schedctl/port_trace.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "schedctl/show.h"
#include "schedctl/text.h"

struct trace {
	struct context *context;
	json_t *answer; /* owned by the caller */
	json_t *port;   /* borrowed */
	int r;
};

static bool is(const json_t *object, const char *key, const char *value)
{
	return strcmp(text_field(object, key), value) == 0;
}

/* The first step that fails is where it is broken. */
_printf_(5, 6) static void step(struct trace *trace, const char *name, const char *result,
				const char *remedy, const char *format, ...)
{
	json_t *steps = json_object_get(trace->answer, "steps");
	_cleanup_free_ char *message = NULL;
	va_list arguments;

	va_start(arguments, format);
	message = text_vformat(format, arguments);
	va_end(arguments);
	if (!message || json_array_append_new(steps, json_pack("{s:s, s:s, s:s, s:s}", "name", name,
							       "result", result, "message", message,
							       "remedy", remedy)) < 0)
		trace->r = -ENOMEM;
	else if (strcmp(result, "fail") == 0 &&
		 json_is_null(json_object_get(trace->answer, "broken")) &&
		 json_object_set_new(trace->answer, "broken", json_string(name)) < 0)
		trace->r = -ENOMEM;
}

static void see_port(struct trace *trace)
{
	const char *owner = text_field(trace->port, "environment");

	if (is(trace->port, "state", "published"))
		step(trace, "port", "ok", "", "it is published for %s", owner);
	else if (is(trace->port, "state", "quarantined"))
		step(trace, "port", "fail", "wait, or ask for another port",
		     "it rests until %s, after %s has given it back",
		     text_field(trace->port, "until"), owner);
	else
		step(trace, "port", "warn", "see the next steps", "it is %s for %s",
		     text_field(trace->port, "state"), owner);
}

static void see_environment(struct trace *trace, struct error *err)
{
	_cleanup_json_ json_t *environment = NULL;
	_cleanup_free_ char *remedy = NULL;
	const char *name, *reason;
	int r = show_fetch(trace->context, "/v1/environments",
			   text_field(trace->port, "environment"), &environment, err);

	if (r == -ENOENT) {
		*err = ERROR_INIT;
		step(trace, "environment", "fail", "", "it is gone");
		return;
	}
	if (r < 0) {
		trace->r = r;
		return;
	}
	name = text_field(environment, "name");
	reason = text_field(environment, "reason");
	remedy = text_format("schedctl env %s %s",
			     is(environment, "power", "off") ? "start" : "show", name);
	if (!remedy)
		trace->r = -ENOMEM;
	else if (is(environment, "phase", "running"))
		step(trace, "environment", "ok", "", "%s runs on host %s", name,
		     text_field(environment, "host"));
	else
		step(trace, "environment", "fail", remedy, "%s is %s%s%s", name,
		     text_field(environment, "phase"), *reason ? ": " : "", reason);
}

static bool serves(const json_t *gateway, const json_t *port)
{
	json_t *address;
	size_t i;

	json_array_foreach (json_object_get(gateway, "addresses"), i, address)
		if (json_equal(address, json_object_get(port, "address")))
			return true;
	return false;
}

/* What that gateway could not do with the port; NULL: nothing. */
static const char *failure_of(const json_t *gateway, const json_t *port)
{
	static const char *const keys[] = { "address", "protocol", "port" };
	json_t *failure;
	size_t i;

	json_array_foreach (json_object_get(gateway, "failed"), i, failure) {
		size_t same = 0;

		for (size_t j = 0; j < ARRAY_SIZE(keys); j++)
			same += json_equal(json_object_get(failure, keys[j]),
					   json_object_get(port, keys[j])) != 0;
		if (same == ARRAY_SIZE(keys))
			return text_field(failure, "reason");
	}
	return NULL;
}

static void see_gateway(struct trace *trace, const json_t *gateway)
{
	const char *id = text_field(gateway, "id"), *failure = failure_of(gateway, trace->port);

	if (failure)
		step(trace, "gateway", "fail", "see gatewayd's log there",
		     "%s could not apply it: %s", id, failure);
	else if (!is(gateway, "status", "online"))
		step(trace, "gateway", "warn",
		     "see systemctl status portico-gatewayd there; its ports go on as they are",
		     "%s was not heard of since %s", id, text_field(gateway, "status_since"));
	else
		step(trace, "gateway", "ok", "",
		     "%s has that address; there, schedctl --gateway SOCKET port why goes on", id);
}

static void see_gateways(struct trace *trace, struct error *err)
{
	_cleanup_json_ json_t *answer = NULL;
	json_t *gateway;
	size_t i, n = 0;
	int r = show_fetch_all(trace->context, "/v1/gateways", &answer, err);

	if (r == -EPERM) {
		*err = ERROR_INIT;
		step(trace, "gateway", "unknown", "ask an admin", "only admins see gateways");
		return;
	}
	if (r < 0) {
		trace->r = r;
		return;
	}
	json_array_foreach (json_object_get(answer, "items"), i, gateway) {
		if (!serves(gateway, trace->port))
			continue;
		see_gateway(trace, gateway);
		n++;
	}
	if (n == 0)
		step(trace, "gateway", "fail", "add it to a gateway's --addresses",
		     "no gateway has the address %s", text_field(trace->port, "address"));
}

/* The only port of that number and protocol, borrowed from ports. */
static int choose(const json_t *ports, const struct address *address, uint16_t number,
		  const char *protocol, json_t **ret, struct error *err)
{
	struct address have;
	json_t *port;
	size_t i, n = 0;

	json_array_foreach (json_object_get(ports, "items"), i, port) {
		if (number_field(port, "port") != number || !is(port, "protocol", protocol))
			continue;
		if (address->family != AF_UNSPEC &&
		    (address_parse(text_field(port, "address"), &have) < 0 ||
		     !address_equal(&have, address)))
			continue;
		*ret = port;
		n++;
	}
	if (n == 0)
		return error_set(err, -ENOENT, "not_found", "port",
				 "nobody has port %u/%s; schedctl port list shows which are given",
				 number, protocol);
	if (n > 1)
		return error_set(err, -EPERM, "refused", "port",
				 "port %u/%s is given on %zu addresses; say which, as in "
				 "203.0.113.10:%u/%s",
				 number, protocol, n, number, protocol);
	return 0;
}

int port_trace(struct context *context, const struct address *address, uint16_t port,
	       const char *protocol, json_t **ret, struct error *err)
{
	_cleanup_json_ json_t *ports = NULL, *answer = NULL;
	struct trace trace = { .context = context };
	int r = show_fetch_all(context, "/v1/ports", &ports, err);

	if (r == 0)
		r = choose(ports, address, port, protocol, &trace.port, err);
	if (r < 0)
		return r;
	answer = json_pack("{s:O, s:O, s:O, s:[], s:n}", "address",
			   json_object_get(trace.port, "address"), "protocol",
			   json_object_get(trace.port, "protocol"), "port",
			   json_object_get(trace.port, "port"), "steps", "broken");
	if (!answer)
		return -ENOMEM;
	trace.answer = answer;
	see_port(&trace);
	see_environment(&trace, err);
	if (trace.r == 0)
		see_gateways(&trace, err);
	if (trace.r == 0)
		*ret = TAKE_PTR(answer);
	return trace.r;
}
