/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Volumes on a real disk, with content that strangers might leave there. */
#include <criterion/criterion.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "agentd/remove_tree.h"
#include "agentd/volumes.h"

static char base[64];
static struct volumes *volumes;

static char *in_base(const char *name)
{
	static char path[512];

	snprintf(path, sizeof(path), "%s/%s", base, name);
	return path;
}

static int new_volumes(struct error *err)
{
	char data[128], shared[128];

	snprintf(data, sizeof(data), "%s/data", base);
	snprintf(shared, sizeof(shared), "%s/shared", base);
	return volumes_new(&volumes, data, shared, err);
}

static void setup(void)
{
	struct error err = ERROR_INIT;

	snprintf(base, sizeof(base), "/tmp/test-volumes-XXXXXX");
	cr_assert(mkdtemp(base));
	cr_assert_eq(new_volumes(&err), 0, "%s", err.message);
}

static void teardown(void)
{
	atomic_bool stop = false;

	volumes_free(volumes);
	cr_expect_eq(remove_tree(AT_FDCWD, base, &stop), 0);
	cr_expect_neq(access(base, F_OK), 0);
}

TestSuite(volumes, .init = setup, .fini = teardown);

static void make_file(const char *name)
{
	int fd = open(in_base(name), O_WRONLY | O_CREAT | O_CLOEXEC, 0644);

	cr_assert_geq(fd, 0, "%s: %s", name, strerror(errno));
	close(fd);
}

static bool exists(const char *name)
{
	return faccessat(AT_FDCWD, in_base(name), F_OK, AT_SYMLINK_NOFOLLOW) == 0;
}

static size_t entries_of(const char *name)
{
	DIR *dir = opendir(in_base(name));
	size_t n = 0;

	cr_assert(dir);
	while (readdir(dir))
		n++;
	closedir(dir);
	return n - 2;
}

/* The thread deletes when it likes: up to ten seconds, here milliseconds. */
static bool trash_is_emptied(void)
{
	for (int i = 0; i < 1000; i++) {
		if (entries_of("data/trash") == 0)
			return true;
		poll(NULL, 0, 10);
	}
	return false;
}

Test(volumes, make_and_give)
{
	struct stat status;
	char *path = NULL;

	cr_assert_eq(volumes_make(volumes, "env-1", "code", VOLUME_LOCAL, &path, NULL), 0);
	cr_expect_str_eq(path, in_base("data/environments/env-1/code"));
	free(path);
	cr_assert_eq(stat(in_base("data/environments"), &status), 0);
	cr_expect_eq(status.st_mode & 07777, 0700);
	cr_assert_eq(stat(in_base("data/environments/env-1/code"), &status), 0);
	cr_expect_eq(status.st_mode & 07777, 0750);
	if (geteuid() != 0)
		cr_skip_test("giving a folder away needs root");
	cr_assert_eq(volumes_give(volumes, "env-1", "code", VOLUME_LOCAL, 1000, 1001, NULL), 0);
	cr_assert_eq(volumes_give(volumes, "env-1", "code", VOLUME_LOCAL, 7, 7, NULL), 0);
	cr_assert_eq(stat(in_base("data/environments/env-1/code"), &status), 0);
	cr_expect_eq(status.st_uid, 1000, "its owner stays");
	cr_expect_eq(status.st_gid, 1001);
}

Test(volumes, make_again_keeps_content)
{
	char *path = NULL;

	cr_assert_eq(volumes_make(volumes, "env-1", "code", VOLUME_LOCAL, &path, NULL), 0);
	free(path);
	make_file("data/environments/env-1/code/file");
	cr_assert_eq(volumes_make(volumes, "env-1", "code", VOLUME_LOCAL, &path, NULL), 0);
	free(path);
	cr_expect(exists("data/environments/env-1/code/file"));
}

Test(volumes, refuses_names_that_are_paths)
{
	static const char *const names[] = {
		"", ".", "..", "a/b", "/etc", "-a", "A", "a b", "a.b"
	};
	struct error err;
	char *path = NULL;

	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		err = ERROR_INIT;
		cr_expect_eq(volumes_make(volumes, names[i], "code", VOLUME_LOCAL, &path, &err),
			     -EINVAL, "%s", names[i]);
		cr_expect_str_eq(err.field, "environment");
		err = ERROR_INIT;
		cr_expect_eq(volumes_make(volumes, "env-1", names[i], VOLUME_LOCAL, &path, &err),
			     -EINVAL, "%s", names[i]);
		cr_expect_str_eq(err.field, "volumes");
		cr_expect_eq(volumes_discard(volumes, names[i], NULL), -EINVAL, "%s", names[i]);
	}
}

