/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The lines of a log: writing them from any bytes, and reading them from pieces of any size. */
#include <errno.h>
#include <string.h>

#include "lib/utf8.h"
#include "proto/log_session.h"
#include "proto/watch.h"

#define REPLACEMENT "\xef\xbf\xbd" /* U+FFFD */

static const char *const stream_names[LOG_STREAM_MAX] = {
	[LOG_STDOUT] = "stdout",
	[LOG_STDERR] = "stderr",
};

const char *log_stream_name(enum log_stream stream)
{
	return stream_names[stream];
}

/* ---- writing ---- */

/* A copy that is UTF-8 without zeros. */
static char *make_text(const char *text, size_t length, size_t *ret_length)
{
	char *copy = malloc(length * strlen(REPLACEMENT) + 1);
	size_t used = 0;

	if (!copy)
		return NULL;
	for (size_t i = 0; i < length;) {
		size_t n = text[i] ? utf8_sequence(text + i, length - i) : 0;

		if (n > 0)
			memcpy(copy + used, text + i, n);
		else
			memcpy(copy + used, REPLACEMENT, strlen(REPLACEMENT));
		used += n > 0 ? n : strlen(REPLACEMENT);
		i += n > 0 ? n : 1;
	}
	*ret_length = used;
	return copy;
}

/* Takes over line (NULL: out of memory). */
static int write_line(struct evbuffer *out, json_t *line)
{
	_cleanup_free_ char *text = line ? json_encode(line) : NULL;
	int r = -ENOMEM;

	json_decref(line);
	if (text && evbuffer_expand(out, strlen(text) + 1) == 0)
		r = evbuffer_add(out, text, strlen(text)) | evbuffer_add(out, "\n", 1);
	return r == 0 ? 0 : -ENOMEM;
}

int log_write_text(struct evbuffer *out, enum log_stream stream, const char *time, const char *text,
		   size_t length)
{
	size_t made_length = 0;
	_cleanup_free_ char *made = make_text(text, length, &made_length);
	json_t *line;

	if (!made)
		return -ENOMEM;
	line = json_pack("{s:s, s:s, s:s%}", "type", "text", "stream", log_stream_name(stream),
			 "text", made, made_length);
	if (line && *time && json_object_set_new(line, "time", json_text(time)) < 0) {
		json_decref(line);
		return -ENOMEM;
	}
	return write_line(out, line);
}

int log_write_idle(struct evbuffer *out)
{
	return write_line(out, json_pack("{s:s}", "type", "idle"));
}

int log_write_end(struct evbuffer *out, const char *code, const char *message)
{
	return watch_write_end(out, code, message);
}

/* ---- reading ---- */

struct log_reader {
	int (*on_line)(void *userdata, const struct log_line *line, json_t *json);
	void *userdata;
	size_t length;
	char line[LOG_LINE_MAX]; /* the beginning of a line whose end has not come */
};

int log_reader_new(struct log_reader **ret,
		   int (*on_line)(void *userdata, const struct log_line *line, json_t *json),
		   void *userdata)
{
	struct log_reader *reader = malloc(sizeof(*reader));

	if (!reader)
		return -ENOMEM;
	reader->on_line = on_line;
	reader->userdata = userdata;
	reader->length = 0;
	*ret = reader;
	return 0;
}

void log_reader_free(struct log_reader *reader)
{
	free(reader);
}

static void read_text(struct json_reader *reader, struct log_line *line)
{
	const char *stream = "";

	line->type = LOG_LINE_TEXT;
	json_read_string(reader, "stream", JSON_REQUIRED, 16, &stream);
	json_read_string(reader, "time", JSON_OPTIONAL, LOG_TIME_MAX, &line->time);
	json_read_string(reader, "text", JSON_REQUIRED, LOG_LINE_MAX, &line->text);
	for (int i = 0; i < LOG_STREAM_MAX; i++) {
		line->stream = (enum log_stream)i;
		if (strcmp(stream, stream_names[i]) == 0)
			return;
	}
	json_reader_fail(reader, -EINVAL, "invalid", "stream", "\"%s\" is not stdout or stderr",
			 stream);
}

static int read_line(json_t *json, struct log_line *line, struct error *err)
{
	struct json_reader reader;
	const char *type = "";

	*line = (struct log_line){ .time = "", .text = "", .code = "", .message = "" };
	json_reader_init(&reader, json, "", err);
	json_read_string(&reader, "type", JSON_REQUIRED, 16, &type);
	if (strcmp(type, "text") == 0) {
		read_text(&reader, line);
	} else if (strcmp(type, "idle") == 0) {
		line->type = LOG_LINE_IDLE;
	} else if (strcmp(type, "end") == 0) {
		line->type = LOG_LINE_END;
		json_read_string(&reader, "code", JSON_REQUIRED, LOG_CODE_MAX, &line->code);
		json_read_string(&reader, "message", JSON_REQUIRED, ERROR_MESSAGE_MAX,
				 &line->message);
	} else {
		json_reader_fail(&reader, -EINVAL, "malformed", "type", "\"%s\" is not known",
				 type);
	}
	return json_reader_finish(&reader);
}

static int take_line(struct log_reader *reader, const char *text, size_t length, struct error *err)
{
	_cleanup_json_ json_t *json = NULL;
	struct log_line line;
	int r = json_decode(text, length, &json, err);

	if (r == 0)
		r = read_line(json, &line, err);
	return r < 0 ? r : reader->on_line(reader->userdata, &line, json);
}

int log_reader_feed(struct log_reader *reader, const char *data, size_t length, struct error *err)
{
	while (length > 0) {
		const char *newline = memchr(data, '\n', length);
		size_t piece = newline ? (size_t)(newline - data) : length;
		int r;

		if (piece > sizeof(reader->line) - reader->length)
			return error_set(err, -EMSGSIZE, "too_large", NULL,
					 "a line of the log is longer than %zu bytes",
					 LOG_LINE_MAX);
		memcpy(reader->line + reader->length, data, piece);
		reader->length += piece;
		if (!newline)
			return 0;
		r = take_line(reader, reader->line, reader->length, err);
		reader->length = 0;
		if (r != 0)
			return r;
		data += piece + 1;
		length -= piece + 1;
	}
	return 0;
}
