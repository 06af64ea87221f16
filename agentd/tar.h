/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Small tar archives in memory, by libarchive: written for the engine to unpack into a container,
 * and the one file of an archive that it hands out.
 */
#pragma once

#include <sys/types.h>

#include "lib/error.h"
#include "lib/util.h"

struct tar_writer;

int tar_writer_new(struct tar_writer **ret) _must_check_;
void tar_writer_free(struct tar_writer *writer); /* wipes the archive; NULL is fine */

/* path is relative to the archive's root, without a leading '/'. */
int tar_add_directory(struct tar_writer *writer, const char *path, mode_t mode, uid_t uid,
		      gid_t gid) _must_check_;
int tar_add_file(struct tar_writer *writer, const char *path, mode_t mode, uid_t uid, gid_t gid,
		 const void *data, size_t length) _must_check_;

/* Ends the archive. *ret_data belongs to the writer; nothing may be added after it. */
int tar_finish(struct tar_writer *writer, const void **ret_data, size_t *ret_length) _must_check_;

struct tar_file {
	mode_t mode;
	uid_t uid;
	gid_t gid;
	char *data; /* owned, zero-terminated */
	size_t length;
};

/* The first entry, which must be a regular file of at most max bytes without a zero byte. -EINVAL
 * for anything else, -EFBIG, -ENOMEM. Free data. */
int tar_read_file(const void *archive, size_t length, size_t max, struct tar_file *ret,
		  struct error *err) _must_check_;

DEFINE_CLEANUP(struct tar_writer *, tar_writer_free, cleanup_tar_writer)