/* A link in the place of a volume leads nowhere. */
Test(volumes, follows_no_link)
{
	char *path = NULL;

	cr_assert_eq(volumes_make(volumes, "env-1", "code", VOLUME_LOCAL, &path, NULL), 0);
	free(path);
	cr_assert_eq(rmdir(in_base("data/environments/env-1/code")), 0);
	cr_assert_eq(symlink("/etc", in_base("data/environments/env-1/code")), 0);
	cr_expect_lt(volumes_make(volumes, "env-1", "code", VOLUME_LOCAL, &path, NULL), 0);
	cr_expect_lt(volumes_give(volumes, "env-1", "code", VOLUME_LOCAL, 1000, 1000, NULL), 0);
}

Test(volumes, discard)
{
	char *path = NULL;

	cr_assert_eq(volumes_make(volumes, "env-1", "code", VOLUME_LOCAL, &path, NULL), 0);
	free(path);
	make_file("keep");
	make_file("data/environments/env-1/code/file");
	cr_assert_eq(symlink(base, in_base("data/environments/env-1/code/link")), 0);
	cr_assert_eq(volumes_discard(volumes, "env-1", NULL), 0);
	cr_expect_not(exists("data/environments/env-1"));
	cr_expect(trash_is_emptied());
	cr_expect(exists("keep"), "a link in it was not followed");
	cr_expect_eq(volumes_discard(volumes, "env-1", NULL), 0, "none there is as good");
}

Test(volumes, goes_on_with_what_an_earlier_process_left)
{
	volumes_free(volumes);
	cr_assert_eq(mkdir(in_base("data/trash/env-9.abc"), 0700), 0);
	make_file("data/trash/env-9.abc/file");
	cr_assert_eq(new_volumes(NULL), 0);
	cr_expect(trash_is_emptied());
}

Test(volumes, hold)
{
	cr_expect_not(volumes_held(volumes, "env-1", "run 1"));
	cr_assert_eq(volumes_hold(volumes, "env-1", "run 1", NULL), 0);
	cr_assert_eq(volumes_hold(volumes, "env-1", "run 1", NULL), 0);
	cr_expect(volumes_held(volumes, "env-1", "run 1"));
	cr_expect_not(volumes_held(volumes, "env-2", "run 1"));
	volumes_free(volumes);
	cr_assert_eq(new_volumes(NULL), 0);
	cr_expect(volumes_held(volumes, "env-1", "run 1"));
}

/* Nobody takes the mark away: the next run has another start. */
Test(volumes, a_mark_is_of_one_run)
{
	cr_assert_eq(volumes_hold(volumes, "env-1", "the first run", NULL), 0);
	cr_expect_not(volumes_held(volumes, "env-1", "the first"));
	cr_expect_not(volumes_held(volumes, "env-1", "the first run of two"));
	cr_assert_eq(volumes_hold(volumes, "env-1", "the 2nd", NULL), 0);
	cr_expect(volumes_held(volumes, "env-1", "the 2nd"));
	cr_expect_not(volumes_held(volumes, "env-1", "the first run"));
}

/* As a kill may leave it, or an agentd that did not name the run. */
Test(volumes, an_empty_mark_holds_nothing)
{
	cr_assert_eq(mkdir(in_base("data/environments/env-1"), 0700), 0);
	make_file("data/environments/env-1/.stopped");
	cr_expect_not(volumes_held(volumes, "env-1", ""));
	cr_expect_not(volumes_held(volumes, "env-1", "run 1"));
}

Test(volumes, data_dir_must_be_absolute)
{
	struct volumes *other = NULL;
	struct error err = ERROR_INIT;

	cr_expect_eq(volumes_new(&other, "data", NULL, &err), -EINVAL);
	cr_expect_str_eq(err.field, "data-dir");
}

