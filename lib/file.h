/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Whole small files: read with a limit, written atomically. */
#pragma once

#include <sys/types.h>

#include "lib/error.h"
#include "lib/util.h"

/* Reads a whole regular file of at most max bytes. *ret is zero-terminated and owned by the
 * caller; ret_length may be NULL. -EFBIG over the limit, and open(2)'s and read(2)'s errors;
 * the sentence names the path. */
int file_read(const char *path, size_t max, char **ret, size_t *ret_length, struct error *err)
	_must_check_;

/* The first line of a file with a secret, such as a token; owned by the caller, who wipes it.
 * Beside file_read's errors -EPERM where others than owner and group may read or write the file,
 * -EINVAL where it is empty. */
int file_read_secret(const char *path, char **ret, struct error *err) _must_check_;
/* The path of a file: this one, or without one (NULL) that of the credential that systemd has given
 * to the service under this name. Owned by the caller; NULL where there is neither. -ENOMEM. */
int file_or_credential(const char *path, const char *credential, char **ret) _must_check_;

/* Replaces path by a file with this content: written beside it, synced, renamed, the folder
 * synced. After a failure the old file is as it was. */
int file_write_atomic(const char *path, const void *data, size_t length, mode_t mode,
		      struct error *err) _must_check_;

/* The same without waiting for the disk: whole for who reads it and whenever this process is
 * killed. After a loss of power it may be the old file, the new one, or an empty one. */
int file_replace(const char *path, const void *data, size_t length, mode_t mode, struct error *err)
	_must_check_;

/* Writes all of data, also past EINTR and short writes. */
int write_all(int fd, const void *data, size_t length) _must_check_;

/* Makes the folders above path, as far as they are missing. mkdir(2)'s errors, -ENOMEM. */
int folder_make_parents(const char *path) _must_check_;
/* Makes a folder and those above it, as far as they are missing. mkdir(2)'s errors, -ENOMEM. */
int folder_make(const char *path, mode_t mode) _must_check_;
