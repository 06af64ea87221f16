/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A walk with a stack of open folders would need a descriptor a level, and depth belongs to the
 * stranger. So each folder that is found deeper is first moved up to the top.
 */
#include "agentd/remove_tree.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

static void cleanup_closedir(DIR **dir)
{
	if (*dir)
		closedir(*dir);
}

static int open_folder(int dir, const char *name)
{
	int fd = openat(dir, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

	return fd < 0 ? -errno : fd;
}

/* Moves a folder to the top under a name of its own; *counter makes the names. */
static int lift(int from, const char *name, int top, unsigned long *counter)
{
	char lifted[32];

	for (;;) {
		snprintf(lifted, sizeof(lifted), ".lifted-%lu", (*counter)++);
		if (renameat2(from, name, top, lifted, RENAME_NOREPLACE) == 0)
			return 0;
		if (errno != EEXIST)
			return -errno;
	}
}

/* Empties one folder: files are unlinked, folders lifted to the top, or removed if empty. */
static int empty_folder(int fd, int top, unsigned long *counter, const atomic_bool *stop,
			bool *ret_again)
{
	_cleanup_(cleanup_closedir) DIR *stream = NULL;
	_cleanup_close_ int own = fcntl(fd, F_DUPFD_CLOEXEC, 0);
	struct dirent *entry;

	if (own < 0)
		return -errno;
	stream = fdopendir(own);
	if (!stream)
		return -errno;
	(void)TAKE_FD(own);
	rewinddir(stream);
	while ((errno = 0, entry = readdir(stream))) {
		int r = 0;

		if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
			continue;
		if (atomic_load(stop))
			return -ECANCELED;
		*ret_again = true;
		if (unlinkat(fd, entry->d_name, 0) == 0 ||
		    unlinkat(fd, entry->d_name, AT_REMOVEDIR) == 0)
			continue;
		if (errno == EBUSY)
			return -EXDEV;
		if (errno != ENOTEMPTY && errno != EEXIST)
			return -errno;
		if (fd == top) {
			_cleanup_close_ int child = open_folder(fd, entry->d_name);

			r = child < 0 ? child : empty_folder(child, top, counter, stop, ret_again);
		} else {
			r = lift(fd, entry->d_name, top, counter);
		}
		if (r < 0)
			return r;
	}
	return -errno;
}

int remove_tree(int dir, const char *name, const atomic_bool *stop)
{
	_cleanup_close_ int top = -1;
	unsigned long counter = 0;
	bool again = true;
	int fd, r;

	if (unlinkat(dir, name, 0) == 0 || errno == ENOENT)
		return 0;
	fd = open_folder(dir, name);
	if (fd < 0)
		return fd;
	top = fd;
	while (again) {
		again = false;
		r = empty_folder(top, top, &counter, stop, &again);
		if (r < 0)
			return r;
	}
	return unlinkat(dir, name, AT_REMOVEDIR) == 0 ? 0 : -errno;
}
