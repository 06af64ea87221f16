/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Whether a follower can do what its options say, before it is started. */
#include <errno.h>
#include <string.h>

#include "lib/http_client.h"
#include "proto/follower.h"
#include "proto/read.h"
#include "proto/report.h"

#define PIN_PREFIX "sha256//"
#define PIN_DIGITS 44 /* 32 bytes in base64 */

static int check_name(const char *name, struct error *err)
{
	if (strlen(name) > FOLLOWER_NAME_MAX)
		return error_set(err, -EINVAL, "invalid", "name", "name: longer than %d bytes",
				 FOLLOWER_NAME_MAX);
	if (!read_is_dns_label(name, true))
		return error_set(err, -EINVAL, "invalid", "name",
				 "name: \"%s\" may consist of a-z, 0-9, . and - only, and starts "
				 "and ends with a letter or digit",
				 name);
	return 0;
}

static bool is_server(const char *text)
{
	const size_t prefix = strlen(FOLLOWER_UNIX_PREFIX);

	return strncmp(text, FOLLOWER_UNIX_PREFIX, prefix) == 0 ? text[prefix] == '/'
								: http_client_takes_url(text);
}

static int check_servers(const char *servers, struct error *err)
{
	size_t n = 0;

	for (const char *text = servers; text; n++) {
		size_t length = strcspn(text, ",");
		_cleanup_free_ char *server = strndup(text, length);

		if (!server)
			return error_set(err, -ENOMEM, "internal", NULL, "out of memory");
		if (n == FOLLOWER_SERVERS_MAX)
			return error_set(err, -EINVAL, "invalid", "server",
					 "server: more than %d are named in \"%s\"",
					 FOLLOWER_SERVERS_MAX, servers);
		if (!is_server(server))
			return error_set(err, -EINVAL, "invalid", "server",
					 "server: \"%s\" is neither a URL like "
					 "https://10.0.0.1:8000 nor unix:/PATH",
					 server);
		text = text[length] ? text + length + 1 : NULL;
	}
	return 0;
}

/* As curl reads it: several with semicolons, for a key that is about to be replaced. */
static int check_pin(const char *pin, struct error *err)
{
	const size_t prefix = strlen(PIN_PREFIX);

	for (const char *text = pin; text;) {
		size_t length = strcspn(text, ";");

		if (length != prefix + PIN_DIGITS || strncmp(text, PIN_PREFIX, prefix) != 0)
			return error_set(err, -EINVAL, "invalid", "server-pin",
					 "server-pin: \"%.*s\" is not " PIN_PREFIX
					 " and %d characters of base64",
					 (int)length, text, PIN_DIGITS);
		text = text[length] ? text + length + 1 : NULL;
	}
	return 0;
}

int follower_check(const struct follower_config *config, const char *pin, struct error *err)
{
	int r = check_servers(config->server, err);

	if (r == 0)
		r = check_name(config->name, err);
	return r == 0 && pin ? check_pin(pin, err) : r;
}
