/* SPDX-License-Identifier: GPL-2.0-or-later */
/* From the options of "env create" to the body of its request. Amounts and forms are parsed here;
 * whether the whole is right is for proto/environment.h to say, as in schedd.
 */

#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "lib/address.h"
#include "lib/clock.h"
#include "lib/file.h"
#include "proto/environment.h"
#include "schedctl/quantity.h"
#include "schedctl/request.h"

#define KEY_FILE_MAX (64 << 10)

static const struct args_option options[] = {
	{ .name = "name", .argument = "NAME", .help = "its name, a DNS label (required)" },
	{ .name = "image", .argument = "IMAGE", .help = "container image (required)" },
	{ .name = "cpu", .argument = "CORES", .help = "CPU cores: 2, 0.5 or 500m (required)" },
	{ .name = "memory",
	  .argument = "BYTES",
	  .help = "memory: 512M, 4G; units are powers of 1024, with or without the i (required)" },
	{ .name = "gpu", .argument = "COUNT", .help = "whole GPUs" },
	{ .name = "gpu-milli", .argument = "MILLI", .help = "a share of one GPU, in thousandths" },
	{ .name = "gpu-model",
	  .argument = "MODEL",
	  .help = "a GPU model that will do; repeat for more",
	  .repeatable = true },
	{ .name = "ssh-key",
	  .argument = "FILE|KEY",
	  .help = "public key for ssh: a .pub file or the key itself; repeat for more (default: "
		  "none, the generated password is the way in)",
	  .repeatable = true },
	{ .name = "service",
	  .argument = "NAME:PORT[/PROTOCOL]",
	  .help = "publish a port of the container beside ssh, tcp or udp; repeat for more",
	  .repeatable = true },
	{ .name = "no-ssh", .help = "do not publish ssh" },
	{ .name = "env",
	  .argument = "NAME=VALUE",
	  .help = "environment variable; repeat for more",
	  .repeatable = true },
	{ .name = "label",
	  .argument = "KEY=VALUE",
	  .help = "label; repeat for more",
	  .repeatable = true },
	{ .name = "volume",
	  .argument = "NAME=KIND",
	  .help = "volume of kind local or shared; repeat for more",
	  .repeatable = true },
	{ .name = "restart",
	  .argument = "POLICY",
	  .help = "always (default), on-failure or never" },
	{ .name = "expires-in",
	  .argument = "DURATION",
	  .help = "its deadline, from now: 90m, 8h, 7d (default: none)" },
	{ .name = "expires-at",
	  .argument = "TIME",
	  .help = "its deadline, as 2027-01-01T00:00:00Z" },
	{ .name = "on-expiry",
	  .argument = "ACTION",
	  .help = "at its deadline: stop (default) or delete" },
	{ .name = "policy",
	  .argument = "POLICY",
	  .help = "placement policy (default: the scheduler's)" },
	{ .name = "pool", .argument = "POOL", .help = "pool of hosts (default: default)" },
	{ .name = "customer", .argument = "NAME", .help = "whose it is; an admin says it" },
	{ .name = "no-queue", .help = "refuse at once where no host has room, do not wait" },
	{ .name = "wait", .help = "show progress until it runs; ends with its ssh command" },
	{ .name = "timeout",
	  .argument = "DURATION",
	  .help = "how long --wait waits, 0 for ever (default: 15m)" },
};

const struct args_table request_options = { options, ARRAY_SIZE(options) };

static int fail_form(struct error *err, const char *option, const char *text, const char *form)
{
	return error_set(err, -EINVAL, "usage", option, "--%s \"%s\" is not %s", option, text,
			 form);
}

static int set(json_t *object, const char *key, json_t *value)
{
	return json_object_set_new(object, key, value) < 0 ? -ENOMEM : 0;
}

static int set_uint(json_t *object, const char *key, uint64_t value, const char *option,
		    struct error *err)
{
	if (value > INT64_MAX)
		return error_set(err, -EINVAL, "usage", option, "--%s is too large", option);
	return set(object, key, json_integer((json_int_t)value));
}

static int build_amounts(const struct args *args, json_t *body, struct error *err)
{
	const char *text;
	uint64_t value;
	int r = 0;

	text = args_text(args, "cpu");
	if (text) {
		if (cpu_parse(text, &value) < 0)
			return fail_form(err, "cpu", text, "a number of cores like 2, 0.5 or 500m");
		r = set_uint(body, "cpu_milli", value, "cpu", err);
	}
	text = args_text(args, "memory");
	if (r == 0 && text) {
		if (memory_parse(text, &value) < 0)
			return fail_form(err, "memory", text, "an amount like 512M or 4G");
		r = set_uint(body, "memory_bytes", value, "memory", err);
	}
	return r;
}

static int build_count(const struct args *args, const char *option, const char *key, json_t *body,
		       struct error *err)
{
	const char *text = args_text(args, option);
	uint64_t value = 0;
	const char *c = text;

	if (!text)
		return 0;
	for (; *c >= '0' && *c <= '9' && value < 1000000; c++)
		value = 10 * value + (uint64_t)(*c - '0');
	if (*c != '\0' || c == text)
		return fail_form(err, option, text, "a whole number");
	return set_uint(body, key, value, option, err);
}

