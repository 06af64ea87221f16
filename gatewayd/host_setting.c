/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Host settings by their sysctl names, of this process's network namespace. As in sysctl(8), a '/'
 * in a name stands for a dot of a link's name: "net.ipv4.conf.eth0/7.rp_filter".
 */
#include "gatewayd/host_setting.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#include "lib/file.h"
#include "lib/number.h"

/* ip_local_reserved_ports may list many. */
#define SETTING_MAX ((size_t)1 << 20)
#define PATH_BYTES 128

static int path_of(const char *name, char path[PATH_BYTES])
{
	int n = snprintf(path, PATH_BYTES, "/proc/sys/%s", name);

	if (n < 0 || n >= PATH_BYTES)
		return -ENAMETOOLONG;
	for (char *at = path + strlen("/proc/sys/"); *at; at++) {
		if (*at == '.')
			*at = '/';
		else if (*at == '/')
			*at = '.';
	}
	return 0;
}

char *host_setting_read(const char *name)
{
	char path[PATH_BYTES], *text = NULL;

	if (path_of(name, path) < 0 || file_read(path, SETTING_MAX, &text, NULL, NULL) < 0)
		return NULL;
	text[strcspn(text, "\n")] = '\0';
	return text;
}

int host_setting_read_uint(const char *name, uint64_t *ret)
{
	_cleanup_free_ char *text = host_setting_read(name);

	return text ? number_parse(text, ret, NULL) : -ENOENT;
}

int host_setting_write(const char *name, const char *value)
{
	_cleanup_close_ int fd = -1;
	char path[PATH_BYTES];
	int r;

	r = path_of(name, path);
	if (r < 0)
		return r;
	fd = open(path, O_WRONLY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	return write_all(fd, value, strlen(value));
}

const char *host_setting_of_link(const char *link, const char *what, char buffer[HOST_SETTING_MAX])
{
	int head = (int)strlen("net.ipv4.conf.");
	int n = snprintf(buffer, HOST_SETTING_MAX, "net.ipv4.conf.%s.%s", link, what);
	size_t length = strlen(link);

	for (size_t i = 0; i < length && head + (int)i < n; i++)
		if (buffer[(size_t)head + i] == '.')
			buffer[(size_t)head + i] = '/';
	return buffer;
}
