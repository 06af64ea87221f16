/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Formats one log line and writes it to stderr in one write; decides once whether journald reads.
 */
#include "lib/log.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#define LOG_LINE_MAX 4096

static const struct {
	const char *name;
	int priority; /* of syslog(3), for sd-daemon(3)'s prefix */
} levels[LOG_LEVEL_MAX] = {
	[LOG_LEVEL_ERROR] = { "error", 3 },
	[LOG_LEVEL_WARNING] = { "warning", 4 },
	[LOG_LEVEL_INFO] = { "info", 6 },
	[LOG_LEVEL_DEBUG] = { "debug", 7 },
};

static enum log_level max_level = LOG_LEVEL_INFO;

enum log_level log_level_parse(const char *text)
{
	for (int level = 0; level < LOG_LEVEL_MAX; level++)
		if (strcmp(text, levels[level].name) == 0)
			return level;
	return LOG_LEVEL_INVALID;
}

void log_set_level(enum log_level max)
{
	max_level = max;
}

/* systemd.exec(5): JOURNAL_STREAM is "DEVICE:INODE" of the stream; compare, since a redirected
 * stderr inherits the variable. */
static bool stderr_is_journal(void)
{
	const char *stream = getenv("JOURNAL_STREAM");
	char ours[64];
	struct stat st;

	if (!stream || fstat(STDERR_FILENO, &st) < 0)
		return false;
	snprintf(ours, sizeof(ours), "%ju:%ju", (uintmax_t)st.st_dev, (uintmax_t)st.st_ino);
	return strcmp(stream, ours) == 0;
}

static size_t write_prefix(char *line, size_t size, enum log_level level)
{
	static int journal = -1;
	struct timespec now;
	struct tm tm;
	size_t n;

	if (journal < 0)
		journal = stderr_is_journal();
	if (journal)
		return (size_t)snprintf(line, size, "<%d>", levels[level].priority);
	clock_gettime(CLOCK_REALTIME, &now);
	localtime_r(&now.tv_sec, &tm);
	n = strftime(line, size, "%H:%M:%S", &tm);
	return n + (size_t)snprintf(line + n, size - n, ".%03ld %-7s ", now.tv_nsec / 1000000,
				    levels[level].name);
}

/* Appends text with control characters as \xNN, so that a value cannot forge a line. */
static size_t append_escaped(char *line, size_t used, size_t size, const char *text)
{
	for (; *text && used + 5 < size; text++) {
		unsigned char c = (unsigned char)*text;

		if (c < 0x20 || c == 0x7f)
			used += (size_t)snprintf(line + used, size - used, "\\x%02x", c);
		else
			line[used++] = (char)c;
	}
	return used;
}

void log_write(enum log_level level, const char *subject, const char *format, ...)
{
	char message[LOG_LINE_MAX], line[LOG_LINE_MAX + 64];
	int saved = errno;
	size_t used;
	va_list args;

	if (level > max_level)
		return;
	va_start(args, format);
	vsnprintf(message, sizeof(message), format, args);
	va_end(args);

	used = write_prefix(line, sizeof(line), level);
	if (subject) {
		used = append_escaped(line, used, sizeof(line) - 3, subject);
		line[used++] = ':';
		line[used++] = ' ';
	}
	used = append_escaped(line, used, sizeof(line) - 1, message);
	line[used++] = '\n';
	(void)!write(STDERR_FILENO, line, used); /* there is nowhere to say that logging fails */
	errno = saved;
}
