/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Registrations and status reports: their JSON. */
#include "proto/report.h"

#include <errno.h>
#include <string.h>

#include "proto/environment.h"
#include "proto/read.h"

#define TEXT_MAX 1024
#define LABELS_MAX 64
#define GATEWAY_ADDRESSES_MAX 256

/* Reads an array of objects into a new zeroed array: one decode call for each. */
static int read_items(struct json_reader *reader, const char *field, enum json_presence presence,
		      size_t max_items, size_t item_size, void *ret_items, size_t *ret_n,
		      void (*decode)(struct json_reader *item, void *ret))
{
	char name[ERROR_FIELD_MAX], path[ERROR_FIELD_MAX];
	json_t *array = NULL;
	uint8_t *items;

	json_read_array(reader, field, presence, max_items, &array);
	if (json_array_size(array) == 0)
		return reader->status;
	items = calloc(json_array_size(array), item_size);
	if (!items)
		return json_reader_fail(reader, -ENOMEM, "internal", field, "out of memory");
	*(void **)ret_items = items;
	*ret_n = json_array_size(array);
	for (size_t i = 0; i < *ret_n && reader->status == 0; i++) {
		struct json_reader item;

		json_reader_path(reader, item_field(field, i, name), path);
		json_reader_init(&item, json_array_get(array, i), path, reader->err);
		decode(&item, items + i * item_size);
		reader->status = json_reader_finish(&item);
	}
	return reader->status;
}

/* A sentence for a person, from wherever: cut to what a decoder takes, never a reason to fail. */
static json_t *encode_text(const char *text)
{
	size_t length = strnlen(text, TEXT_MAX);
	json_t *json;

	if (length == TEXT_MAX)
		while (length > 0 && ((unsigned char)text[length] & 0xc0) == 0x80)
			length--; /* not inside a character */
	json = json_stringn(text, length);
	return json ? json : json_string("(a reason that is not valid UTF-8)");
}

/* An optional string: absent where text is NULL. */
static int put_text(json_t *object, const char *field, const char *text)
{
	return text ? json_object_set_new(object, field, encode_text(text)) : 0;
}

/* ---- capacity ---- */

static void decode_gpu(struct json_reader *reader, void *ret)
{
	struct gpu *gpu = ret;

	read_line(reader, "uuid", JSON_REQUIRED, 128, &gpu->uuid);
	read_line(reader, "model", JSON_REQUIRED, 128, &gpu->model);
	json_read_uint(reader, "memory_bytes", JSON_REQUIRED, 0, INT64_MAX, &gpu->memory_bytes);
}

static void read_capacity(struct json_reader *reader, struct capacity *capacity)
{
	char path[ERROR_FIELD_MAX];
	struct json_reader inner;
	json_t *object = NULL;

	json_read_object(reader, "capacity", JSON_REQUIRED, &object);
	if (!object)
		return;
	json_reader_init(&inner, object, json_reader_path(reader, "capacity", path), reader->err);
	json_read_uint(&inner, "cpu_milli", JSON_REQUIRED, 0, INT64_MAX, &capacity->cpu_milli);
	json_read_uint(&inner, "memory_bytes", JSON_REQUIRED, 0, INT64_MAX,
		       &capacity->memory_bytes);
	read_items(&inner, "gpus", JSON_OPTIONAL, REPORT_GPUS_MAX, sizeof(*capacity->gpus),
		   &capacity->gpus, &capacity->n_gpus, decode_gpu);
	reader->status = json_reader_finish(&inner);
}

static json_t *encode_capacity(const struct capacity *capacity)
{
	_cleanup_json_ json_t *gpus = json_array();

	for (size_t i = 0; gpus && i < capacity->n_gpus; i++)
		if (json_array_append_new(
			    gpus, json_pack("{s:s, s:s, s:I}", "uuid", capacity->gpus[i].uuid,
					    "model", capacity->gpus[i].model, "memory_bytes",
					    (json_int_t)capacity->gpus[i].memory_bytes)) < 0)
			return NULL;
	return json_pack("{s:I, s:I, s:O}", "cpu_milli", (json_int_t)capacity->cpu_milli,
			 "memory_bytes", (json_int_t)capacity->memory_bytes, "gpus", gpus);
}

static void capacity_clear(struct capacity *capacity)
{
	for (size_t i = 0; i < capacity->n_gpus; i++) {
		free(capacity->gpus[i].uuid);
		free(capacity->gpus[i].model);
	}
	free(capacity->gpus);
}

/* ---- registrations ---- */

