/* SPDX-License-Identifier: GPL-2.0-or-later */
/* libarchive behind two narrow calls: restricted pax out, any tar in. */
#include "agentd/tar.h"

#include <archive.h>
#include <archive_entry.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

struct tar_writer {
	struct archive *archive;
	FILE *out;
	char *data;
	size_t length;
};

static la_ssize_t write_piece(struct archive *archive, void *userdata, const void *data, size_t n)
{
	struct tar_writer *writer = userdata;

	if (fwrite(data, 1, n, writer->out) != n) {
		archive_set_error(archive, ENOMEM, "out of memory");
		return -1;
	}
	return (la_ssize_t)n;
}

int tar_writer_new(struct tar_writer **ret)
{
	_cleanup_(cleanup_tar_writer) struct tar_writer *writer = calloc(1, sizeof(*writer));

	if (!writer)
		return -ENOMEM;
	writer->out = open_memstream(&writer->data, &writer->length);
	writer->archive = archive_write_new();
	if (!writer->out || !writer->archive)
		return -ENOMEM;
	if (archive_write_set_format_pax_restricted(writer->archive) != ARCHIVE_OK ||
	    archive_write_open(writer->archive, writer, NULL, write_piece, NULL) != ARCHIVE_OK)
		return -ENOMEM;
	*ret = TAKE_PTR(writer);
	return 0;
}

void tar_writer_free(struct tar_writer *writer)
{
	if (!writer)
		return;
	if (writer->archive)
		archive_write_free(writer->archive);
	if (writer->out)
		fclose(writer->out);
	if (writer->data)
		explicit_bzero(writer->data, writer->length);
	free(writer->data);
	free(writer);
}

static int add(struct tar_writer *writer, const char *path, mode_t type_and_mode, uid_t uid,
	       gid_t gid, const void *data, size_t length)
{
	struct archive_entry *entry = archive_entry_new();
	int r = 0;

	if (!entry)
		return -ENOMEM;
	archive_entry_set_pathname(entry, path);
	archive_entry_set_mode(entry, type_and_mode);
	archive_entry_set_uid(entry, uid);
	archive_entry_set_gid(entry, gid);
	archive_entry_set_mtime(entry, time(NULL), 0);
	archive_entry_set_size(entry, (la_int64_t)length);
	/* libarchive warns of a path that is not ASCII, and writes it as it is: no locale says what
	 * it means. */
	if (archive_write_header(writer->archive, entry) < ARCHIVE_WARN ||
	    (length > 0 && archive_write_data(writer->archive, data, length) != (la_ssize_t)length))
		r = -ENOMEM;
	archive_entry_free(entry);
	return r;
}

int tar_add_directory(struct tar_writer *writer, const char *path, mode_t mode, uid_t uid,
		      gid_t gid)
{
	return add(writer, path, S_IFDIR | mode, uid, gid, NULL, 0);
}

int tar_add_file(struct tar_writer *writer, const char *path, mode_t mode, uid_t uid, gid_t gid,
		 const void *data, size_t length)
{
	return add(writer, path, S_IFREG | mode, uid, gid, data, length);
}

int tar_finish(struct tar_writer *writer, const void **ret_data, size_t *ret_length)
{
	if (archive_write_close(writer->archive) != ARCHIVE_OK || fflush(writer->out) != 0)
		return -ENOMEM;
	*ret_data = writer->data;
	*ret_length = writer->length;
	return 0;
}

static void cleanup_archive_read(struct archive **archive)
{
	if (*archive)
		archive_read_free(*archive);
}

static int read_data(struct archive *archive, size_t size, char **ret, struct error *err)
{
	_cleanup_free_ char *data = malloc(size + 1);
	size_t at = 0;

	if (!data)
		return -ENOMEM;
	while (at < size) {
		la_ssize_t n = archive_read_data(archive, data + at, size - at);

		if (n <= 0)
			return error_set(err, -EINVAL, "malformed", NULL,
					 "the archive is cut short");
		at += (size_t)n;
	}
	data[size] = '\0';
	if (memchr(data, '\0', size))
		return error_set(err, -EINVAL, "invalid", NULL, "the file has a zero byte");
	*ret = TAKE_PTR(data);
	return 0;
}

int tar_read_file(const void *archive, size_t length, size_t max, struct tar_file *ret,
		  struct error *err)
{
	_cleanup_(cleanup_archive_read) struct archive *reader = archive_read_new();
	struct archive_entry *entry;
	struct tar_file file = { 0 };
	int r;

	if (!reader)
		return -ENOMEM;
	archive_read_support_format_tar(reader);
	if (archive_read_open_memory(reader, archive, length) != ARCHIVE_OK ||
	    archive_read_next_header(reader, &entry) != ARCHIVE_OK)
		return error_set(err, -EINVAL, "malformed", NULL, "this is no tar archive");
	if (archive_entry_filetype(entry) != AE_IFREG)
		return error_set(err, -EINVAL, "invalid", NULL, "'%s' is no regular file",
				 archive_entry_pathname(entry));
	if (archive_entry_size(entry) < 0 || (uint64_t)archive_entry_size(entry) > max)
		return error_set(err, -EFBIG, "too_large", NULL, "'%s' is larger than %zu bytes",
				 archive_entry_pathname(entry), max);
	file.mode = archive_entry_perm(entry);
	file.uid = (uid_t)archive_entry_uid(entry);
	file.gid = (gid_t)archive_entry_gid(entry);
	file.length = (size_t)archive_entry_size(entry);
	r = read_data(reader, file.length, &file.data, err);
	if (r < 0)
		return r;
	*ret = file;
	return 0;
}
