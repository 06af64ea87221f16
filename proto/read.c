/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Checked reads of the kinds of value that several resources have. */
#include "proto/read.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

const char *item_field(const char *field, size_t index, char buffer[ERROR_FIELD_MAX])
{
	snprintf(buffer, ERROR_FIELD_MAX, "%s[%zu]", field, index);
	return buffer;
}

static int copy(struct json_reader *reader, const char *field, const char *text, char **ret)
{
	if (!text || reader->status < 0)
		return reader->status;
	*ret = strdup(text);
	return *ret ? 0 : json_reader_fail(reader, -ENOMEM, "internal", field, "out of memory");
}

int read_text(struct json_reader *reader, const char *field, enum json_presence presence,
	      size_t max_length, char **ret)
{
	const char *text = NULL;

	json_read_string(reader, field, presence, max_length, &text);
	return copy(reader, field, text, ret);
}

int read_line(struct json_reader *reader, const char *field, enum json_presence presence,
	      size_t max_length, char **ret)
{
	const char *text = NULL;

	json_read_string(reader, field, presence, max_length, &text);
	if (text && !*text)
		return json_reader_fail(reader, -EINVAL, "invalid", field, "is empty");
	for (const char *c = text; c && *c; c++)
		if ((unsigned char)*c < ' ' || *c == 0x7f)
			return json_reader_fail(reader, -EINVAL, "invalid", field,
						"contains a control character");
	return copy(reader, field, text, ret);
}

static bool is_alphanumeric(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
}

bool read_is_dns_label(const char *text, bool dots)
{
	size_t length = strlen(text);

	if (length == 0 || !is_alphanumeric(text[0]) || !is_alphanumeric(text[length - 1]))
		return false;
	for (const char *c = text; *c; c++)
		if (!is_alphanumeric(*c) && *c != '-' && !(dots && *c == '.'))
			return false;
	return true;
}

int read_dns_label(struct json_reader *reader, const char *field, enum json_presence presence,
		   size_t max_length, bool dots, char **ret)
{
	const char *text = NULL;

	json_read_string(reader, field, presence, max_length, &text);
	if (text && !read_is_dns_label(text, dots))
		return json_reader_fail(
			reader, -EINVAL, "invalid", field,
			"\"%s\" may consist of a-z, 0-9%s and - only, and starts and "
			"ends with a letter or digit",
			text, dots ? ", ." : "");
	return copy(reader, field, text, ret);
}

int read_strings(struct json_reader *reader, const char *field, size_t max_items, size_t max_length,
		 bool (*check_name)(const char *name), json_t **ret)
{
	json_t *object = NULL, *value;
	char path[ERROR_FIELD_MAX];
	const char *name;

	json_read_object(reader, field, JSON_OPTIONAL, &object);
	if (reader->status < 0)
		return reader->status;
	if (json_object_size(object) > max_items)
		return json_reader_fail(reader, -EINVAL, "invalid", field,
					"has more than %zu entries", max_items);
	json_object_foreach (object, name, value) {
		snprintf(path, sizeof(path), "%s.%s", field, name);
		if (!*name || strlen(name) > max_length || (check_name && !check_name(name)))
			return json_reader_fail(reader, -EINVAL, "invalid", path,
						"is not a valid name");
		if (!json_is_string(value))
			return json_reader_fail(reader, -EINVAL, "invalid", path,
						"must be a string");
		if (json_string_length(value) > max_length ||
		    strlen(json_string_value(value)) != json_string_length(value))
			return json_reader_fail(reader, -EINVAL, "invalid", path,
						"is longer than %zu bytes or contains a NUL",
						max_length);
	}
	*ret = object ? json_incref(object) : json_object();
	return *ret ? 0 : json_reader_fail(reader, -ENOMEM, "internal", field, "out of memory");
}

int read_unicast(struct json_reader *reader, const char *field, struct address *ret)
{
	const char *text = NULL;

	json_read_string(reader, field, JSON_REQUIRED, ADDRESS_STRING_MAX, &text);
	if (!text)
		return reader->status;
	if (address_parse(text, ret) < 0)
		return json_reader_fail(reader, -EINVAL, "invalid", field,
					"\"%s\" is not an IP address", text);
	if (!address_is_unicast(ret))
		return json_reader_fail(reader, -EINVAL, "invalid", field,
					"%s is not the address of one host", text);
	return 0;
}
