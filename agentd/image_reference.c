/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A ':' behind the last '/' begins a tag, a '@' a digest; a ':' before it belongs to a port. */
#include "agentd/image_reference.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

static const char allowed[] =
	"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-/:@";

int image_reference_parse(const char *text, struct image_reference *ret)
{
	size_t length = strlen(text);
	const char *slash, *mark;

	if (length == 0 || length >= IMAGE_REFERENCE_MAX || strspn(text, allowed) != length)
		return -EINVAL;
	slash = strrchr(text, '/');
	mark = strchr(text, '@');
	if (!mark)
		mark = strchr(slash ? slash : text, ':');
	if (mark == text || (mark && mark[1] == '\0'))
		return -EINVAL;
	if (mark)
		length = (size_t)(mark - text);
	snprintf(ret->repository, sizeof(ret->repository), "%.*s", (int)length, text);
	snprintf(ret->tag, sizeof(ret->tag), "%s", mark ? mark + 1 : "latest");
	return 0;
}
