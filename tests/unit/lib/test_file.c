/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Files that are replaced: whole or as they were, nothing left beside them, and waiting for the
 * disk only where that is promised. */
#include <criterion/criterion.h>
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/file.h"
#include "tests/unit/lib/syncs.h"

static char folder[64], path[96];

static void setup(void)
{
	(void)snprintf(folder, sizeof(folder), "/tmp/test-file-XXXXXX");
	cr_assert(mkdtemp(folder));
	(void)snprintf(path, sizeof(path), "%s/file", folder);
	syncs = 0;
}

static void teardown(void)
{
	(void)remove(path);
	cr_expect_eq(rmdir(folder), 0, "something was left");
}

TestSuite(file, .init = setup, .fini = teardown);

static unsigned count_files(void)
{
	struct dirent *entry;
	DIR *stream = opendir(folder);
	unsigned n = 0;

	cr_assert(stream);
	while ((entry = readdir(stream)))
		n += entry->d_name[0] != '.';
	closedir(stream);
	return n;
}

static void expect_file(const char *text, mode_t mode)
{
	_cleanup_free_ char *got = NULL;
	struct stat status;

	cr_assert_eq(file_read(path, 100, &got, NULL, NULL), 0);
	cr_expect_str_eq(got, text);
	cr_assert_eq(stat(path, &status), 0);
	cr_expect_eq(status.st_mode & 0777, mode);
	cr_expect_eq(count_files(), 1);
}

Test(file, a_durable_write_waits_for_the_file_and_for_its_folder)
{
	cr_assert_eq(file_write_atomic(path, "one", 3, 0600, NULL), 0);
	cr_expect_eq(syncs, 2);
	expect_file("one", 0600);
	cr_assert_eq(file_write_atomic(path, "second", 6, 0644, NULL), 0);
	expect_file("second", 0644);
}

Test(file, a_replacement_waits_for_no_disk)
{
	cr_assert_eq(file_replace(path, "one", 3, 0600, NULL), 0);
	expect_file("one", 0600);
	cr_assert_eq(file_replace(path, "second", 6, 0644, NULL), 0);
	expect_file("second", 0644);
	cr_expect_eq(syncs, 0);
}

Test(file, what_cannot_be_replaced_stays_and_nothing_is_left_beside_it)
{
	struct error err = ERROR_INIT;

	cr_assert_eq(mkdir(path, 0700), 0);
	cr_expect_eq(file_write_atomic(path, "one", 3, 0600, &err), -EISDIR);
	cr_expect(strstr(err.message, path), "%s", err.message);
	cr_expect_eq(file_replace(path, "one", 3, 0600, NULL), -EISDIR);
	cr_expect_eq(count_files(), 1);
	cr_expect_eq(rmdir(path), 0);
}
