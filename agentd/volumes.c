/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Folders are reached by descriptors from the data folder down, and no link is followed: what is in
 * a volume was written by strangers. Deleting may take minutes, so a thread does it.
 */
#include "agentd/volumes.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "agentd/remove_tree.h"
#include "lib/log.h"
#include "lib/random.h"
#include "lib/thread.h"

#define STOPPED_MARK ".stopped"
#define STOPPED_MARK_NEW STOPPED_MARK ".new"
#define RUN_MAX 64

struct volumes {
	char *path;   /* DATA/environments */
	char *shared; /* SHARED; NULL: there is none */
	int environments, trash;
	pthread_t janitor;
	bool started;
	atomic_bool stop;
	pthread_mutex_t mutex;
	pthread_cond_t wake;
	bool work;
};

bool volumes_name_valid(const char *name)
{
	size_t length = strlen(name);

	return length > 0 && length <= 63 && name[0] != '-' &&
	       strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789-") == length;
}

static void cleanup_closedir(DIR **dir)
{
	if (*dir)
		closedir(*dir);
}

/* One pass over the trash. What cannot be deleted now is tried again with the next discard. */
static void empty_trash(struct volumes *volumes)
{
	_cleanup_(cleanup_closedir) DIR *stream = NULL;
	struct dirent *entry;
	int fd = openat(volumes->trash, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (fd < 0)
		return;
	stream = fdopendir(fd);
	if (!stream) {
		close(fd);
		return;
	}
	while (!atomic_load(&volumes->stop) && (entry = readdir(stream))) {
		int r;

		if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
			continue;
		r = remove_tree(volumes->trash, entry->d_name, &volumes->stop);
		if (r < 0 && r != -ECANCELED)
			log_warning("volumes", "cannot delete trash/%s: %s", entry->d_name,
				    strerror(-r));
	}
}

static void *janitor(void *userdata)
{
	struct volumes *volumes = userdata;

	pthread_mutex_lock(&volumes->mutex);
	while (!atomic_load(&volumes->stop)) {
		if (!volumes->work) {
			pthread_cond_wait(&volumes->wake, &volumes->mutex);
			continue;
		}
		volumes->work = false;
		pthread_mutex_unlock(&volumes->mutex);
		empty_trash(volumes);
		pthread_mutex_lock(&volumes->mutex);
	}
	pthread_mutex_unlock(&volumes->mutex);
	return NULL;
}

static void wake_janitor(struct volumes *volumes)
{
	pthread_mutex_lock(&volumes->mutex);
	volumes->work = true;
	pthread_cond_signal(&volumes->wake);
	pthread_mutex_unlock(&volumes->mutex);
}

static int open_or_make(int dir, const char *name, mode_t mode)
{
	int fd;

	if (mkdirat(dir, name, mode) < 0 && errno != EEXIST)
		return -errno;
	fd = openat(dir, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	return fd < 0 ? -errno : fd;
}

static int open_folders(struct volumes *volumes, const char *data_dir)
{
	_cleanup_close_ int data = -1;
	int fd;

	if (mkdir(data_dir, 0755) < 0 && errno != EEXIST)
		return -errno;
	data = open(data_dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (data < 0)
		return -errno;
	fd = open_or_make(data, "environments", 0700);
	if (fd < 0)
		return fd;
	volumes->environments = fd;
	fd = open_or_make(data, "trash", 0700);
	if (fd < 0)
		return fd;
	volumes->trash = fd;
	return 0;
}

int volumes_new(struct volumes **ret, const char *data_dir, const char *shared_dir,
		struct error *err)
{
	_cleanup_(cleanup_volumes) struct volumes *volumes = NULL;
	int r;

	if (data_dir[0] != '/')
		return error_set(err, -EINVAL, "invalid", "data-dir",
				 "data-dir '%s' is no absolute path", data_dir);
	volumes = calloc(1, sizeof(*volumes));
	if (!volumes)
		return -ENOMEM;
	volumes->environments = volumes->trash = -1;
	volumes->work = true;
	pthread_mutex_init(&volumes->mutex, NULL);
	pthread_cond_init(&volumes->wake, NULL);
	if (asprintf(&volumes->path, "%s/environments", data_dir) < 0)
		return -ENOMEM;
	if (shared_dir) {
		volumes->shared = strdup(shared_dir);
		if (!volumes->shared)
			return -ENOMEM;
	}
	r = open_folders(volumes, data_dir);
	if (r < 0)
		return error_set(err, r, "invalid", "data-dir", "data-dir '%s': %s", data_dir,
				 strerror(-r));
	r = thread_start(&volumes->janitor, janitor, volumes);
	if (r < 0)
		return r;
	volumes->started = true;
	*ret = TAKE_PTR(volumes);
	return 0;
}

void volumes_free(struct volumes *volumes)
{
	if (!volumes)
		return;
	if (volumes->started) {
		atomic_store(&volumes->stop, true);
		wake_janitor(volumes);
		pthread_join(volumes->janitor, NULL);
	}
	if (volumes->environments >= 0)
		close(volumes->environments);
	if (volumes->trash >= 0)
		close(volumes->trash);
	pthread_cond_destroy(&volumes->wake);
	pthread_mutex_destroy(&volumes->mutex);
	free(volumes->path);
	free(volumes->shared);
	free(volumes);
}

static int check_names(const char *environment, const char *name, struct error *err)
{
	if (!volumes_name_valid(environment))
		return error_set(err, -EINVAL, "invalid", "environment",
				 "'%s' is no name of an environment", environment);
	if (name && !volumes_name_valid(name))
		return error_set(err, -EINVAL, "invalid", "volumes", "'%s' is no name of a volume",
				 name);
	return 0;
}

static int fail(struct error *err, int r, const char *verb, const char *environment)
{
	return error_set(err, r, "internal", NULL, "cannot %s the volumes of %s: %s", verb,
			 environment, strerror(-r));
}

enum volume_kind volume_kind_parse(const char *text)
{
	if (text && strcmp(text, "local") == 0)
		return VOLUME_LOCAL;
	return text && strcmp(text, "shared") == 0 ? VOLUME_SHARED : VOLUME_INVALID;
}

bool volumes_has_shared(const struct volumes *volumes)
{
	return volumes->shared != NULL;
}

/* Opened anew each time: what is mounted there may have changed. */
static int open_shared(struct volumes *volumes, struct error *err)
{
	_cleanup_close_ int shared = -1;

	if (!volumes->shared)
		return error_set(err, -ENOTSUP, "unsupported", "volumes",
				 "this host has no shared volumes");
	shared = open(volumes->shared, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (shared < 0)
		return error_set(err, -errno, "internal", NULL, "shared-dir %s: %s",
				 volumes->shared, strerror(errno));
	if (faccessat(shared, VOLUMES_MOUNTED_MARK, F_OK, AT_SYMLINK_NOFOLLOW) < 0)
		return error_set(err, -ENODEV, "unavailable", NULL,
				 "shared-dir %s has no file " VOLUMES_MOUNTED_MARK
				 ": is it mounted?",
				 volumes->shared);
	return open_or_make(shared, "environments", 0700);
}

/* The folder of the environment's volumes of a kind. */
static int open_environment(struct volumes *volumes, const char *environment, enum volume_kind kind,
			    struct error *err)
{
	_cleanup_close_ int shared = -1;

	if (kind == VOLUME_LOCAL)
		return open_or_make(volumes->environments, environment, 0700);
	shared = open_shared(volumes, err);
	return shared < 0 ? shared : open_or_make(shared, environment, 0700);
}

static int open_volume(struct volumes *volumes, const char *environment, const char *name,
		       enum volume_kind kind, struct error *err)
{
	_cleanup_close_ int folder = -1;
	int r;

	r = check_names(environment, name, err);
	if (r < 0)
		return r;
	r = open_environment(volumes, environment, kind, err);
	if (r >= 0) {
		folder = r;
		r = open_or_make(folder, name, 0750);
	}
	if (r < 0 && (!err || err->errnum == 0))
		return fail(err, r, "open", environment);
	return r;
}

int volumes_make(struct volumes *volumes, const char *environment, const char *name,
		 enum volume_kind kind, char **ret_path, struct error *err)
{
	_cleanup_close_ int volume = -1;
	int r;

	r = open_volume(volumes, environment, name, kind, err);
	if (r < 0)
		return r;
	volume = r;
	if (kind == VOLUME_LOCAL)
		r = asprintf(ret_path, "%s/%s/%s", volumes->path, environment, name);
	else
		r = asprintf(ret_path, "%s/environments/%s/%s", volumes->shared, environment, name);
	return r < 0 ? -ENOMEM : 0;
}

int volumes_give(struct volumes *volumes, const char *environment, const char *name,
		 enum volume_kind kind, uid_t uid, gid_t gid, struct error *err)
{
	_cleanup_close_ int volume = -1;
	struct stat status;
	int r;

	r = open_volume(volumes, environment, name, kind, err);
	if (r < 0)
		return r;
	volume = r;
	if (fstat(volume, &status) < 0)
		return fail(err, -errno, "open", environment);
	if (status.st_uid == geteuid() && fchown(volume, uid, gid) < 0)
		return fail(err, -errno, "give away", environment);
	return 0;
}

int volumes_discard(struct volumes *volumes, const char *environment, struct error *err)
{
	char suffix[9], name[80];
	int r;

	r = check_names(environment, NULL, err);
	if (r < 0)
		return r;
	r = random_text(suffix, sizeof(suffix) - 1);
	if (r < 0)
		return r;
	snprintf(name, sizeof(name), "%s.%s", environment, suffix);
	if (renameat(volumes->environments, environment, volumes->trash, name) < 0)
		return errno == ENOENT ? 0 : fail(err, -errno, "remove", environment);
	wake_janitor(volumes);
	return 0;
}

/* The mark is a link that leads nowhere: it is replaced as a whole, and needs no room for data on a
 * disk that its volumes may have filled. */
static int write_mark(int folder, const char *run)
{
	if (unlinkat(folder, STOPPED_MARK_NEW, 0) < 0 && errno != ENOENT)
		return -errno;
	if (symlinkat(run, folder, STOPPED_MARK_NEW) < 0 ||
	    renameat(folder, STOPPED_MARK_NEW, folder, STOPPED_MARK) < 0 || fsync(folder) < 0)
		return -errno;
	return 0;
}

int volumes_hold(struct volumes *volumes, const char *environment, const char *run,
		 struct error *err)
{
	_cleanup_close_ int folder = -1;
	int r;

	r = check_names(environment, NULL, err);
	if (r < 0)
		return r;
	r = open_or_make(volumes->environments, environment, 0700);
	if (r < 0)
		return fail(err, r, "open", environment);
	folder = r;
	r = write_mark(folder, run);
	return r < 0 ? fail(err, r, "mark", environment) : 0;
}

bool volumes_held(struct volumes *volumes, const char *environment, const char *run)
{
	char path[80], text[RUN_MAX + 1];
	ssize_t n;

	if (!volumes_name_valid(environment))
		return false;
	(void)snprintf(path, sizeof(path), "%s/" STOPPED_MARK, environment);
	n = readlinkat(volumes->environments, path, text, sizeof(text));
	return n > 0 && (size_t)n == strlen(run) && memcmp(text, run, (size_t)n) == 0;
}