int host_registration_decode(json_t *json, struct host_registration *ret, struct error *err)
{
	struct host_registration registration = { 0 };
	struct json_reader reader;
	int r;

	json_reader_init(&reader, json, "", err);
	read_dns_label(&reader, "name", JSON_REQUIRED, FOLLOWER_NAME_MAX, true, &registration.name);
	read_unicast(&reader, "address", &registration.address);
	read_dns_label(&reader, "pool", JSON_REQUIRED, FOLLOWER_NAME_MAX, true, &registration.pool);
	read_strings(&reader, "labels", LABELS_MAX, 256, NULL, &registration.labels);
	read_capacity(&reader, &registration.capacity);
	read_line(&reader, "version", JSON_REQUIRED, 64, &registration.version);
	r = json_reader_finish(&reader);
	if (r < 0) {
		host_registration_clear(&registration);
		return r;
	}
	*ret = registration;
	return 0;
}

json_t *host_registration_encode(const struct host_registration *registration)
{
	char address[ADDRESS_STRING_MAX];

	return json_pack("{s:s, s:s, s:s, s:O, s:o, s:s}", "name", registration->name, "address",
			 address_format(&registration->address, address), "pool",
			 registration->pool, "labels", registration->labels, "capacity",
			 encode_capacity(&registration->capacity), "version",
			 registration->version);
}

void host_registration_clear(struct host_registration *registration)
{
	free(registration->name);
	free(registration->pool);
	json_decref(registration->labels);
	capacity_clear(&registration->capacity);
	free(registration->version);
	*registration = (struct host_registration){ 0 };
}

static void read_addresses(struct json_reader *reader, struct gateway_registration *registration)
{
	char field[ERROR_FIELD_MAX];
	json_t *array = NULL;

	json_read_array(reader, "addresses", JSON_REQUIRED, GATEWAY_ADDRESSES_MAX, &array);
	if (!array)
		return;
	if (json_array_size(array) == 0) {
		json_reader_fail(reader, -EINVAL, "invalid", "addresses", "is empty");
		return;
	}
	registration->addresses = calloc(json_array_size(array), sizeof(struct address));
	if (!registration->addresses) {
		json_reader_fail(reader, -ENOMEM, "internal", "addresses", "out of memory");
		return;
	}
	for (size_t i = 0; i < json_array_size(array); i++) {
		const char *text = json_string_value(json_array_get(array, i));
		struct address *address = &registration->addresses[registration->n_addresses];

		if (!text || address_parse(text, address) < 0 || !address_is_unicast(address)) {
			json_reader_fail(
				reader, -EINVAL, "invalid", item_field("addresses", i, field),
				"%s is not the IP address of one host", text ? text : "it");
			return;
		}
		for (size_t j = 0; j < registration->n_addresses; j++)
			if (address_equal(&registration->addresses[j], address))
				json_reader_fail(reader, -EINVAL, "invalid",
						 item_field("addresses", i, field),
						 "%s is there twice", text);
		registration->n_addresses++;
	}
}

int gateway_registration_decode(json_t *json, struct gateway_registration *ret, struct error *err)
{
	struct gateway_registration registration = { 0 };
	struct json_reader reader;
	int r;

	json_reader_init(&reader, json, "", err);
	read_dns_label(&reader, "name", JSON_REQUIRED, FOLLOWER_NAME_MAX, true, &registration.name);
	read_addresses(&reader, &registration);
	read_line(&reader, "version", JSON_REQUIRED, 64, &registration.version);
	r = json_reader_finish(&reader);
	if (r < 0) {
		gateway_registration_clear(&registration);
		return r;
	}
	*ret = registration;
	return 0;
}

json_t *gateway_registration_encode(const struct gateway_registration *registration)
{
	_cleanup_json_ json_t *addresses = json_array();
	char text[ADDRESS_STRING_MAX];

	for (size_t i = 0; addresses && i < registration->n_addresses; i++) {
		address_format(&registration->addresses[i], text);
		if (json_array_append_new(addresses, json_string(text)) < 0)
			return NULL;
	}
	return json_pack("{s:s, s:O, s:s}", "name", registration->name, "addresses", addresses,
			 "version", registration->version);
}

void gateway_registration_clear(struct gateway_registration *registration)
{
	free(registration->name);
	free(registration->addresses);
	free(registration->version);
	*registration = (struct gateway_registration){ 0 };
}

/* ---- the host's report ---- */

