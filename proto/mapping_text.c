/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The mapping's JSON as text. It is the one encoder: mapping_encode reads what is written here. */
#include <string.h>

#include "lib/clock.h"
#include "proto/mapping.h"

/* Where the next byte goes. The caller's buffer holds the longest mapping, so nothing is checked.
 */
static char *put_text(char *at, const char *text)
{
	size_t length = strlen(text);

	memcpy(at, text, length);
	return at + length;
}

static char *put_uint(char *at, uint64_t value)
{
	char digits[20];
	size_t n = 0;

	do
		digits[n++] = (char)('0' + value % 10);
	while (value /= 10);
	while (n > 0)
		*at++ = digits[--n];
	return at;
}

static char *put_number_field(char *at, const char *field, uint64_t value)
{
	return value ? put_uint(put_text(at, field), value) : at;
}

/* Names consist of a-z, 0-9 and -, so that nothing in them needs an escape. */
static char *put_name_field(char *at, const char *field, const char *name)
{
	return name ? put_text(put_text(put_text(at, field), name), "\"") : at;
}

/* inet_ntop formats with printf's machinery; this is the same for IPv4. */
static char *put_address(char *at, const struct address *address)
{
	if (address->family != AF_INET)
		return at + strlen(address_format(address, at));
	for (int i = 0; i < 4; i++) {
		if (i > 0)
			*at++ = '.';
		at = put_uint(at, address->bytes[i]);
	}
	return at;
}

static char *put_key(char *at, const struct mapping_key *key)
{
	at = put_address(put_text(at, "{\"address\":\""), &key->address);
	at = put_text(put_text(at, "\",\"protocol\":\""), protocol_name(key->protocol));
	return put_uint(put_text(at, "\",\"port\":"), key->port);
}

static char *put_allow(char *at, const struct mapping *mapping)
{
	for (size_t i = 0; i < mapping->n_allow; i++) {
		const struct prefix *prefix = &mapping->allow[i];

		at = put_text(at, i == 0 ? ",\"allow\":[\"" : "\",\"");
		at = put_text(put_address(at, &prefix->address), "/");
		at = put_uint(at, prefix->length);
	}
	return mapping->n_allow ? put_text(at, "\"]") : at;
}

static char *put_expiry(char *at, int64_t expires_at)
{
	char text[TIME_STRING_MAX];

	if (expires_at == 0)
		return at;
	at = put_text(put_text(at, ",\"expires_at\":\""), time_format(expires_at, text));
	return put_text(at, "\"");
}

size_t mapping_write(const struct mapping *mapping, char buffer[MAPPING_TEXT_MAX])
{
	char *at = put_key(buffer, &mapping->key);

	at = put_text(at, ",\"target\":{\"address\":\"");
	at = put_text(put_address(at, &mapping->target.address), "\",\"port\":");
	at = put_text(put_uint(at, mapping->target.port), "}");
	at = put_name_field(at, ",\"environment\":\"", mapping->environment);
	at = put_name_field(at, ",\"service\":\"", mapping->service);
	at = put_number_field(at, ",\"revision\":", mapping->revision);
	at = put_allow(at, mapping);
	at = put_number_field(at, ",\"max_connections\":", mapping->max_connections);
	at = put_number_field(
		at, ",\"new_connections_per_minute\":", mapping->new_connections_per_minute);
	at = put_expiry(at, mapping->expires_at);
	at = put_text(at, ",\"on_remove\":\"");
	at = put_text(at, mapping->on_remove == ON_REMOVE_DRAIN ? "drain" : "revoke");
	at = put_text(at, "\"}");
	*at = '\0';
	return (size_t)(at - buffer);
}

size_t mapping_key_write(const struct mapping_key *key, char buffer[MAPPING_TEXT_MAX])
{
	char *at = put_text(put_key(buffer, key), "}");

	*at = '\0';
	return (size_t)(at - buffer);
}

/* ---- reading ----
 *
 * The common fields in our own order are read without a parser, since a state file may hold a
 * million; whatever else stands there goes the long way, with the same rules and with an error that
 * says what is wrong. */

/* Moves *at behind literal, if it stands there. */
static bool take(const char **at, const char *literal)
{
	size_t length = strlen(literal);

	if (strncmp(*at, literal, length) != 0)
		return false;
	*at += length;
	return true;
}

