/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Archives written and read back, and archives that are none. */
#include <archive.h>
#include <archive_entry.h>
#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>
#include <sys/stat.h>

#include "agentd/tar.h"

static struct tar_writer *writer_with_file(const char *data, size_t length)
{
	struct tar_writer *writer = NULL;

	cr_assert_eq(tar_writer_new(&writer), 0);
	cr_assert_eq(tar_add_file(writer, "etc/shadow", 0640, 7, 42, data, length), 0);
	return writer;
}

Test(tar, round_trip)
{
	struct tar_writer *writer = writer_with_file("root:*:1\n", 9);
	struct tar_file file;
	const void *data;
	size_t length;

	cr_assert_eq(tar_finish(writer, &data, &length), 0);
	cr_assert_eq(tar_read_file(data, length, 100, &file, NULL), 0);
	cr_expect_eq(file.mode, 0640);
	cr_expect_eq(file.uid, 7);
	cr_expect_eq(file.gid, 42);
	cr_expect_eq(file.length, 9);
	cr_expect_str_eq(file.data, "root:*:1\n");
	free(file.data);
	tar_writer_free(writer);
}

Test(tar, empty_file)
{
	struct tar_writer *writer = writer_with_file("", 0);
	struct tar_file file;
	const void *data;
	size_t length;

	cr_assert_eq(tar_finish(writer, &data, &length), 0);
	cr_assert_eq(tar_read_file(data, length, 0, &file, NULL), 0);
	cr_expect_str_eq(file.data, "");
	free(file.data);
	tar_writer_free(writer);
}

/* As a home folder may be that an image brings. */
Test(tar, a_path_is_written_as_it_is_whatever_its_bytes)
{
	static const char *const paths[] = { "home/d\303\251v", "home/d\351v" };
	struct tar_writer *writer = writer_with_file("", 0);
	const void *data;
	size_t length;

	for (size_t i = 0; i < ARRAY_SIZE(paths); i++)
		cr_assert_eq(tar_add_directory(writer, paths[i], 0700, 1000, 1001), 0);
	cr_assert_eq(tar_finish(writer, &data, &length), 0);
	for (size_t i = 0; i < ARRAY_SIZE(paths); i++)
		cr_expect_not_null(memmem(data, length, paths[i], strlen(paths[i])), "%s",
				   paths[i]);
	tar_writer_free(writer);
}

Test(tar, holds_folders_and_files_in_order)
{
	struct tar_writer *writer = writer_with_file("x", 1);
	struct archive *reader = archive_read_new();
	struct archive_entry *entry;
	const void *data;
	size_t length;

	cr_assert_eq(tar_add_directory(writer, "home/d/.ssh", 0700, 1000, 1001), 0);
	cr_assert_eq(tar_finish(writer, &data, &length), 0);
	archive_read_support_format_tar(reader);
	cr_assert_eq(archive_read_open_memory(reader, data, length), ARCHIVE_OK);
	cr_assert_eq(archive_read_next_header(reader, &entry), ARCHIVE_OK);
	cr_expect_str_eq(archive_entry_pathname(entry), "etc/shadow");
	cr_assert_eq(archive_read_next_header(reader, &entry), ARCHIVE_OK);
	cr_expect_eq(archive_entry_filetype(entry), AE_IFDIR);
	cr_expect_eq(archive_entry_perm(entry), 0700);
	cr_expect_eq(archive_entry_uid(entry), 1000);
	cr_expect_eq(archive_entry_gid(entry), 1001);
	cr_expect_eq(archive_read_next_header(reader, &entry), ARCHIVE_EOF);
	archive_read_free(reader);
	tar_writer_free(writer);
}

Test(tar, refuses_too_large)
{
	struct tar_writer *writer = writer_with_file("12345", 5);
	struct error err = ERROR_INIT;
	struct tar_file file;
	const void *data;
	size_t length;

	cr_assert_eq(tar_finish(writer, &data, &length), 0);
	cr_expect_eq(tar_read_file(data, length, 4, &file, &err), -EFBIG);
	cr_expect(strstr(err.message, "etc/shadow"));
	tar_writer_free(writer);
}

Test(tar, refuses_zero_bytes_folders_and_noise)
{
	struct tar_writer *writer = writer_with_file("a\0b", 3);
	struct tar_file file;
	const void *data;
	size_t length;

	cr_assert_eq(tar_finish(writer, &data, &length), 0);
	cr_expect_eq(tar_read_file(data, length, 100, &file, NULL), -EINVAL);
	cr_expect_eq(tar_read_file(data, 600, 100, &file, NULL), -EINVAL, "cut short");
	tar_writer_free(writer);

	cr_assert_eq(tar_writer_new(&writer), 0);
	cr_assert_eq(tar_add_directory(writer, "etc/passwd", 0755, 0, 0), 0);
	cr_assert_eq(tar_finish(writer, &data, &length), 0);
	cr_expect_eq(tar_read_file(data, length, 100, &file, NULL), -EINVAL);
	tar_writer_free(writer);

	cr_expect_eq(tar_read_file("no archive", 10, 100, &file, NULL), -EINVAL);
	cr_expect_eq(tar_read_file("", 0, 100, &file, NULL), -EINVAL);
}
