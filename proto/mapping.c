/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The mapping's JSON, its rules, and its order. */
#include "proto/mapping.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

static const struct address no_address;

/* Reads an address of one host; fallback stands where the field is absent. */
static void read_address(struct json_reader *reader, const char *field,
			 const struct address *fallback, struct address *ret)
{
	bool required = !fallback || fallback->family == AF_UNSPEC;
	const char *text = NULL;

	json_read_string(reader, field, required ? JSON_REQUIRED : JSON_OPTIONAL,
			 ADDRESS_STRING_MAX, &text);
	if (!text) {
		*ret = required ? no_address : *fallback;
		return;
	}
	if (address_parse(text, ret) < 0)
		json_reader_fail(reader, -EINVAL, "invalid", field, "\"%s\" is not an IP address",
				 text);
	else if (!address_is_unicast(ret))
		json_reader_fail(reader, -EINVAL, "invalid", field,
				 "%s is not the address of one host", text);
}

static void read_key(struct json_reader *reader, const struct address *default_address,
		     struct mapping_key *ret)
{
	const char *protocol = "tcp";
	uint64_t port = 0;

	read_address(reader, "address", default_address, &ret->address);
	json_read_string(reader, "protocol", JSON_OPTIONAL, 16, &protocol);
	if (protocol_parse(protocol) == PROTOCOL_INVALID)
		json_reader_fail(reader, -EINVAL, "invalid", "protocol",
				 "\"%s\" is neither tcp nor udp", protocol);
	else
		ret->protocol = (uint8_t)protocol_parse(protocol);
	json_read_uint(reader, "port", JSON_REQUIRED, 1, UINT16_MAX, &port);
	ret->port = (uint16_t)port;
}

static void read_target(struct json_reader *reader, struct mapping *mapping)
{
	char path[ERROR_FIELD_MAX];
	struct json_reader target;
	json_t *object = NULL;
	uint64_t port = 0;

	json_read_object(reader, "target", JSON_REQUIRED, &object);
	if (!object)
		return;
	json_reader_path(reader, "target", path);
	json_reader_init(&target, object, path, reader->err);
	read_address(&target, "address", NULL, &mapping->target.address);
	json_read_uint(&target, "port", JSON_REQUIRED, 1, UINT16_MAX, &port);
	mapping->target.port = (uint16_t)port;
	if (target.status == 0 && reader->status == 0 &&
	    mapping->target.address.family != mapping->key.address.family)
		json_reader_fail(&target, -EINVAL, "invalid", "address",
				 "must be of the same family as the mapping's address");
	reader->status = json_reader_finish(&target);
}

bool mapping_is_name(const char *text)
{
	for (const char *c = text; *c; c++)
		if (!(*c >= 'a' && *c <= 'z') && !(*c >= '0' && *c <= '9') && *c != '-')
			return false;
	return *text;
}

static void read_name(struct json_reader *reader, const char *field, char **ret)
{
	const char *text = NULL;

	json_read_string(reader, field, JSON_OPTIONAL, MAPPING_NAME_MAX, &text);
	if (!text)
		return;
	if (!mapping_is_name(text)) {
		json_reader_fail(reader, -EINVAL, "invalid", field,
				 "\"%s\" may consist of a-z, 0-9 and - only", text);
		return;
	}
	*ret = strdup(text);
	if (!*ret)
		json_reader_fail(reader, -ENOMEM, "internal", field, "out of memory");
}

static void read_allow(struct json_reader *reader, struct mapping *mapping)
{
	json_t *array = NULL;
	char field[32];

	json_read_array(reader, "allow", JSON_OPTIONAL, MAPPING_ALLOW_MAX, &array);
	if (!array || json_array_size(array) == 0)
		return;
	mapping->allow = calloc(json_array_size(array), sizeof(*mapping->allow));
	if (!mapping->allow) {
		json_reader_fail(reader, -ENOMEM, "internal", "allow", "out of memory");
		return;
	}
	for (size_t i = 0; i < json_array_size(array); i++) {
		const char *text = json_string_value(json_array_get(array, i));

		snprintf(field, sizeof(field), "allow[%zu]", i);
		if (!text)
			json_reader_fail(reader, -EINVAL, "invalid", field, "must be a string");
		else if (prefix_parse(text, &mapping->allow[i]) < 0)
			json_reader_fail(reader, -EINVAL, "invalid", field,
					 "\"%s\" is not a network such as 198.51.100.0/24", text);
		else if (mapping->allow[i].address.family != mapping->key.address.family)
			json_reader_fail(reader, -EINVAL, "invalid", field,
					 "%s is not of the mapping's address family", text);
	}
	mapping->n_allow = json_array_size(array);
}

