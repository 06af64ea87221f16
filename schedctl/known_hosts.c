/* SPDX-License-Identifier: GPL-2.0-or-later */
/* One known_hosts file for each environment. A file of its own needs no lock and no search, and is
 * replaced as a whole. */

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "lib/file.h"
#include "schedctl/known_hosts.h"
#include "schedctl/text.h"

#define KEY_MAX 16384

static int make_folder(const char *path, struct error *err)
{
	if (mkdir(path, 0700) == 0 || errno == EEXIST)
		return 0;
	return error_set(err, -EIO, "failed", NULL, "cannot make %s: %s", path, strerror(errno));
}

static bool is_absolute(const char *path)
{
	return path && *path == '/';
}

/* The folder of our files, made if need be. */
static int open_folder(char **ret, struct error *err)
{
	const char *base = getenv("XDG_RUNTIME_DIR"), *home = getenv("HOME");
	_cleanup_free_ char *cache = NULL, *folder = NULL;
	int r;

	if (!is_absolute(base))
		base = getenv("XDG_CACHE_HOME");
	if (!is_absolute(base)) {
		if (!is_absolute(home))
			return error_set(err, -EIO, "failed", NULL,
					 "there is no place for the known host key: set HOME or "
					 "XDG_RUNTIME_DIR");
		cache = text_format("%s/.cache", home);
		if (!cache)
			return -ENOMEM;
		base = cache;
	}
	folder = text_format("%s/portico", base);
	if (!folder)
		return -ENOMEM;
	r = make_folder(base, err);
	if (r == 0)
		r = make_folder(folder, err);
	if (r == 0)
		*ret = TAKE_PTR(folder);
	return r;
}

/* One line: "ssh-ed25519 AAAA… comment". Anything else could add lines of its own to the file. */
static bool is_key(const char *key)
{
	for (const char *c = key; *c; c++) {
		if ((unsigned char)*c < 0x20 || *c == 0x7f)
			return false;
	}
	return *key != '@' && *key != '#' && *key != ' ' && strchr(key, ' ') &&
	       strlen(key) <= KEY_MAX;
}

/* ssh expands %-sequences and takes words in quotes apart; neither may touch the path. */
char *known_hosts_option(const char *path)
{
	static const char prefix[] = "UserKnownHostsFile=\"";
	char *option = malloc(sizeof(prefix) + 2 * strlen(path) + 1), *end;

	if (!option)
		return NULL;
	memcpy(option, prefix, sizeof(prefix));
	end = option + sizeof(prefix) - 1;
	for (; *path; path++) {
		if (*path == '%')
			*end++ = '%';
		else if (*path == '"' || *path == '\\')
			*end++ = '\\';
		*end++ = *path;
	}
	*end++ = '"';
	*end = '\0';
	return option;
}

int known_hosts_write(const char *id, const char *key, char **ret_option, struct error *err)
{
	_cleanup_free_ char *folder = NULL, *path = NULL, *line = NULL;
	int r;

	if (*key && !is_key(key))
		return error_set(err, -EPROTO, "protocol", "ssh_host_key",
				 "the answer has no proper host key for %s", id);
	r = open_folder(&folder, err);
	if (r < 0)
		return r;
	path = text_format("%s/known_hosts.%s", folder, id);
	if (!path)
		return -ENOMEM;
	if (*key) {
		line = text_format("%s %s\n", id, key);
		if (!line)
			return -ENOMEM;
		r = file_write_atomic(path, line, strlen(line), 0600, err);
		if (r < 0)
			return -EIO;
	}
	*ret_option = known_hosts_option(path);
	return *ret_option ? 0 : -ENOMEM;
}
