/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Which process has a socket open, as far as /proc shows it. For sentences only: it is slow, and
 * without privilege it sees the processes of its own user only.
 */
#include "gatewayd/socket_owner.h"

#include <dirent.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>

#include "lib/number.h"

/* Descriptors that are looked at in one search: some tens of milliseconds. */
#define LINKS_MAX 20000
#define NAME_MAX_BYTES 16

static inline void cleanup_dir(DIR **dir)
{
	if (*dir)
		(void)closedir(*dir);
}

static bool has_socket(int process, const char *wanted, unsigned *links)
{
	int fd = openat(process, "fd", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	_cleanup_(cleanup_dir) DIR *dir = fd >= 0 ? fdopendir(fd) : NULL;
	const struct dirent *entry;

	if (!dir) {
		if (fd >= 0)
			close(fd);
		return false;
	}
	while (*links < LINKS_MAX && (entry = readdir(dir))) {
		char target[64];
		ssize_t n = readlinkat(fd, entry->d_name, target, sizeof(target) - 1);

		(*links)++;
		if (n <= 0)
			continue;
		target[n] = '\0';
		if (strcmp(target, wanted) == 0)
			return true;
	}
	return false;
}

/* Others' sockets are in others' namespaces, but for those that were handed over. */
static bool is_in_our_namespace(int process, const char *ours)
{
	char theirs[64];
	ssize_t n = readlinkat(process, "ns/net", theirs, sizeof(theirs) - 1);

	if (n <= 0)
		return false;
	theirs[n] = '\0';
	return strcmp(theirs, ours) == 0;
}

static void read_name(int process, char name[NAME_MAX_BYTES + 1])
{
	_cleanup_close_ int fd = openat(process, "comm", O_RDONLY | O_CLOEXEC);
	ssize_t n = fd >= 0 ? read(fd, name, NAME_MAX_BYTES) : 0;

	name[MAX(n, 0)] = '\0';
	name[strcspn(name, "\n")] = '\0';
}

bool socket_owner_find(uint32_t inode, char ret[SOCKET_OWNER_MAX])
{
	_cleanup_(cleanup_dir) DIR *proc = opendir("/proc");
	const struct dirent *entry;
	char wanted[32], ours[64];
	unsigned links = 0;
	ssize_t n = readlink("/proc/self/ns/net", ours, sizeof(ours) - 1);

	if (!proc || inode == 0 || n <= 0)
		return false;
	ours[n] = '\0';
	(void)snprintf(wanted, sizeof(wanted), "socket:[%u]", inode);
	while (links < LINKS_MAX && (entry = readdir(proc))) {
		_cleanup_close_ int process = -1;
		char name[NAME_MAX_BYTES + 1];
		uint64_t pid;

		if (number_parse(entry->d_name, &pid, NULL) < 0)
			continue;
		process = openat(dirfd(proc), entry->d_name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		if (process < 0 || !is_in_our_namespace(process, ours) ||
		    !has_socket(process, wanted, &links))
			continue;
		read_name(process, name);
		(void)snprintf(ret, SOCKET_OWNER_MAX, "%s, pid %ju", name[0] ? name : "?",
			       (uintmax_t)pid);
		return true;
	}
	return false;
}
