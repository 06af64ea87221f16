/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The environment's specification and the assignment: JSON, defaults and rules. */
#include "proto/environment.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "proto/read.h"

#define IMAGE_MAX 512
#define KEY_LINE_MAX 8192
#define VALUE_MAX 8192
#define LABELS_MAX 64
#define MIB ((uint64_t)1 << 20)
#define TIB ((uint64_t)1 << 40)

static const char *const phase_names[PHASE_MAX] = {
	[PHASE_PENDING] = "pending",         [PHASE_CREATING] = "creating",
	[PHASE_RUNNING] = "running",         [PHASE_STOPPING] = "stopping",
	[PHASE_STOPPED] = "stopped",         [PHASE_FAILED] = "failed",
	[PHASE_UNREACHABLE] = "unreachable", [PHASE_DELETING] = "deleting",
	[PHASE_DELETED] = "deleted",
};

static const char *const restart_names[] = {
	[RESTART_ALWAYS] = "always",
	[RESTART_ON_FAILURE] = "on-failure",
	[RESTART_NEVER] = "never",
};

static const char *const expiry_names[] = {
	[EXPIRY_STOP] = "stop",
	[EXPIRY_DELETE] = "delete",
};

const char *phase_name(enum environment_phase phase)
{
	return phase >= 0 && phase < PHASE_MAX ? phase_names[phase] : "invalid";
}

enum environment_phase phase_parse(const char *text)
{
	for (int i = 0; i < PHASE_MAX; i++)
		if (strcmp(phase_names[i], text) == 0)
			return (enum environment_phase)i;
	return PHASE_INVALID;
}

/* ---- reading ---- */

static void read_service(struct json_reader *reader, struct service *service)
{
	const char *protocol = "tcp";
	uint64_t port = 0, external = 0;
	enum protocol number;

	read_dns_label(reader, "name", JSON_REQUIRED, 32, false, &service->name);
	json_read_uint(reader, "port", JSON_REQUIRED, 1, UINT16_MAX, &port);
	json_read_string(reader, "protocol", JSON_OPTIONAL, 16, &protocol);
	json_read_uint(reader, "external_port", JSON_OPTIONAL, 1, UINT16_MAX, &external);
	number = protocol_parse(protocol);
	if (number == PROTOCOL_INVALID)
		json_reader_fail(reader, -EINVAL, "invalid", "protocol",
				 "\"%s\" is neither tcp nor udp", protocol);
	service->protocol = number;
	service->port = (uint16_t)port;
	service->external_port = (uint16_t)external;
}

/* Two services may not share a name, nor a port inside or outside. */
static void check_unique(struct json_reader *reader, const struct environment_spec *spec, size_t i)
{
	const struct service *service = &spec->services[i];

	for (size_t j = 0; j < i && reader->status == 0; j++) {
		const struct service *other = &spec->services[j];

		if (strcmp(service->name, other->name) == 0)
			json_reader_fail(reader, -EINVAL, "invalid", "name",
					 "there are two services \"%s\"", service->name);
		else if (service->protocol == other->protocol && service->port == other->port)
			json_reader_fail(reader, -EINVAL, "invalid", "port",
					 "%u is also the port of service \"%s\"", service->port,
					 other->name);
		else if (service->protocol == other->protocol && service->external_port > 0 &&
			 service->external_port == other->external_port)
			json_reader_fail(reader, -EINVAL, "invalid", "external_port",
					 "%u is also asked for by service \"%s\"",
					 service->external_port, other->name);
	}
}

static int default_service(struct environment_spec *spec)
{
	spec->services = calloc(1, sizeof(*spec->services));
	if (!spec->services)
		return -ENOMEM;
	spec->n_services = 1;
	spec->services[0] =
		(struct service){ .name = strdup("ssh"), .port = 22, .protocol = PROTOCOL_TCP };
	return spec->services[0].name ? 0 : -ENOMEM;
}

