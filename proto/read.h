/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the decoders of proto/ share: owned strings, names, objects of strings, addresses of hosts.
 */
#pragma once

#include "lib/address.h"
#include "lib/json.h"

/* Like json_read_string, with a copy that the caller owns. */
int read_text(struct json_reader *reader, const char *field, enum json_presence presence,
	      size_t max_length, char **ret);

/* Like read_text; "" and control characters are errors. */
int read_line(struct json_reader *reader, const char *field, enum json_presence presence,
	      size_t max_length, char **ret);

/* [a-z0-9]([a-z0-9-]*[a-z0-9])?, or with dots as well; of any length. */
bool read_is_dns_label(const char *text, bool dots);

/* Like read_text, for a DNS label: [a-z0-9]([a-z0-9-]*[a-z0-9])?; with dots, for a DNS name. */
int read_dns_label(struct json_reader *reader, const char *field, enum json_presence presence,
		   size_t max_length, bool dots, char **ret);

/* An object whose values are strings; *ret is a new reference, an empty object where it is absent.
 * check_name (may be NULL) says whether a name is good. */
int read_strings(struct json_reader *reader, const char *field, size_t max_items, size_t max_length,
		 bool (*check_name)(const char *name), json_t **ret);

/* A unicast address. */
int read_unicast(struct json_reader *reader, const char *field, struct address *ret);

/* field[index], for errors. Returns buffer. */
const char *item_field(const char *field, size_t index, char buffer[ERROR_FIELD_MAX]);