static void read_limits(struct json_reader *reader, struct mapping *mapping)
{
	const char *on_remove = "revoke";
	uint64_t connections = 0, rate = 0;

	json_read_uint(reader, "max_connections", JSON_OPTIONAL, 1, UINT32_MAX, &connections);
	json_read_uint(reader, "new_connections_per_minute", JSON_OPTIONAL, 1, UINT32_MAX, &rate);
	mapping->max_connections = (uint32_t)connections;
	mapping->new_connections_per_minute = (uint32_t)rate;
	json_read_time(reader, "expires_at", JSON_OPTIONAL, &mapping->expires_at);
	json_read_string(reader, "on_remove", JSON_OPTIONAL, 16, &on_remove);
	if (strcmp(on_remove, "drain") == 0)
		mapping->on_remove = ON_REMOVE_DRAIN;
	else if (strcmp(on_remove, "revoke") != 0)
		json_reader_fail(reader, -EINVAL, "invalid", "on_remove",
				 "\"%s\" is neither revoke nor drain", on_remove);
}

int mapping_decode(json_t *json, const char *path, const struct address *default_address,
		   struct mapping *ret, struct error *err)
{
	struct mapping mapping = { 0 };
	struct json_reader reader;
	int r;

	json_reader_init(&reader, json, path, err);
	read_key(&reader, default_address, &mapping.key);
	read_target(&reader, &mapping);
	read_name(&reader, "environment", &mapping.environment);
	read_name(&reader, "service", &mapping.service);
	json_read_uint(&reader, "revision", JSON_OPTIONAL, 0, INT64_MAX, &mapping.revision);
	read_allow(&reader, &mapping);
	read_limits(&reader, &mapping);
	r = json_reader_finish(&reader);
	if (r < 0) {
		mapping_clear(&mapping);
		return r;
	}
	*ret = mapping;
	return 0;
}

int mapping_key_decode(json_t *json, const char *path, const struct address *default_address,
		       const char *const *ignore, struct mapping_key *ret, struct error *err)
{
	struct mapping_key key = { 0 };
	struct json_reader reader;
	int r;

	json_reader_init(&reader, json, path, err);
	json_reader_ignore(&reader, ignore);
	read_key(&reader, default_address, &key);
	r = json_reader_finish(&reader);
	if (r == 0)
		*ret = key;
	return r;
}

json_t *mapping_key_encode(const struct mapping_key *key)
{
	char text[MAPPING_TEXT_MAX];

	return json_loadb(text, mapping_key_write(key, text), 0, NULL);
}

json_t *mapping_encode(const struct mapping *mapping)
{
	char text[MAPPING_TEXT_MAX];

	return json_loadb(text, mapping_write(mapping, text), 0, NULL);
}

int mapping_copy(const struct mapping *mapping, struct mapping *ret)
{
	struct mapping copy = *mapping;

	copy.environment = mapping->environment ? strdup(mapping->environment) : NULL;
	copy.service = mapping->service ? strdup(mapping->service) : NULL;
	copy.allow = mapping->n_allow ? calloc(mapping->n_allow, sizeof(*copy.allow)) : NULL;
	if (copy.allow)
		memcpy(copy.allow, mapping->allow, mapping->n_allow * sizeof(*copy.allow));
	if ((mapping->environment && !copy.environment) || (mapping->service && !copy.service) ||
	    (mapping->n_allow && !copy.allow)) {
		mapping_clear(&copy);
		return -ENOMEM;
	}
	*ret = copy;
	return 0;
}

void mapping_clear(struct mapping *mapping)
{
	free(mapping->environment);
	free(mapping->service);
	free(mapping->allow);
	*mapping = (struct mapping){ 0 };
}