static bool take_uint(const char **at, uint64_t max, uint64_t *ret)
{
	uint64_t value = 0;
	const char *c = *at;

	/* JSON has no number with a leading zero, and we write no zero. */
	if (*c < '1' || *c > '9')
		return false;
	for (; *c >= '0' && *c <= '9'; c++) {
		if (value > max / 10)
			return false;
		value = value * 10 + (uint64_t)(*c - '0');
	}
	*at = c;
	*ret = value;
	return value <= max;
}

/* What stands before the next quotation mark, which is taken too. */
static bool take_string(const char **at, char *buffer, size_t size)
{
	const char *end = strchr(*at, '"');

	if (!end || (size_t)(end - *at) >= size)
		return false;
	memcpy(buffer, *at, (size_t)(end - *at));
	buffer[end - *at] = '\0';
	*at = end + 1;
	return true;
}

static bool take_address(const char **at, struct address *ret)
{
	char text[ADDRESS_STRING_MAX];

	return take_string(at, text, sizeof(text)) && address_parse(text, ret) == 0 &&
	       address_is_unicast(ret);
}

static bool take_port(const char **at, uint16_t *ret)
{
	uint64_t port = 0;
	bool taken = take(at, ",\"port\":") && take_uint(at, UINT16_MAX, &port);

	*ret = (uint16_t)port;
	return taken;
}

static bool take_protocol(const char **at, uint8_t *ret)
{
	bool tcp = take(at, ",\"protocol\":\"tcp\"");

	*ret = tcp ? PROTOCOL_TCP : PROTOCOL_UDP;
	return tcp || take(at, ",\"protocol\":\"udp\"");
}

/* True also where the field is not there. */
static bool take_name(const char **at, const char *field, char **ret)
{
	char text[MAPPING_NAME_MAX + 1];

	if (!take(at, field))
		return true;
	if (!take_string(at, text, sizeof(text)) || !mapping_is_name(text))
		return false;
	*ret = strdup(text);
	return *ret;
}

static bool take_on_remove(const char **at, enum on_remove *ret)
{
	bool drain = take(at, ",\"on_remove\":\"drain\"}");

	*ret = drain ? ON_REMOVE_DRAIN : ON_REMOVE_REVOKE;
	return drain || take(at, ",\"on_remove\":\"revoke\"}");
}

static bool take_key(const char **at, struct mapping_key *key)
{
	return take(at, "{\"address\":\"") && take_address(at, &key->address) &&
	       take_protocol(at, &key->protocol) && take_port(at, &key->port);
}

static bool take_mapping(const char **at, struct mapping *mapping)
{
	struct endpoint *target = &mapping->target;

	return take_key(at, &mapping->key) && take(at, ",\"target\":{\"address\":\"") &&
	       take_address(at, &target->address) &&
	       target->address.family == mapping->key.address.family &&
	       take_port(at, &target->port) && take(at, "}") &&
	       take_name(at, ",\"environment\":\"", &mapping->environment) &&
	       take_name(at, ",\"service\":\"", &mapping->service) &&
	       (!take(at, ",\"revision\":") || take_uint(at, INT64_MAX, &mapping->revision)) &&
	       take_on_remove(at, &mapping->on_remove) && **at == '\0';
}

int mapping_read(const char *text, struct mapping *ret, struct error *err)
{
	struct mapping mapping = { 0 };
	_cleanup_json_ json_t *json = NULL;
	const char *at = text;
	int r;

	if (take_mapping(&at, &mapping)) {
		*ret = mapping;
		return 0;
	}
	mapping_clear(&mapping);
	r = json_decode(text, strlen(text), &json, err);
	return r < 0 ? r : mapping_decode(json, "", NULL, ret, err);
}

int mapping_key_read(const char *text, struct mapping_key *ret, struct error *err)
{
	struct mapping_key key = { 0 };
	_cleanup_json_ json_t *json = NULL;
	const char *at = text;
	int r;

	if (take_key(&at, &key) && take(&at, "}") && *at == '\0') {
		*ret = key;
		return 0;
	}
	r = json_decode(text, strlen(text), &json, err);
	return r < 0 ? r : mapping_key_decode(json, "", NULL, NULL, ret, err);
}
