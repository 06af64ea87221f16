/* SPDX-License-Identifier: GPL-2.0-or-later */
/* How a log travels. Somebody asks schedd for an environment's log; schedd asks its host, by a line
 * of the host's watch stream and again in the answers to its reports until it has begun; the host
 * posts what its engine gives to POST /v1/hosts/HOST/logs/SESSION?sequence=N, piece by piece, and
 * schedd passes each piece on. A piece is whole lines of JSON:
 *
 *	{"type":"text","stream":"stdout","time":"…","text":"…\n"}   what the container wrote: mostly
 *	                                  a line with its end; time only where it was asked for
 *	{"type":"idle"}                   nothing new; sent every LOG_IDLE_MS at least
 *	{"type":"end","code":"…","message":"…"}   the last line; "complete" where nothing went wrong
 *
 * The last line comes from schedd. The host posts what it says of the end with ?last=1, as
 * {"code","message"}. The answer to a piece is {"full":BOOL}: while it is true, only empty pieces
 * may follow, which are answered once there is room, or after a while. So each piece is answered
 * soon, no side keeps more than a piece or two, and a slow reader slows down the reading of the
 * engine. A session is known by its id alone: nothing of it is kept, and who is gone is told 410.
 */
#pragma once

#include <event2/buffer.h>

#include "lib/error.h"
#include "lib/json.h"
#include "proto/environment.h"

#define LOG_SESSION_ID_MAX 32
#define LOG_CODE_MAX 32
#define LOG_TAIL_ALL UINT64_MAX
#define LOG_TAIL_MAX 1000000000
#define LOG_TIME_MAX 64
#define LOG_TEXT_MAX ((size_t)16 << 10)  /* bytes of one text: Docker's own limit for a line */
#define LOG_LINE_MAX ((size_t)128 << 10) /* of one line of JSON, in which each byte may be six */
#define LOG_IDLE_MS 5000

/* What is asked of a host. Plain data. */
struct log_session {
	char id[LOG_SESSION_ID_MAX + 1];
	char environment[ENVIRONMENT_ID_MAX + 1]; /* "": the session is not wanted any more */
	bool follow, timestamps;
	uint64_t tail; /* only so many of the newest lines, and what follows; LOG_TAIL_ALL */
	int64_t since; /* Unix seconds; 0: from the beginning */
};

/* A new reference; NULL: out of memory. */
json_t *log_session_encode(const struct log_session *session);
int log_session_decode(json_t *json, struct log_session *ret, struct error *err) _must_check_;

/* How a log ended, as the host posts it. */
struct log_end {
	char code[LOG_CODE_MAX + 1];
	char message[ERROR_MESSAGE_MAX];
};

json_t *log_end_encode(const struct log_end *end);
int log_end_decode(json_t *json, struct log_end *ret, struct error *err) _must_check_;

enum log_stream {
	LOG_STDOUT,
	LOG_STDERR,
	LOG_STREAM_MAX,
};

const char *log_stream_name(enum log_stream stream);

/* Append one line to out. 0 or -ENOMEM. Text is any bytes up to LOG_TEXT_MAX: what is no UTF-8, and
 * zero, become U+FFFD. time may be "". */
int log_write_text(struct evbuffer *out, enum log_stream stream, const char *time, const char *text,
		   size_t length) _must_check_;
int log_write_idle(struct evbuffer *out) _must_check_;
int log_write_end(struct evbuffer *out, const char *code, const char *message) _must_check_;

/* A line that was read. Strings are borrowed from the JSON. */
struct log_line {
	enum log_line_type {
		LOG_LINE_TEXT,
		LOG_LINE_IDLE,
		LOG_LINE_END,
	} type;
	enum log_stream stream;
	const char *time; /* "" where there is none */
	const char *text;
	const char *code, *message; /* of an end */
};

/* Reads lines from pieces of any size. on_line is called for each; not 0 ends the reading. */
struct log_reader;

int log_reader_new(struct log_reader **ret,
		   int (*on_line)(void *userdata, const struct log_line *line, json_t *json),
		   void *userdata) _must_check_;
void log_reader_free(struct log_reader *reader); /* NULL is fine */
/* -EINVAL for what is no line of a log, -EMSGSIZE over LOG_LINE_MAX, -ENOMEM, on_line's. */
int log_reader_feed(struct log_reader *reader, const char *data, size_t length, struct error *err)
	_must_check_;

DEFINE_CLEANUP(struct log_reader *, log_reader_free, cleanup_log_reader)