static bool text_equal(const char *a, const char *b)
{
	return a == b || (a && b && strcmp(a, b) == 0);
}

bool mapping_equal(const struct mapping *a, const struct mapping *b)
{
	if (mapping_key_compare(&a->key, &b->key) != 0 ||
	    endpoint_compare(&a->target, &b->target) != 0 || a->n_allow != b->n_allow ||
	    a->max_connections != b->max_connections ||
	    a->new_connections_per_minute != b->new_connections_per_minute ||
	    a->expires_at != b->expires_at || a->on_remove != b->on_remove ||
	    !text_equal(a->environment, b->environment) || !text_equal(a->service, b->service))
		return false;
	for (size_t i = 0; i < a->n_allow; i++)
		if (!address_equal(&a->allow[i].address, &b->allow[i].address) ||
		    a->allow[i].length != b->allow[i].length)
			return false;
	return true;
}

int mapping_key_compare(const struct mapping_key *a, const struct mapping_key *b)
{
	int r = address_compare(&a->address, &b->address);

	if (r != 0)
		return r;
	if (a->protocol != b->protocol)
		return a->protocol < b->protocol ? -1 : 1;
	return (a->port > b->port) - (a->port < b->port);
}

const char *mapping_key_format(const struct mapping_key *key, char buffer[MAPPING_STRING_MAX])
{
	struct endpoint endpoint = { .address = key->address, .port = key->port };
	char text[ENDPOINT_STRING_MAX];

	snprintf(buffer, MAPPING_STRING_MAX, "%s/%s", endpoint_format(&endpoint, text),
		 protocol_name(key->protocol));
	return buffer;
}

static bool host_bits_are_zero(const struct prefix *prefix)
{
	for (size_t bit = prefix->length; bit < address_length(&prefix->address) * 8; bit++)
		if (prefix->address.bytes[bit / 8] & (0x80 >> bit % 8))
			return false;
	return true;
}

/* 0…bits in decimal; -EINVAL otherwise. */
static int length_parse(const char *text, unsigned bits, uint8_t *ret)
{
	unsigned value = 0;

	if (!*text || strlen(text) > 3)
		return -EINVAL;
	for (; *text; text++) {
		if (*text < '0' || *text > '9')
			return -EINVAL;
		value = value * 10 + (unsigned)(*text - '0');
	}
	if (value > bits)
		return -EINVAL;
	*ret = (uint8_t)value;
	return 0;
}

int prefix_parse(const char *text, struct prefix *ret)
{
	const char *slash = strchr(text, '/');
	char address[ADDRESS_STRING_MAX];
	struct prefix prefix = { 0 };
	size_t length = slash ? (size_t)(slash - text) : strlen(text);

	if (length >= sizeof(address))
		return -EINVAL;
	memcpy(address, text, length);
	address[length] = '\0';
	if (address_parse(address, &prefix.address) < 0)
		return -EINVAL;
	prefix.length = (uint8_t)(address_length(&prefix.address) * 8);
	if (slash && length_parse(slash + 1, prefix.length, &prefix.length) < 0)
		return -EINVAL;
	if (!host_bits_are_zero(&prefix))
		return -EINVAL;
	*ret = prefix;
	return 0;
}

bool prefix_contains(const struct prefix *outer, const struct prefix *inner)
{
	size_t bytes = outer->length / 8;
	uint8_t mask = (uint8_t)(0xff00 >> outer->length % 8);

	return outer->address.family == inner->address.family && outer->length <= inner->length &&
	       memcmp(outer->address.bytes, inner->address.bytes, bytes) == 0 &&
	       (mask == 0 ||
		((outer->address.bytes[bytes] ^ inner->address.bytes[bytes]) & mask) == 0);
}

bool prefix_has(const struct prefix *prefix, const struct address *address)
{
	const struct prefix host = { .address = *address,
				     .length = (uint8_t)(8 * address_length(address)) };

	return prefix_contains(prefix, &host);
}

const char *prefix_format(const struct prefix *prefix, char buffer[PREFIX_STRING_MAX])
{
	char address[ADDRESS_STRING_MAX];

	snprintf(buffer, PREFIX_STRING_MAX, "%s/%u", address_format(&prefix->address, address),
		 prefix->length);
	return buffer;
}