static void read_services(struct json_reader *reader, struct environment_spec *spec)
{
	char field[ERROR_FIELD_MAX], path[ERROR_FIELD_MAX];
	json_t *array = NULL;

	json_read_array(reader, "services", JSON_OPTIONAL, ENVIRONMENT_SERVICES_MAX, &array);
	if (reader->status < 0)
		return;
	if (!array) {
		if (default_service(spec) < 0)
			json_reader_fail(reader, -ENOMEM, "internal", "services", "out of memory");
		return;
	}
	spec->services = calloc(MAX(json_array_size(array), 1u), sizeof(*spec->services));
	if (!spec->services) {
		json_reader_fail(reader, -ENOMEM, "internal", "services", "out of memory");
		return;
	}
	spec->n_services = json_array_size(array);
	for (size_t i = 0; i < spec->n_services && reader->status == 0; i++) {
		struct json_reader item;

		json_reader_path(reader, item_field("services", i, field), path);
		json_reader_init(&item, json_array_get(array, i), path, reader->err);
		read_service(&item, &spec->services[i]);
		if (item.status == 0)
			check_unique(&item, spec, i);
		reader->status = json_reader_finish(&item);
	}
}

/* A line of authorized_keys without options: a type that OpenSSH knows and base64. */
static bool is_public_key(const char *line)
{
	static const char *const types[] = { "ssh-ed25519 ",
					     "ssh-rsa ",
					     "ecdsa-sha2-nistp256 ",
					     "ecdsa-sha2-nistp384 ",
					     "ecdsa-sha2-nistp521 ",
					     "sk-ssh-ed25519@openssh.com ",
					     "sk-ecdsa-sha2-nistp256@openssh.com " };
	static const char base64[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
				     "0123456789+/";

	for (const char *c = line; *c; c++)
		if ((unsigned char)*c < ' ' || *c == 0x7f)
			return false;
	for (size_t i = 0; i < ARRAY_SIZE(types); i++) {
		size_t length = strlen(types[i]), digits;

		if (strncmp(line, types[i], length) != 0)
			continue;
		digits = strspn(line + length, base64);
		length += digits + strspn(line + length + digits, "=");
		return digits >= 40 && (line[length] == '\0' || line[length] == ' ');
	}
	return false;
}

static void read_string_list(struct json_reader *reader, const char *field, size_t max_items,
			     size_t max_length, bool (*check)(const char *text),
			     const char *complaint, struct string_list *list)
{
	char name[ERROR_FIELD_MAX];
	json_t *array = NULL;

	json_read_array(reader, field, JSON_OPTIONAL, max_items, &array);
	if (json_array_size(array) == 0)
		return;
	list->items = calloc(json_array_size(array), sizeof(*list->items));
	if (!list->items) {
		json_reader_fail(reader, -ENOMEM, "internal", field, "out of memory");
		return;
	}
	for (size_t i = 0; i < json_array_size(array); i++) {
		json_t *item = json_array_get(array, i);
		const char *text = json_string_value(item);

		if (!text || json_string_length(item) > max_length ||
		    strlen(text) != json_string_length(item) || !check(text)) {
			json_reader_fail(reader, -EINVAL, "invalid", item_field(field, i, name),
					 "%s", complaint);
			return;
		}
		list->items[i] = strdup(text);
		if (!list->items[i]) {
			json_reader_fail(reader, -ENOMEM, "internal", field, "out of memory");
			return;
		}
		list->n++;
	}
}

static bool is_not_empty(const char *text)
{
	return *text;
}

static bool is_variable(const char *name)
{
	for (const char *c = name; *c; c++) {
		bool letter = (*c >= 'A' && *c <= 'Z') || (*c >= 'a' && *c <= 'z') || *c == '_';

		if (!letter && (c == name || *c < '0' || *c > '9'))
			return false;
	}
	return *name;
}

static bool is_volume(const char *name)
{
	for (const char *c = name; *c; c++)
		if (!(*c >= 'a' && *c <= 'z') && !(*c >= '0' && *c <= '9') && *c != '-')
			return false;
	return *name && *name != '-' && strlen(name) <= 32;
}

static void read_volumes(struct json_reader *reader, struct environment_spec *spec)
{
	char path[ERROR_FIELD_MAX];
	const char *name;
	json_t *kind;

	read_strings(reader, "volumes", ENVIRONMENT_VOLUMES_MAX, 32, is_volume, &spec->volumes);
	json_object_foreach (spec->volumes, name, kind) {
		const char *text = json_string_value(kind);

		snprintf(path, sizeof(path), "volumes.%s", name);
		if (strcmp(text, "local") != 0 && strcmp(text, "shared") != 0)
			json_reader_fail(reader, -EINVAL, "invalid", path,
					 "\"%s\" is neither local nor shared", text);
	}
}

static void read_resources(struct json_reader *reader, struct environment_spec *spec)
{
	uint64_t gpu = 0, gpu_milli = 0;

	json_read_uint(reader, "cpu_milli", JSON_REQUIRED, 10, 1024000, &spec->cpu_milli);
	json_read_uint(reader, "memory_bytes", JSON_REQUIRED, 16 * MIB, 64 * TIB,
		       &spec->memory_bytes);
	json_read_uint(reader, "gpu", JSON_OPTIONAL, 0, 64, &gpu);
	json_read_uint(reader, "gpu_milli", JSON_OPTIONAL, 0, 999, &gpu_milli);
	spec->gpu = (uint32_t)gpu;
	spec->gpu_milli = (uint32_t)gpu_milli;
	if (gpu > 0 && gpu_milli > 0)
		json_reader_fail(reader, -EINVAL, "invalid", "gpu_milli",
				 "a share of a GPU cannot be asked for beside whole ones");
	read_string_list(reader, "gpu_model", 16, 128, is_not_empty,
			 "must be the model of a GPU, such as A100", &spec->gpu_model);
}

static void read_restart(struct json_reader *reader, struct environment_spec *spec)
{
	const char *text = "always";

	json_read_string(reader, "restart", JSON_OPTIONAL, 16, &text);
	if (strcmp(text, "no") == 0) /* as Docker has it */
		text = restart_names[RESTART_NEVER];
	for (size_t i = 0; i < ARRAY_SIZE(restart_names); i++) {
		if (strcmp(restart_names[i], text) == 0) {
			spec->restart = (enum restart_policy)i;
			return;
		}
	}
	json_reader_fail(reader, -EINVAL, "invalid", "restart",
			 "\"%s\" is none of always, on-failure, never", text);
}

static void read_expiry(struct json_reader *reader, struct environment_spec *spec)
{
	const char *text = expiry_names[EXPIRY_STOP];

	json_read_time(reader, "expires_at", JSON_OPTIONAL, &spec->expires_at);
	json_read_string(reader, "on_expiry", JSON_OPTIONAL, 16, &text);
	if (strcmp(text, expiry_names[EXPIRY_DELETE]) == 0)
		spec->on_expiry = EXPIRY_DELETE;
	else if (strcmp(text, expiry_names[EXPIRY_STOP]) != 0)
		json_reader_fail(reader, -EINVAL, "invalid", "on_expiry",
				 "\"%s\" is neither stop nor delete", text);
}

static void read_spec(struct json_reader *reader, struct environment_spec *spec)
{
	read_dns_label(reader, "name", JSON_REQUIRED, ENVIRONMENT_NAME_MAX, false, &spec->name);
	read_line(reader, "image", JSON_REQUIRED, IMAGE_MAX, &spec->image);
	if (spec->image && strchr(spec->image, ' '))
		json_reader_fail(reader, -EINVAL, "invalid", "image", "contains a space");
	read_resources(reader, spec);
	read_services(reader, spec);
	read_string_list(reader, "ssh_authorized_keys", ENVIRONMENT_KEYS_MAX, KEY_LINE_MAX,
			 is_public_key,
			 "must be one line of an OpenSSH public key, such as "
			 "\"ssh-ed25519 AAAA… alice@laptop\"",
			 &spec->ssh_authorized_keys);
	read_strings(reader, "env", ENVIRONMENT_VARIABLES_MAX, VALUE_MAX, is_variable, &spec->env);
	read_volumes(reader, spec);
	read_strings(reader, "labels", LABELS_MAX, 256, NULL, &spec->labels);
	read_restart(reader, spec);
	read_dns_label(reader, "customer", JSON_OPTIONAL, ENVIRONMENT_CUSTOMER_MAX, false,
		       &spec->customer);
	read_expiry(reader, spec);
	read_dns_label(reader, "policy", JSON_OPTIONAL, 32, false, &spec->policy);
	read_dns_label(reader, "pool", JSON_OPTIONAL, 63, true, &spec->pool);
	spec->queue = true;
	json_read_bool(reader, "queue", JSON_OPTIONAL, &spec->queue);
	if (!spec->pool && reader->status == 0) {
		spec->pool = strdup("default");
		if (!spec->pool)
			json_reader_fail(reader, -ENOMEM, "internal", "pool", "out of memory");
	}
}

static int decode_spec(json_t *json, const char *path, struct environment_spec *ret,
		       struct error *err)
{
	struct environment_spec spec = { 0 };
	struct json_reader reader;
	int r;

	json_reader_init(&reader, json, path, err);
	read_spec(&reader, &spec);
	r = json_reader_finish(&reader);
	if (r < 0) {
		environment_spec_clear(&spec);
		return r;
	}
	*ret = spec;
	return 0;
}

int environment_spec_decode(json_t *json, struct environment_spec *ret, struct error *err)
{
	return decode_spec(json, "", ret, err);
}

/* ---- writing ---- */

static json_t *encode_list(const struct string_list *list)
{
	_cleanup_json_ json_t *array = json_array();

	for (size_t i = 0; array && i < list->n; i++)
		if (json_array_append_new(array, json_string(list->items[i])) < 0)
			return NULL;
	return TAKE_PTR(array);
}

static json_t *encode_services(const struct environment_spec *spec)
{
	_cleanup_json_ json_t *array = json_array();

	for (size_t i = 0; array && i < spec->n_services; i++) {
		const struct service *service = &spec->services[i];
		json_t *item =
			json_pack("{s:s, s:i, s:s}", "name", service->name, "port",
				  (int)service->port, "protocol", protocol_name(service->protocol));

		if (json_array_append_new(array, item) < 0)
			return NULL;
		if (service->external_port > 0 &&
		    json_object_set_new(item, "external_port",
					json_integer(service->external_port)) < 0)
			return NULL;
	}
	return TAKE_PTR(array);
}

json_t *environment_spec_encode(const struct environment_spec *spec)
{
	_cleanup_json_ json_t *object = NULL;

	object = json_pack(
		"{s:s, s:s, s:I, s:I, s:i, s:i, s:o, s:o, s:o, s:O, s:O, s:O, s:s, s:s, s:s, s:b}",
		"name", spec->name, "image", spec->image, "cpu_milli", (json_int_t)spec->cpu_milli,
		"memory_bytes", (json_int_t)spec->memory_bytes, "gpu", (int)spec->gpu, "gpu_milli",
		(int)spec->gpu_milli, "gpu_model", encode_list(&spec->gpu_model), "services",
		encode_services(spec), "ssh_authorized_keys",
		encode_list(&spec->ssh_authorized_keys), "env", spec->env, "volumes", spec->volumes,
		"labels", spec->labels, "restart", restart_names[spec->restart], "on_expiry",
		expiry_names[spec->on_expiry], "pool", spec->pool, "queue", (int)spec->queue);
	if (object && spec->policy &&
	    json_object_set_new(object, "policy", json_string(spec->policy)) < 0)
		return NULL;
	if (object && spec->customer &&
	    json_object_set_new(object, "customer", json_string(spec->customer)) < 0)
		return NULL;
	if (object && spec->expires_at > 0 &&
	    json_object_set_new(object, "expires_at", json_time(spec->expires_at)) < 0)
		return NULL;
	return TAKE_PTR(object);
}

int environment_spec_copy(const struct environment_spec *spec, struct environment_spec *ret)
{
	_cleanup_json_ json_t *json = environment_spec_encode(spec);
	int r;

	if (!json)
		return -ENOMEM;
	r = environment_spec_decode(json, ret, NULL);
	return r < 0 ? -ENOMEM : 0; /* what was valid stays so */
}

bool environment_spec_is_movable(const struct environment_spec *spec)
{
	const char *name;
	json_t *kind;

	json_object_foreach (spec->volumes, name, kind)
		if (strcmp(json_string_value(kind), "shared") != 0)
			return false;
	return json_object_size(spec->volumes) > 0;
}

static void list_clear(struct string_list *list)
{
	for (size_t i = 0; i < list->n; i++)
		free(list->items[i]);
	free(list->items);
}

void environment_spec_clear(struct environment_spec *spec)
{
	free(spec->name);
	free(spec->image);
	list_clear(&spec->gpu_model);
	for (size_t i = 0; i < spec->n_services; i++)
		free(spec->services[i].name);
	free(spec->services);
	list_clear(&spec->ssh_authorized_keys);
	json_decref(spec->env);
	json_decref(spec->volumes);
	json_decref(spec->labels);
	free(spec->customer);
	free(spec->policy);
	free(spec->pool);
	*spec = (struct environment_spec){ 0 };
}

/* ---- the assignment ---- */

int assignment_decode(json_t *json, const char *path, struct assignment *ret, struct error *err)
{
	struct assignment assignment = { 0 };
	char spec_path[ERROR_FIELD_MAX];
	struct json_reader reader;
	const char *state = "running";
	json_t *spec = NULL;
	int r;

	json_reader_init(&reader, json, path, err);
	read_dns_label(&reader, "environment", JSON_REQUIRED, ENVIRONMENT_ID_MAX, false,
		       &assignment.environment);
	json_read_uint(&reader, "revision", JSON_REQUIRED, 0, INT64_MAX, &assignment.revision);
	json_read_string(&reader, "state", JSON_REQUIRED, 16, &state);
	assignment.running = strcmp(state, "running") == 0;
	if (!assignment.running && strcmp(state, "stopped") != 0)
		json_reader_fail(&reader, -EINVAL, "invalid", "state",
				 "\"%s\" is neither running nor stopped", state);
	json_read_object(&reader, "spec", JSON_REQUIRED, &spec);
	if (spec && reader.status == 0)
		reader.status = decode_spec(spec, json_reader_path(&reader, "spec", spec_path),
					    &assignment.spec, err);
	read_line(&reader, "user", JSON_REQUIRED, 32, &assignment.user);
	read_text(&reader, "password_hash", JSON_OPTIONAL, 512, &assignment.password_hash);
	read_text(&reader, "ssh_host_key", JSON_OPTIONAL, 8192, &assignment.ssh_host_key);
	r = json_reader_finish(&reader);
	if (r < 0) {
		assignment_clear(&assignment);
		return r;
	}
	*ret = assignment;
	return 0;
}

json_t *assignment_encode(const struct assignment *assignment)
{
	return json_pack("{s:s, s:I, s:s, s:o, s:s, s:s*, s:s*}", "environment",
			 assignment->environment, "revision", (json_int_t)assignment->revision,
			 "state", assignment->running ? "running" : "stopped", "spec",
			 environment_spec_encode(&assignment->spec), "user", assignment->user,
			 "password_hash", assignment->password_hash, "ssh_host_key",
			 assignment->ssh_host_key);
}

static void wipe(char *secret)
{
	if (secret)
		explicit_bzero(secret, strlen(secret));
	free(secret);
}

void assignment_clear(struct assignment *assignment)
{
	free(assignment->environment);
	environment_spec_clear(&assignment->spec);
	free(assignment->user);
	wipe(assignment->password_hash);
	wipe(assignment->ssh_host_key);
	*assignment = (struct assignment){ 0 };
}
