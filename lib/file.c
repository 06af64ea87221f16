/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Whole small files: read with a limit, written beside the old one and renamed over it. */
#include "lib/file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#define SECRET_MAX 4096
#define PARENT_MODE 0755

static int fail(struct error *err, int errnum, const char *verb, const char *path)
{
	return error_set(err, errnum, "io", NULL, "cannot %s %s: %s", verb, path,
			 error_text(NULL, errnum));
}

static int read_up_to(int fd, char *buffer, size_t size, size_t *ret)
{
	size_t used = 0;

	while (used < size) {
		ssize_t n = read(fd, buffer + used, size - used);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		if (n == 0)
			break;
		used += (size_t)n;
	}
	*ret = used;
	return 0;
}

int file_read(const char *path, size_t max, char **ret, size_t *ret_length, struct error *err)
{
	_cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	_cleanup_free_ char *buffer = NULL;
	size_t length = 0, size;
	struct stat st;
	int r;

	if (fd < 0 || fstat(fd, &st) < 0)
		return fail(err, -errno, "read", path);
	if (!S_ISREG(st.st_mode))
		return error_set(err, -EINVAL, "io", NULL, "cannot read %s: not a regular file",
				 path);
	/* /proc files say size 0: read up to the limit, and one byte more to notice the rest */
	size = st.st_size > 0 && (size_t)st.st_size < max ? (size_t)st.st_size + 1 : max + 1;
	buffer = malloc(size + 1);
	if (!buffer)
		return fail(err, -ENOMEM, "read", path);
	r = read_up_to(fd, buffer, size, &length);
	if (r < 0)
		return fail(err, r, "read", path);
	if (length > max)
		return error_set(err, -EFBIG, "too_large", NULL, "%s is larger than %zu bytes",
				 path, max);
	if (length == size) /* it grew while it was read */
		return fail(err, -EAGAIN, "read", path);
	buffer[length] = '\0';
	*ret = TAKE_PTR(buffer);
	if (ret_length)
		*ret_length = length;
	return 0;
}

int file_read_secret(const char *path, char **ret, struct error *err)
{
	char *text = NULL;
	struct stat st;
	int r;

	if (stat(path, &st) < 0)
		return fail(err, -errno, "read", path);
	if (S_ISREG(st.st_mode) && (st.st_mode & (S_IROTH | S_IWOTH | S_IWGRP)))
		return error_set(err, -EPERM, "io", NULL,
				 "%s holds a secret and has mode %03o: chmod 600 it", path,
				 (unsigned)st.st_mode & 0777);
	r = file_read(path, SECRET_MAX, &text, NULL, err);
	if (r < 0)
		return r;
	text[strcspn(text, "\r\n")] = '\0';
	if (!*text) {
		free(text);
		return error_set(err, -EINVAL, "io", NULL, "%s is empty", path);
	}
	*ret = text;
	return 0;
}

int write_all(int fd, const void *data, size_t length)
{
	const char *next = data;

	while (length > 0) {
		ssize_t n = write(fd, next, length);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		next += n;
		length -= (size_t)n;
	}
	return 0;
}

/* The rename is durable only once its folder is. */
static int sync_folder(const char *path)
{
	_cleanup_free_ char *folder = strdup(path);
	_cleanup_close_ int fd = -1;
	char *slash;

	if (!folder)
		return -ENOMEM;
	slash = strrchr(folder, '/');
	if (slash == folder)
		slash++;
	if (slash)
		*slash = '\0';
	fd = open(slash ? folder : ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0 || fsync(fd) < 0)
		return -errno;
	return 0;
}

static int write_and_rename(int fd, const char *temporary, const char *path, const void *data,
			    size_t length, mode_t mode, bool sync)
{
	int r;

	if (fchmod(fd, mode) < 0)
		return -errno;
	r = write_all(fd, data, length);
	if (r < 0)
		return r;
	if ((sync && fsync(fd) < 0) || rename(temporary, path) < 0)
		return -errno;
	return 0;
}

static int replace(const char *path, const void *data, size_t length, mode_t mode, bool sync,
		   struct error *err)
{
	_cleanup_free_ char *temporary = NULL;
	_cleanup_close_ int fd = -1;
	int r;

	if (asprintf(&temporary, "%s.XXXXXX", path) < 0) {
		temporary = NULL;
		return fail(err, -ENOMEM, "write", path);
	}
	fd = mkostemp(temporary, O_CLOEXEC);
	if (fd < 0)
		return fail(err, -errno, "write", path);
	r = write_and_rename(fd, temporary, path, data, length, mode, sync);
	if (r < 0) {
		(void)unlink(temporary);
		return fail(err, r, "write", path);
	}
	return 0;
}

int file_replace(const char *path, const void *data, size_t length, mode_t mode, struct error *err)
{
	return replace(path, data, length, mode, false, err);
}

int file_write_atomic(const char *path, const void *data, size_t length, mode_t mode,
		      struct error *err)
{
	int r = replace(path, data, length, mode, true, err);

	if (r < 0)
		return r;
	r = sync_folder(path);
	return r < 0 ? fail(err, r, "sync the folder of", path) : 0;
}

int file_or_credential(const char *path, const char *credential, char **ret)
{
	const char *folder = getenv("CREDENTIALS_DIRECTORY");
	_cleanup_free_ char *given = NULL;

	if (path) {
		given = strdup(path);
		if (!given)
			return -ENOMEM;
	} else if (folder) {
		if (asprintf(&given, "%s/%s", folder, credential) < 0) {
			given = NULL; /* asprintf leaves it undefined */
			return -ENOMEM;
		}
		if (access(given, F_OK) < 0) {
			*ret = NULL;
			return 0;
		}
	}
	*ret = TAKE_PTR(given);
	return 0;
}

int folder_make_parents(const char *path)
{
	_cleanup_free_ char *copy = strdup(path);

	if (!copy || !*copy)
		return copy ? 0 : -ENOMEM;
	for (char *slash = strchr(copy + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
		*slash = '\0';
		if (mkdir(copy, PARENT_MODE) < 0 && errno != EEXIST)
			return -errno;
		*slash = '/';
	}
	return 0;
}

int folder_make(const char *path, mode_t mode)
{
	int r = folder_make_parents(path);

	if (r < 0)
		return r;
	return mkdir(path, mode) < 0 && errno != EEXIST ? -errno : 0;
}
