/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A log's lines: read in one piece and in pieces of a size that the first byte gives they say the
 * same; and any bytes that are written as text are read again as UTF-8. */
#include "lib/utf8.h"
#include "proto/log_session.h"
#include "tests/fuzz/fuzz.h"

struct seen {
	unsigned types[LOG_LINE_END + 1];
	size_t bytes;
};

static int on_line(void *userdata, const struct log_line *line, json_t *json)
{
	struct seen *seen = userdata;

	fuzz_require(json_is_object(json));
	seen->types[line->type]++;
	seen->bytes += strlen(line->time) + strlen(line->text) + strlen(line->code) +
		       strlen(line->message);
	return 0;
}

static int feed(const char *data, size_t size, size_t piece, struct seen *seen)
{
	_cleanup_(cleanup_log_reader) struct log_reader *reader = NULL;
	struct error err = ERROR_INIT;
	int r = 0;

	fuzz_require(log_reader_new(&reader, on_line, seen) == 0);
	for (size_t at = 0; at < size && r == 0; at += piece)
		r = log_reader_feed(reader, data + at, MIN(piece, size - at), &err);
	if (r < 0)
		fuzz_refused(r, &err);
	return r;
}

static void write_and_read(const char *text, size_t size)
{
	struct evbuffer *out = evbuffer_new();
	struct seen seen = { 0 };
	size_t length;

	fuzz_require(out && log_write_text(out, LOG_STDERR, "now", text, size) == 0);
	length = evbuffer_get_length(out);
	fuzz_require(length <= LOG_LINE_MAX);
	fuzz_require(feed((const char *)evbuffer_pullup(out, -1), length, length, &seen) == 0);
	fuzz_require(seen.types[LOG_LINE_TEXT] == 1 && seen.bytes >= size + strlen("now"));
	evbuffer_free(out);
	length = utf8_whole_length(text, size);
	fuzz_require(length <= size && size - length <= 3);
}

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size)
{
	struct seen whole = { 0 }, pieces = { 0 };
	char *text;

	if (size < 2)
		return 0;
	text = fuzz_text(data + 1, size - 1);
	fuzz_require(feed(text, size - 1, size - 1, &whole) ==
		     feed(text, size - 1, (size_t)data[0] + 1, &pieces));
	fuzz_require(memcmp(&whole, &pieces, sizeof(whole)) == 0);
	write_and_read(text, MIN(size - 1, LOG_TEXT_MAX));
	free(text);
	return 0;
}
