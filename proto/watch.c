/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The watch stream's lines: writing them, and reading them from pieces of any size. */
#include "proto/watch.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

/* ---- writing ---- */

static void release_text(const void *data, size_t length, void *userdata)
{
	free(userdata);
}

/* Takes over line (NULL: out of memory). */
static int write_line(struct evbuffer *out, json_t *line)
{
	char *text = line ? json_encode(line) : NULL;
	size_t length;

	json_decref(line);
	if (!text)
		return -ENOMEM;
	length = strlen(text);
	if (length >= WATCH_LINE_MAX) {
		free(text);
		return -E2BIG;
	}
	text[length] = '\n'; /* in place of the zero */
	if (evbuffer_add_reference(out, text, length + 1, release_text, text) < 0) {
		free(text);
		return -ENOMEM;
	}
	return 0;
}

static int write_mark(struct evbuffer *out, const char *type, uint64_t epoch, uint64_t revision)
{
	return write_line(out, json_pack("{s:s, s:I, s:I}", "type", type, "epoch",
					 (json_int_t)epoch, "revision", (json_int_t)revision));
}

int watch_write_snapshot(struct evbuffer *out, uint64_t epoch, uint64_t revision)
{
	return write_mark(out, "snapshot", epoch, revision);
}

int watch_write_item(struct evbuffer *out, json_t *item)
{
	return write_line(out, json_pack("{s:s, s:O}", "type", "item", "item", item));
}

int watch_write_synced(struct evbuffer *out, uint64_t epoch, uint64_t revision)
{
	return write_mark(out, "synced", epoch, revision);
}

int watch_write_change(struct evbuffer *out, uint64_t epoch, uint64_t revision, json_t *put,
		       json_t *deleted)
{
	return write_line(out, json_pack("{s:s, s:I, s:I, s:O*, s:O*}", "type", "change", "epoch",
					 (json_int_t)epoch, "revision", (json_int_t)revision, "put",
					 put, "delete", deleted));
}

int watch_write_bookmark(struct evbuffer *out, uint64_t epoch, uint64_t revision)
{
	return write_mark(out, "bookmark", epoch, revision);
}

int watch_write_logs(struct evbuffer *out, uint64_t epoch, json_t *session)
{
	return write_line(out, json_pack("{s:s, s:I, s:O}", "type", "logs", "epoch",
					 (json_int_t)epoch, "session", session));
}

int watch_write_end(struct evbuffer *out, const char *code, const char *message)
{
	return write_line(
		out, json_pack("{s:s, s:s, s:s}", "type", "end", "code", code, "message", message));
}

/* ---- reading ---- */

struct watch_decoder {
	const struct watch_events *events;
	void *userdata;
	uint64_t epoch;    /* lines with a lower one are refused */
	uint64_t revision; /* of the last line of this stream */
	char *line;        /* the beginning of a line whose end has not come */
	size_t length, allocated;
	json_t *items; /* of the snapshot that is being received, else NULL */
	bool synced;   /* a whole snapshot has been received */
};

int watch_decoder_new(struct watch_decoder **ret, const struct watch_events *events, void *userdata,
		      uint64_t min_epoch)
{
	struct watch_decoder *decoder = calloc(1, sizeof(*decoder));

	if (!decoder)
		return -ENOMEM;
	*decoder = (struct watch_decoder){ .events = events,
					   .userdata = userdata,
					   .epoch = min_epoch,
					   .synced = events->may_resume };
	*ret = decoder;
	return 0;
}

void watch_decoder_free(struct watch_decoder *decoder)
{
	if (!decoder)
		return;
	json_decref(decoder->items);
	free(decoder->line);
	free(decoder);
}

static int out_of_order(struct error *err, const char *type)
{
	return error_set(err, -EINVAL, "malformed", "type",
			 "a \"%s\" is out of order in the stream", type);
}