static const char *const state_names[CONTAINER_STATE_MAX] = {
	[CONTAINER_WAITING] = "waiting",   [CONTAINER_PULLING] = "pulling",
	[CONTAINER_CREATING] = "creating", [CONTAINER_STARTING] = "starting",
	[CONTAINER_READY] = "ready",       [CONTAINER_STOPPING] = "stopping",
	[CONTAINER_STOPPED] = "stopped",   [CONTAINER_REMOVING] = "removing",
	[CONTAINER_FAILED] = "failed",
};

const char *container_state_name(enum container_state state)
{
	return state >= 0 && state < CONTAINER_STATE_MAX ? state_names[state] : "invalid";
}

enum container_state container_state_parse(const char *text)
{
	for (int i = 0; i < CONTAINER_STATE_MAX; i++)
		if (strcmp(state_names[i], text) == 0)
			return (enum container_state)i;
	return CONTAINER_STATE_INVALID;
}

static void decode_service(struct json_reader *reader, void *ret)
{
	struct service_endpoint *service = ret;
	const char *protocol = "tcp";
	uint64_t port = 0;

	read_dns_label(reader, "service", JSON_REQUIRED, 32, false, &service->service);
	json_read_string(reader, "protocol", JSON_OPTIONAL, 16, &protocol);
	service->protocol = protocol_parse(protocol);
	if (service->protocol == PROTOCOL_INVALID)
		json_reader_fail(reader, -EINVAL, "invalid", "protocol",
				 "\"%s\" is neither tcp nor udp", protocol);
	read_unicast(reader, "address", &service->endpoint.address);
	json_read_uint(reader, "port", JSON_REQUIRED, 1, UINT16_MAX, &port);
	service->endpoint.port = (uint16_t)port;
}

/* How often and with what it ended, and when it begins again. */
static void read_ends(struct json_reader *reader, struct container_report *container)
{
	uint64_t exit_code = UINT64_MAX;

	json_read_uint(reader, "exit_code", JSON_OPTIONAL, 0, EXIT_CODE_MAX, &exit_code);
	container->exit_code = exit_code == UINT64_MAX ? EXIT_CODE_NONE : (int)exit_code;
	json_read_uint(reader, "crashes", JSON_OPTIONAL, 0, UINT32_MAX, &container->crashes);
	json_read_time(reader, "next_try", JSON_OPTIONAL, &container->next_try);
}

static void decode_container(struct json_reader *reader, void *ret)
{
	struct container_report *container = ret;
	const char *state = NULL;

	read_dns_label(reader, "environment", JSON_REQUIRED, ENVIRONMENT_ID_MAX, false,
		       &container->environment);
	json_read_uint(reader, "revision", JSON_REQUIRED, 0, INT64_MAX, &container->revision);
	json_read_string(reader, "state", JSON_REQUIRED, 32, &state);
	container->state = state ? container_state_parse(state) : CONTAINER_STATE_INVALID;
	if (state && container->state == CONTAINER_STATE_INVALID)
		json_reader_fail(reader, -EINVAL, "invalid", "state", "\"%s\" is not known", state);
	read_text(reader, "reason", JSON_OPTIONAL, TEXT_MAX, &container->reason);
	read_ends(reader, container);
	read_items(reader, "services", JSON_OPTIONAL, REPORT_SERVICES_MAX,
		   sizeof(*container->services), &container->services, &container->n_services,
		   decode_service);
}

int host_report_decode(json_t *json, struct host_report *ret, struct error *err)
{
	struct host_report report = { 0 };
	struct json_reader reader;
	int r;

	json_reader_init(&reader, json, "", err);
	json_read_uint(&reader, "epoch", JSON_REQUIRED, 0, INT64_MAX, &report.epoch);
	json_read_uint(&reader, "revision", JSON_REQUIRED, 0, INT64_MAX, &report.revision);
	read_capacity(&reader, &report.capacity);
	read_text(&reader, "engine_error", JSON_OPTIONAL, TEXT_MAX, &report.engine_error);
	read_items(&reader, "containers", JSON_REQUIRED, REPORT_CONTAINERS_MAX,
		   sizeof(*report.containers), &report.containers, &report.n_containers,
		   decode_container);
	r = json_reader_finish(&reader);
	if (r < 0) {
		host_report_clear(&report);
		return r;
	}
	*ret = report;
	return 0;
}

static json_t *encode_service(const struct service_endpoint *service)
{
	char address[ADDRESS_STRING_MAX];

	return json_pack("{s:s, s:s, s:s, s:i}", "service", service->service, "protocol",
			 protocol_name(service->protocol), "address",
			 address_format(&service->endpoint.address, address), "port",
			 (int)service->endpoint.port);
}

