/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The highest epoch that this host ever followed, kept across restarts: an older scheduler must not
 * make it remove what a newer one assigned.
 */
#pragma once

#include "lib/error.h"

/* 0 in *ret where there is no file yet. */
int epoch_file_read(const char *data_dir, uint64_t *ret, struct error *err) _must_check_;
int epoch_file_write(const char *data_dir, uint64_t epoch, struct error *err) _must_check_;
