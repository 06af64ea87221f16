/* SPDX-License-Identifier: GPL-2.0-or-later */
/* One gatewayd per network namespace: a lock file in the run folder, named after the namespace. The
 * kernel lets go of the lock when its holder ends, however that happens.
 */
#include "gatewayd/lock.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>

#define PID_TEXT_MAX 16
#define LOCK_STEPS 100
#define FOLDER_MODE 0755
#define FILE_MODE 0644

int lock_file_path(const char *folder, const char *suffix, char path[PATH_MAX], struct error *err)
{
	struct stat namespace;
	int n;

	if (stat("/proc/self/ns/net", &namespace) < 0)
		return error_set(err, -errno, "internal", NULL, "/proc/self/ns/net: %s",
				 strerror(errno));
	n = snprintf(path, PATH_MAX, "%s/gatewayd-%ju.%s", folder, (uintmax_t) namespace.st_ino,
		     suffix);
	if (n < 0 || n >= PATH_MAX)
		return error_set(err, -ENAMETOOLONG, "invalid", "run-directory",
				 "run-directory: the path is too long");
	return 0;
}

static int refuse(int fd, const char *path, struct error *err)
{
	char pid[PID_TEXT_MAX] = "";
	ssize_t n = pread(fd, pid, sizeof(pid) - 1, 0);

	if (n > 0)
		pid[strcspn(pid, "\n")] = '\0';
	return error_set(err, -EBUSY, "conflict", NULL,
			 "another gatewayd (pid %s) holds this network namespace: %s",
			 pid[0] ? pid : "unknown", path);
}

static int note_holder(int fd, const char *path, struct error *err)
{
	char text[PID_TEXT_MAX];
	int n = snprintf(text, sizeof(text), "%ld\n", (long)getpid());

	if (ftruncate(fd, 0) < 0 || pwrite(fd, text, (size_t)n, 0) != n)
		return error_set(err, -EIO, "internal", NULL, "%s: cannot be written: %s", path,
				 strerror(errno));
	return 0;
}

int lock_wait(int fd)
{
	const struct timespec step = { .tv_nsec = 10000000 };

	for (unsigned i = 0; flock(fd, LOCK_EX | LOCK_NB) < 0; i++) {
		if (errno != EWOULDBLOCK)
			return -errno;
		if (i == LOCK_STEPS)
			return -EBUSY;
		(void)nanosleep(&step, NULL);
	}
	return 0;
}

int lock_take(const char *folder, int *ret_fd, struct error *err)
{
	_cleanup_close_ int fd = -1;
	char path[PATH_MAX];
	int r;

	r = lock_file_path(folder, "lock", path, err);
	if (r < 0)
		return r;
	if (mkdir(folder, FOLDER_MODE) < 0 && errno != EEXIST)
		return error_set(err, -errno, "internal", "run-directory", "%s: %s", folder,
				 strerror(errno));
	/* The file stays when we end: to remove it would let two hold one name. */
	fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, FILE_MODE);
	if (fd < 0)
		return error_set(err, -errno, "internal", "run-directory", "%s: %s", path,
				 strerror(errno));
	if (flock(fd, LOCK_EX | LOCK_NB) < 0)
		return errno == EWOULDBLOCK ? refuse(fd, path, err)
					    : error_set(err, -errno, "internal", NULL, "%s: %s",
							path, strerror(errno));
	r = note_holder(fd, path, err);
	if (r < 0)
		return r;
	*ret_fd = TAKE_FD(fd);
	return 0;
}