static int put_ends(json_t *object, const struct container_report *container)
{
	int r = 0;

	if (container->exit_code != EXIT_CODE_NONE)
		r |= json_object_set_new(object, "exit_code", json_integer(container->exit_code));
	if (container->crashes > 0)
		r |= json_object_set_new(object, "crashes",
					 json_integer((json_int_t)container->crashes));
	if (container->next_try > 0)
		r |= json_object_set_new(object, "next_try", json_time(container->next_try));
	return r;
}

static json_t *encode_container(const struct container_report *container)
{
	_cleanup_json_ json_t *services = json_array(), *object = NULL;

	for (size_t i = 0; services && i < container->n_services; i++)
		if (json_array_append_new(services, encode_service(&container->services[i])) < 0)
			return NULL;
	object = json_pack("{s:s, s:I, s:s, s:O}", "environment", container->environment,
			   "revision", (json_int_t)container->revision, "state",
			   container_state_name(container->state), "services", services);
	if (!object || put_text(object, "reason", container->reason) < 0 ||
	    put_ends(object, container) < 0)
		return NULL;
	return TAKE_PTR(object);
}

json_t *host_report_encode(const struct host_report *report)
{
	_cleanup_json_ json_t *containers = json_array(), *object = NULL;

	for (size_t i = 0; containers && i < report->n_containers; i++)
		if (json_array_append_new(containers, encode_container(&report->containers[i])) < 0)
			return NULL;
	object = json_pack("{s:I, s:I, s:o, s:O}", "epoch", (json_int_t)report->epoch, "revision",
			   (json_int_t)report->revision, "capacity",
			   encode_capacity(&report->capacity), "containers", containers);
	if (!object || put_text(object, "engine_error", report->engine_error) < 0)
		return NULL;
	return TAKE_PTR(object);
}

static void container_clear(struct container_report *container)
{
	for (size_t i = 0; i < container->n_services; i++)
		free(container->services[i].service);
	free(container->services);
	free(container->environment);
	free(container->reason);
}

void host_report_clear(struct host_report *report)
{
	for (size_t i = 0; i < report->n_containers; i++)
		container_clear(&report->containers[i]);
	free(report->containers);
	capacity_clear(&report->capacity);
	free(report->engine_error);
	*report = (struct host_report){ 0 };
}

/* ---- the gateway's report ---- */

static void decode_failure(struct json_reader *reader, void *ret)
{
	static const char *const beside[] = { "reason", NULL };
	struct mapping_failure *failure = ret;

	read_text(reader, "reason", JSON_REQUIRED, TEXT_MAX, &failure->reason);
	if (reader->status == 0)
		reader->status = mapping_key_decode(reader->object, reader->path, NULL, beside,
						    &failure->key, reader->err);
	json_reader_ignore(reader, (const char *const[]){ "address", "protocol", "port", NULL });
}

int gateway_report_decode(json_t *json, struct gateway_report *ret, struct error *err)
{
	struct gateway_report report = { 0 };
	struct json_reader reader;
	int r;

	json_reader_init(&reader, json, "", err);
	json_read_uint(&reader, "epoch", JSON_REQUIRED, 0, INT64_MAX, &report.epoch);
	json_read_uint(&reader, "revision", JSON_REQUIRED, 0, INT64_MAX, &report.revision);
	json_read_uint(&reader, "mappings", JSON_REQUIRED, 0, INT64_MAX, &report.mappings);
	read_items(&reader, "failed", JSON_REQUIRED, REPORT_FAILURES_MAX, sizeof(*report.failed),
		   &report.failed, &report.n_failed, decode_failure);
	r = json_reader_finish(&reader);
	if (r < 0) {
		gateway_report_clear(&report);
		return r;
	}
	*ret = report;
	return 0;
}

json_t *gateway_report_encode(const struct gateway_report *report)
{
	_cleanup_json_ json_t *failed = json_array();

	for (size_t i = 0; failed && i < report->n_failed; i++) {
		json_t *item = mapping_key_encode(&report->failed[i].key);

		if (json_array_append_new(failed, item) < 0 ||
		    put_text(item, "reason", report->failed[i].reason) < 0)
			return NULL;
	}
	return json_pack("{s:I, s:I, s:I, s:O}", "epoch", (json_int_t)report->epoch, "revision",
			 (json_int_t)report->revision, "mappings", (json_int_t)report->mappings,
			 "failed", failed);
}

void gateway_report_clear(struct gateway_report *report)
{
	for (size_t i = 0; i < report->n_failed; i++)
		free(report->failed[i].reason);
	free(report->failed);
	*report = (struct gateway_report){ 0 };
}