static int build_strings(const struct args *args, json_t *body, struct error *err)
{
	static const char *const names[] = { "name", "image",   "policy",
					     "pool", "restart", "customer" };
	int r = 0;

	for (size_t i = 0; r == 0 && i < ARRAY_SIZE(names); i++) {
		const char *text = args_text(args, names[i]);
		json_t *value;

		if (!text)
			continue;
		value = json_string(text);
		if (!value)
			return fail_form(err, names[i], text, "UTF-8");
		r = set(body, names[i], value);
	}
	if (r == 0 && args_flag(args, "no-queue"))
		r = set(body, "queue", json_false());
	return r;
}

/* The deadline, by our own clock where it is given from now. */
static int build_deadline(const struct args *args, json_t *body, struct error *err)
{
	const char *in = args_text(args, "expires-in"), *at = args_text(args, "expires-at");
	const char *action = args_text(args, "on-expiry");
	uint64_t ms;
	int64_t seconds;
	int r = 0;

	if (in && at)
		return error_set(err, -EINVAL, "usage", "expires-at",
				 "--expires-at and --expires-in are one or the other");
	if (in && (duration_parse(in, &ms) < 0 || ms < 1000))
		return fail_form(err, "expires-in", in, "a duration like 90m, 8h or 7d");
	if (at && time_parse(at, &seconds) < 0)
		return fail_form(err, "expires-at", at, "a time like 2027-01-01T00:00:00Z");
	if (in)
		r = set(body, "expires_at", json_time(clock_unix_seconds() + (int64_t)(ms / 1000)));
	if (at)
		r = set(body, "expires_at", json_string(at));
	if (r == 0 && action)
		r = set(body, "on_expiry", json_string(action));
	return r;
}

static int build_models(const struct args *args, json_t *body)
{
	json_t *models = json_array();
	const char *text;
	size_t position = 0;
	int r;

	r = set(body, "gpu_model", models);
	while (r == 0 && (text = args_next(args, "gpu-model", &position)))
		r = json_array_append_new(models, json_string(text)) < 0 ? -ENOMEM : 0;
	return r;
}

int request_parse_service(const char *text, json_t **ret, struct error *err)
{
	const char *form = "NAME:PORT or NAME:PORT/PROTOCOL, as in jupyter:8888";
	const char *colon = strchr(text, ':'), *slash = strchr(text, '/');
	enum protocol protocol = PROTOCOL_TCP;
	char port_text[sizeof("65535")];
	size_t length;
	uint16_t port;

	if (!colon || colon == text || (slash && slash < colon))
		return fail_form(err, "service", text, form);
	length = slash ? (size_t)(slash - colon - 1) : strlen(colon + 1);
	if (length == 0 || length >= sizeof(port_text))
		return fail_form(err, "service", text, form);
	memcpy(port_text, colon + 1, length);
	port_text[length] = '\0';
	if (port_parse(port_text, &port) < 0)
		return error_set(err, -EINVAL, "usage", "service",
				 "--service \"%s\": the port is not in 1…65535", text);
	if (slash)
		protocol = protocol_parse(slash + 1);
	if (protocol == PROTOCOL_INVALID)
		return error_set(err, -EINVAL, "usage", "service",
				 "--service \"%s\": the protocol is not tcp or udp", text);
	*ret = json_pack("{s:s%, s:i, s:s}", "name", text, (size_t)(colon - text), "port",
			 (int)port, "protocol", protocol_name(protocol));
	return *ret ? 0
		    : error_set(err, -EINVAL, "usage", "service", "--service \"%s\" is not UTF-8",
				text);
}

static bool is_ssh(const json_t *service)
{
	return strcmp(json_string_value(json_object_get(service, "name")), "ssh") == 0;
}

static int build_services(const struct args *args, json_t *body, struct error *err)
{
	json_t *services = json_array(), *service = NULL;
	bool want_ssh = !args_flag(args, "no-ssh");
	const char *text;
	size_t position = 0;
	int r;

	r = set(body, "services", services);
	while (r == 0 && (text = args_next(args, "service", &position))) {
		r = request_parse_service(text, &service, err);
		if (r < 0)
			return r;
		want_ssh = want_ssh && !is_ssh(service);
		r = json_array_append_new(services, service) < 0 ? -ENOMEM : 0;
	}
	if (r == 0 && want_ssh) {
		service =
			json_pack("{s:s, s:i, s:s}", "name", "ssh", "port", 22, "protocol", "tcp");
		r = json_array_insert_new(services, 0, service) < 0 ? -ENOMEM : 0;
	}
	return r;
}

int request_add_pair(json_t *object, const char *option, const char *text, struct error *err)
{
	const char *equals = strchr(text, '=');
	_cleanup_free_ char *key = NULL;
	json_t *value;

	if (!equals || equals == text)
		return fail_form(err, option, text, "NAME=VALUE");
	key = strndup(text, (size_t)(equals - text));
	if (!key)
		return -ENOMEM;
	if (json_object_get(object, key))
		return error_set(err, -EINVAL, "usage", option, "--%s %s is given twice", option,
				 key);
	value = json_string(equals + 1);
	if (!value || json_object_set_new(object, key, value) < 0)
		return error_set(err, -EINVAL, "usage", option, "--%s \"%s\" is not UTF-8", option,
				 text);
	return 0;
}