/* Deeper than any process may have files open, and than PATH_MAX. */
Test(volumes, remove_tree_of_any_depth)
{
	atomic_bool stop = false;
	int dir;

	cr_assert_eq(mkdir(in_base("deep"), 0700), 0);
	dir = open(in_base("deep"), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	for (int i = 0; i < 3000; i++) {
		int next;

		cr_assert_eq(mkdirat(dir, "folder", 0700), 0);
		next = openat(dir, "folder", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		cr_assert_geq(next, 0);
		close(dir);
		dir = next;
	}
	close(dir);
	cr_expect_eq(remove_tree(AT_FDCWD, in_base("deep"), &stop), 0);
	cr_expect_not(exists("deep"));
}

Test(volumes, remove_tree_of_many)
{
	atomic_bool stop = false;
	char name[64];

	cr_assert_eq(mkdir(in_base("wide"), 0700), 0);
	for (int i = 0; i < 300; i++) {
		snprintf(name, sizeof(name), "wide/%d", i);
		cr_assert_eq(mkdir(in_base(name), 0700), 0);
		snprintf(name, sizeof(name), "wide/%d/sub", i);
		cr_assert_eq(mkdir(in_base(name), 0500), 0);
		snprintf(name, sizeof(name), "wide/%d/file", i);
		make_file(name);
	}
	make_file("wide/.lifted-0");
	cr_expect_eq(remove_tree(AT_FDCWD, in_base("wide"), &stop), 0);
	cr_expect_not(exists("wide"));
}

Test(volumes, remove_tree_of_nothing_file_and_link)
{
	atomic_bool stop = false;

	cr_expect_eq(remove_tree(AT_FDCWD, in_base("none"), &stop), 0);
	make_file("file");
	cr_expect_eq(remove_tree(AT_FDCWD, in_base("file"), &stop), 0);
	cr_assert_eq(symlink("data", in_base("link")), 0);
	cr_expect_eq(remove_tree(AT_FDCWD, in_base("link"), &stop), 0);
	cr_expect_not(exists("link"));
	cr_expect(exists("data/environments"));
}

Test(volumes, remove_tree_can_be_stopped)
{
	atomic_bool stop = true;

	cr_assert_eq(mkdir(in_base("some"), 0700), 0);
	make_file("some/file");
	cr_expect_eq(remove_tree(AT_FDCWD, in_base("some"), &stop), -ECANCELED);
	cr_expect(exists("some/file"));
}

/* A folder on which nothing is mounted is not filled by mistake. */
Test(volumes, shared_ones_need_the_mark_of_what_is_mounted)
{
	struct error err = ERROR_INIT;
	_cleanup_free_ char *path = NULL;

	cr_expect_lt(volumes_make(volumes, "env-1", "code", VOLUME_SHARED, &path, &err), 0);
	cr_assert_eq(mkdir(in_base("shared"), 0755), 0);
	err = ERROR_INIT;
	cr_expect_eq(volumes_make(volumes, "env-1", "code", VOLUME_SHARED, &path, &err), -ENODEV);
	cr_expect(strstr(err.message, "mounted"), "%s", err.message);
	cr_expect_eq(entries_of("shared"), 0);
	make_file("shared/.portico");
	cr_assert_eq(volumes_make(volumes, "env-1", "code", VOLUME_SHARED, &path, &err), 0, "%s",
		     err.message);
	cr_expect_str_eq(path, in_base("shared/environments/env-1/code"));
	cr_expect(exists("shared/environments/env-1/code"));
	cr_expect_not(exists("data/environments/env-1"));
	cr_expect_eq(
		volumes_give(volumes, "env-1", "code", VOLUME_SHARED, geteuid(), getegid(), NULL),
		0);
}

/* Another host may have the environment by now. */
Test(volumes, shared_ones_stay_when_an_environment_leaves)
{
	_cleanup_free_ char *path = NULL;

	cr_assert_eq(mkdir(in_base("shared"), 0755), 0);
	make_file("shared/.portico");
	cr_assert_eq(volumes_make(volumes, "env-1", "code", VOLUME_SHARED, &path, NULL), 0);
	make_file("shared/environments/env-1/code/file");
	cr_assert_eq(volumes_discard(volumes, "env-1", NULL), 0);
	cr_expect(exists("shared/environments/env-1/code/file"));
}

Test(volumes, a_host_without_a_shared_folder_says_so)
{
	struct error err = ERROR_INIT;
	_cleanup_free_ char *path = NULL;
	struct volumes *other;

	cr_assert_eq(volumes_new(&other, in_base("other"), NULL, &err), 0, "%s", err.message);
	cr_expect_not(volumes_has_shared(other));
	cr_expect(volumes_has_shared(volumes));
	cr_expect_eq(volumes_make(other, "env-1", "code", VOLUME_SHARED, &path, &err), -ENOTSUP);
	volumes_free(other);
}

Test(volumes, kinds_have_names)
{
	cr_expect_eq(volume_kind_parse("local"), VOLUME_LOCAL);
	cr_expect_eq(volume_kind_parse("shared"), VOLUME_SHARED);
	cr_expect_eq(volume_kind_parse("cloud"), VOLUME_INVALID);
	cr_expect_eq(volume_kind_parse(NULL), VOLUME_INVALID);
}
