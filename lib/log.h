/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Log lines that a terminal and journald both like. Only daemons log; lib/ and proto/ return
 * their errors.
 *
 * A line has a level, a subject (what the line is about: "mapping 203.0.113.10:30001/tcp",
 * "environment env-…") and a message that ends in key=value pairs. On a terminal it is
 * preceded by the local time; under systemd (JOURNAL_STREAM names our stderr) by the <N>
 * prefix of sd-daemon(3). Control characters in it are written as \xNN.
 */
#pragma once

#include "lib/error.h"
#include "lib/util.h"

enum log_level {
	LOG_LEVEL_ERROR,
	LOG_LEVEL_WARNING,
	LOG_LEVEL_INFO,
	LOG_LEVEL_DEBUG,
	LOG_LEVEL_MAX,
	LOG_LEVEL_INVALID = -1,
};

/* "error", "warning", "info" or "debug" to its level; LOG_LEVEL_INVALID for anything else. */
enum log_level log_level_parse(const char *text);

/* Lines above max are dropped. Default: info. */
void log_set_level(enum log_level max);

/* Writes one line to stderr in one write. subject may be NULL. Never fails visibly. */
void log_write(enum log_level level, const char *subject, const char *format, ...) _printf_(3, 4);

#define log_error(subject, ...) log_write(LOG_LEVEL_ERROR, subject, __VA_ARGS__)
#define log_warning(subject, ...) log_write(LOG_LEVEL_WARNING, subject, __VA_ARGS__)
#define log_info(subject, ...) log_write(LOG_LEVEL_INFO, subject, __VA_ARGS__)
#define log_debug(subject, ...) log_write(LOG_LEVEL_DEBUG, subject, __VA_ARGS__)
