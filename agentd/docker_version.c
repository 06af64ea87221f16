/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Docker's API versions, "major.minor", and the choice of one that both sides speak. */
#include "agentd/docker_api.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

struct version {
	uint32_t major, minor;
};

static int parse_number(const char **at, uint32_t *ret)
{
	uint32_t value = 0;
	unsigned digits = 0;

	for (; **at >= '0' && **at <= '9'; (*at)++) {
		if (++digits > 5)
			return -EINVAL;
		value = value * 10 + (uint32_t)(**at - '0');
	}
	if (digits == 0)
		return -EINVAL;
	*ret = value;
	return 0;
}

static int parse(const char *text, struct version *ret)
{
	struct version version;

	if (parse_number(&text, &version.major) < 0 || *text++ != '.' ||
	    parse_number(&text, &version.minor) < 0 || *text != '\0')
		return -EINVAL;
	*ret = version;
	return 0;
}

static int compare(const struct version *a, const struct version *b)
{
	if (a->major != b->major)
		return a->major < b->major ? -1 : 1;
	return a->minor < b->minor ? -1 : a->minor > b->minor;
}

int docker_version_choose(const char *server_min, const char *server_max,
			  char ret[DOCKER_VERSION_MAX], struct error *err)
{
	struct version min, max, oldest, newest, choice;

	if (!server_min || !server_max || parse(server_min, &min) < 0 ||
	    parse(server_max, &max) < 0 || parse(DOCKER_API_OLDEST, &oldest) < 0 ||
	    parse(DOCKER_API_NEWEST, &newest) < 0)
		return error_set(err, -EINVAL, "invalid", "ApiVersion",
				 "Docker's answer has no API version");
	choice = compare(&max, &newest) < 0 ? max : newest;
	if (compare(&choice, &oldest) < 0 || compare(&choice, &min) < 0)
		return error_set(err, -ENOTSUP, "unsupported", "ApiVersion",
				 "Docker speaks API %s to %s, and agentd %s to %s", server_min,
				 server_max, DOCKER_API_OLDEST, DOCKER_API_NEWEST);
	snprintf(ret, DOCKER_VERSION_MAX, "%u.%u", choice.major, choice.minor);
	return 0;
}