/* Reads the epoch and holds it against the one before. */
static int read_epoch(const struct watch_decoder *decoder, struct json_reader *reader,
		      uint64_t *ret_epoch)
{
	json_read_uint(reader, "epoch", JSON_REQUIRED, 1, INT64_MAX, ret_epoch);
	if (reader->status == 0 && *ret_epoch < decoder->epoch)
		return json_reader_fail(reader, -ESTALE, "stale_epoch", "epoch",
					"%" PRIu64 " is older than %" PRIu64, *ret_epoch,
					decoder->epoch);
	return reader->status;
}

/* Reads epoch and revision and holds them against those before. */
static int read_mark(struct watch_decoder *decoder, struct json_reader *reader,
		     uint64_t *ret_revision)
{
	uint64_t epoch = 0;

	json_read_uint(reader, "revision", JSON_REQUIRED, 0, INT64_MAX, ret_revision);
	if (read_epoch(decoder, reader, &epoch) < 0)
		return reader->status;
	if (epoch == decoder->epoch && *ret_revision < decoder->revision)
		return json_reader_fail(reader, -EINVAL, "malformed", "revision",
					"%" PRIu64 " comes after %" PRIu64, *ret_revision,
					decoder->revision);
	decoder->epoch = epoch;
	return 0;
}

static int take_snapshot(struct watch_decoder *decoder, struct json_reader *reader)
{
	uint64_t revision;
	int r = read_mark(decoder, reader, &revision);

	if (r < 0)
		return r;
	if (decoder->items)
		return out_of_order(reader->err, "snapshot");
	decoder->items = json_array();
	if (!decoder->items)
		return -ENOMEM;
	decoder->revision = revision;
	return json_reader_finish(reader);
}

static int take_item(struct watch_decoder *decoder, struct json_reader *reader)
{
	json_t *item = NULL;
	int r;

	json_read_object(reader, "item", JSON_REQUIRED, &item);
	r = json_reader_finish(reader);
	if (r < 0)
		return r;
	if (!decoder->items)
		return out_of_order(reader->err, "item");
	if (json_array_size(decoder->items) == WATCH_ITEMS_MAX)
		return error_set(reader->err, -EMSGSIZE, "too_large", "item",
				 "the snapshot has more than %d items", WATCH_ITEMS_MAX);
	return json_array_append(decoder->items, item) < 0 ? -ENOMEM : 0;
}

static int take_synced(struct watch_decoder *decoder, struct json_reader *reader)
{
	_cleanup_json_ json_t *items = NULL;
	uint64_t revision;
	int r = read_mark(decoder, reader, &revision);

	if (r == 0)
		r = json_reader_finish(reader);
	if (r < 0)
		return r;
	if (!decoder->items)
		return out_of_order(reader->err, "synced");
	items = TAKE_PTR(decoder->items);
	decoder->revision = revision;
	decoder->synced = true;
	if (decoder->events->on_snapshot)
		decoder->events->on_snapshot(decoder->userdata, decoder->epoch, revision, items);
	return 0;
}

static int take_change(struct watch_decoder *decoder, struct json_reader *reader)
{
	_cleanup_json_ json_t *none = json_array();
	json_t *put = none, *deleted = none;
	uint64_t revision;
	int r = read_mark(decoder, reader, &revision);

	json_read_array(reader, "put", JSON_OPTIONAL, WATCH_ITEMS_MAX, &put);
	json_read_array(reader, "delete", JSON_OPTIONAL, WATCH_ITEMS_MAX, &deleted);
	if (r == 0)
		r = json_reader_finish(reader);
	if (r < 0)
		return r;
	if (!none)
		return -ENOMEM;
	if (!decoder->synced || decoder->items)
		return out_of_order(reader->err, "change");
	decoder->revision = revision;
	if (decoder->events->on_change)
		decoder->events->on_change(decoder->userdata, decoder->epoch, revision, put,
					   deleted);
	return 0;
}