static int build_pairs(const struct args *args, const char *option, const char *key, json_t *body,
		       struct error *err)
{
	json_t *object = json_object();
	const char *text;
	size_t position = 0;
	int r;

	r = set(body, key, object);
	while (r == 0 && (text = args_next(args, option, &position)))
		r = request_add_pair(object, option, text, err);
	return r;
}

static bool looks_like_key(const char *text)
{
	static const char *const types[] = { "ssh-", "ecdsa-", "sk-" };

	for (size_t i = 0; i < ARRAY_SIZE(types); i++) {
		if (strncmp(text, types[i], strlen(types[i])) == 0)
			return strchr(text, ' ') != NULL;
	}
	return false;
}

/* Appends the lines of an authorized_keys or .pub file; comments and empty lines are left out. */
static int add_key_lines(json_t *array, const char *path, const char *content, struct error *err)
{
	size_t before = json_array_size(array);

	while (*content) {
		size_t length = strcspn(content, "\r\n");

		content += strspn(content, " \t");
		length = strcspn(content, "\r\n");
		if (length > 0 && *content != '#' &&
		    json_array_append_new(array, json_stringn(content, length)) < 0)
			return error_set(err, -EINVAL, "usage", "ssh-key",
					 "--ssh-key %s is not UTF-8", path);
		content += length;
		content += strspn(content, "\r\n");
	}
	if (json_array_size(array) == before)
		return error_set(err, -EINVAL, "usage", "ssh-key", "--ssh-key %s has no key in it",
				 path);
	return 0;
}

int request_add_ssh_key(json_t *array, const char *text, struct error *err)
{
	_cleanup_free_ char *content = NULL;
	struct error detail = ERROR_INIT;
	int r;

	if (looks_like_key(text))
		return add_key_lines(array, "KEY", text, err);
	r = file_read(text, KEY_FILE_MAX, &content, NULL, &detail);
	if (r < 0)
		return error_set(err, -EINVAL, "usage", "ssh-key", "--ssh-key: %s",
				 error_text(&detail, r));
	if (strstr(content, "PRIVATE KEY"))
		return error_set(err, -EINVAL, "usage", "ssh-key",
				 "--ssh-key %s is a private key, which stays with you: give the "
				 "public one, usually %s.pub",
				 text, text);
	return add_key_lines(array, text, content, err);
}

static int build_keys(const struct args *args, json_t *body, struct error *err)
{
	json_t *keys = json_array();
	const char *text;
	size_t position = 0;
	int r;

	r = set(body, "ssh_authorized_keys", keys);
	while (r == 0 && (text = args_next(args, "ssh-key", &position)))
		r = request_add_ssh_key(keys, text, err);
	return r;
}

static int build_all(const struct args *args, json_t *body, struct error *err)
{
	int r;

	r = build_strings(args, body, err);
	if (r == 0)
		r = build_deadline(args, body, err);
	if (r == 0)
		r = build_amounts(args, body, err);
	if (r == 0)
		r = build_count(args, "gpu", "gpu", body, err);
	if (r == 0)
		r = build_count(args, "gpu-milli", "gpu_milli", body, err);
	if (r == 0)
		r = build_models(args, body);
	if (r == 0)
		r = build_services(args, body, err);
	if (r == 0)
		r = build_keys(args, body, err);
	if (r == 0)
		r = build_pairs(args, "env", "env", body, err);
	if (r == 0)
		r = build_pairs(args, "label", "labels", body, err);
	if (r == 0)
		r = build_pairs(args, "volume", "volumes", body, err);
	return r;
}

static int check_required(const struct args *args, struct error *err)
{
	static const char *const names[] = { "name", "image", "cpu", "memory" };

	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		if (!args_text(args, names[i]))
			return error_set(err, -EINVAL, "usage", names[i],
					 "env create needs --%s; see schedctl env create --help",
					 names[i]);
	}
	return 0;
}

/* What schedd would say, said before anything is sent. */
static int check(json_t *body, struct error *err)
{
	struct environment_spec spec = { 0 };
	struct error detail = ERROR_INIT;
	int r;

	r = environment_spec_decode(body, &spec, &detail);
	environment_spec_clear(&spec);
	if (r == 0 || r == -ENOMEM)
		return r;
	return error_set(err, -EINVAL, "usage", detail.field, "%s", error_text(&detail, r));
}

int request_build(const struct args *args, json_t **ret, struct error *err)
{
	_cleanup_json_ json_t *body = json_object();
	int r;

	r = check_required(args, err);
	if (r < 0)
		return r;
	r = build_all(args, body, err);
	if (r == 0)
		r = check(body, err);
	if (r < 0)
		return r;
	*ret = TAKE_PTR(body);
	return 0;
}
