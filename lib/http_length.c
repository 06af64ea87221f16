/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Lines up to an empty one, of which one is looked for. Whatever is not as evhttp would take it is
 * not taken. */
#include "lib/http_length.h"

#include <errno.h>
#include <string.h>
#include <strings.h>

#include "lib/number.h"

#define NAME "Content-Length:"

static void read_length(struct http_length *scan, const char *value)
{
	uint64_t length = UINT64_MAX;
	const char *end = "";
	int r;

	value += strspn(value, " \t");
	r = number_parse(value, &length, &end);
	if (r == -EINVAL || (r == 0 && end[strspn(end, " \t\r")] != '\0'))
		return;
	scan->length = length;
	scan->known = true;
}

static void line_ended(struct http_length *scan)
{
	char *line = scan->line;

	if (scan->n == 0 || (scan->n == 1 && line[0] == '\r')) {
		scan->done = true;
	} else if (scan->n < sizeof(scan->line)) {
		line[scan->n] = '\0';
		if (strncasecmp(line, NAME, strlen(NAME)) == 0) {
			read_length(scan, line + strlen(NAME));
			scan->done = true;
		}
	}
	scan->n = 0;
}

void http_length_feed(struct http_length *scan, const char *data, size_t size)
{
	for (size_t i = 0; i < size && !scan->done; i++) {
		if (data[i] == '\n') {
			line_ended(scan);
			continue;
		}
		if (scan->n < sizeof(scan->line))
			scan->line[scan->n] = data[i];
		scan->n++;
	}
}