static int take_bookmark(struct watch_decoder *decoder, struct json_reader *reader)
{
	uint64_t revision;
	int r = read_mark(decoder, reader, &revision);

	if (r == 0)
		r = json_reader_finish(reader);
	if (r < 0)
		return r;
	if (!decoder->synced || decoder->items)
		return out_of_order(reader->err, "bookmark");
	decoder->revision = revision;
	if (decoder->events->on_bookmark)
		decoder->events->on_bookmark(decoder->userdata, decoder->epoch, revision);
	return 0;
}

static int take_logs(struct watch_decoder *decoder, struct json_reader *reader)
{
	json_t *session = NULL;
	uint64_t epoch = 0;
	int r;

	json_read_object(reader, "session", JSON_REQUIRED, &session);
	r = read_epoch(decoder, reader, &epoch);
	if (r == 0)
		r = json_reader_finish(reader);
	if (r < 0)
		return r;
	if (!decoder->synced || decoder->items)
		return out_of_order(reader->err, "logs");
	decoder->epoch = epoch;
	if (decoder->events->on_logs)
		decoder->events->on_logs(decoder->userdata, epoch, session);
	return 0;
}

static int take_end(struct watch_decoder *decoder, struct json_reader *reader)
{
	const char *code = NULL, *message = NULL;
	int r;

	json_read_string(reader, "code", JSON_REQUIRED, 64, &code);
	json_read_string(reader, "message", JSON_REQUIRED, ERROR_MESSAGE_MAX, &message);
	r = json_reader_finish(reader);
	return r < 0 ? r : error_set(reader->err, -ECONNRESET, "ended", NULL, "%s", message);
}

static int take_line(struct watch_decoder *decoder, const char *text, size_t length,
		     struct error *err)
{
	static const struct {
		const char *type;
		int (*take)(struct watch_decoder *decoder, struct json_reader *reader);
	} types[] = {
		{ "change", take_change },     { "bookmark", take_bookmark }, { "item", take_item },
		{ "snapshot", take_snapshot }, { "synced", take_synced },     { "end", take_end },
		{ "logs", take_logs },
	};
	_cleanup_json_ json_t *line = NULL;
	struct json_reader reader;
	const char *type = NULL;
	int r = json_decode(text, length, &line, err);

	if (r < 0)
		return r;
	json_reader_init(&reader, line, "", err);
	r = json_read_string(&reader, "type", JSON_REQUIRED, 32, &type);
	if (r < 0)
		return r;
	for (size_t i = 0; i < ARRAY_SIZE(types); i++)
		if (strcmp(types[i].type, type) == 0)
			return types[i].take(decoder, &reader);
	return json_reader_fail(&reader, -EINVAL, "malformed", "type", "\"%s\" is not known", type);
}

static int keep(struct watch_decoder *decoder, const char *data, size_t length, struct error *err)
{
	if (length > WATCH_LINE_MAX - decoder->length)
		return error_set(err, -EMSGSIZE, "too_large", NULL,
				 "a line of the stream is longer than %zu bytes", WATCH_LINE_MAX);
	if (decoder->length + length > decoder->allocated) {
		size_t allocated = MAX(decoder->length + length, decoder->allocated * 2);
		char *line = realloc(decoder->line, allocated);

		if (!line)
			return -ENOMEM;
		decoder->line = line;
		decoder->allocated = allocated;
	}
	if (length > 0)
		memcpy(decoder->line + decoder->length, data, length);
	decoder->length += length;
	return 0;
}

int watch_decoder_feed(struct watch_decoder *decoder, const char *data, size_t length,
		       struct error *err)
{
	const char *newline;
	int r;

	while ((newline = memchr(data, '\n', length))) {
		size_t piece = (size_t)(newline - data);

		if (decoder->length > 0) {
			r = keep(decoder, data, piece, err);
			if (r == 0)
				r = take_line(decoder, decoder->line, decoder->length, err);
			decoder->length = 0;
		} else {
			r = take_line(decoder, data, piece, err);
		}
		if (r < 0)
			return r;
		data = newline + 1;
		length -= piece + 1;
	}
	return keep(decoder, data, length, err);
}
