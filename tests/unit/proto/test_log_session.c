/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Sessions and lines of logs: written and read again, any bytes, the limits, and what is refused.
 */
#include "proto/log_session.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "lib/utf8.h"

static const struct log_session session = { .id = "abc234",
					    .environment = "env-xyz",
					    .follow = true,
					    .timestamps = true,
					    .tail = 0,
					    .since = 1234567890 };

Test(log_session, comes_back_as_it_went)
{
	_cleanup_json_ json_t *json = log_session_encode(&session);
	struct log_session read = { 0 };
	struct error err = ERROR_INIT;

	cr_assert_eq(log_session_decode(json, &read, &err), 0, "%s", err.message);
	cr_assert_str_eq(read.id, session.id);
	cr_assert_str_eq(read.environment, session.environment);
	cr_assert(read.follow && read.timestamps);
	cr_assert_eq(read.tail, 0);
	cr_assert_eq(read.since, session.since);
}

Test(log_session, the_end_of_one_names_it_alone)
{
	struct log_session end = { .id = "abc234", .tail = LOG_TAIL_ALL }, read = session;
	_cleanup_json_ json_t *json = log_session_encode(&end);

	cr_assert_eq(json_object_size(json), 1);
	cr_assert_eq(log_session_decode(json, &read, NULL), 0);
	cr_assert_str_eq(read.environment, "");
	cr_assert_eq(read.tail, LOG_TAIL_ALL);
}

Test(log_session, what_is_refused)
{
	static const struct {
		const char *json, *message;
	} cases[] = {
		{ "{}", "id" },
		{ "{\"id\":\"\"}", "id" },
		{ "{\"id\":\"../a\"}", "id" },
		{ "{\"id\":\"abcdefghijklmnopqrstuvwxyz2345678\"}", "id" },
		{ "{\"id\":\"a\",\"environment\":\"a/b\"}", "environment" },
		{ "{\"id\":\"a\",\"environment\":\"\"}", "environment" },
		{ "{\"id\":\"a\",\"tail\":-1}", "tail" },
		{ "{\"id\":\"a\",\"tail\":1000000001}", "tail" },
		{ "{\"id\":\"a\",\"since\":\"now\"}", "since" },
		{ "{\"id\":\"a\",\"follow\":1}", "follow" },
		{ "{\"id\":\"a\",\"colour\":1}", "colour" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		_cleanup_json_ json_t *json = NULL;
		struct error err = ERROR_INIT;
		struct log_session read;

		cr_assert_eq(json_decode(cases[i].json, strlen(cases[i].json), &json, &err), 0);
		cr_assert_lt(log_session_decode(json, &read, &err), 0, "%s", cases[i].json);
		cr_assert_str_eq(err.field, cases[i].message, "%s", cases[i].json);
	}
}

/* ---- lines ---- */

struct lines {
	unsigned n;
	struct log_line last;
	char text[2 * LOG_LINE_MAX], message[64];
	int answer;
};

static int on_line(void *userdata, const struct log_line *line, json_t *json)
{
	struct lines *lines = userdata;

	lines->n++;
	lines->last = *line;
	(void)snprintf(lines->text, sizeof(lines->text), "%s", line->text);
	(void)snprintf(lines->message, sizeof(lines->message), "%s:%s", line->code, line->message);
	return lines->answer;
}

static struct lines lines;
static struct log_reader *reader;
static struct evbuffer *out;
static struct error err;

static void start(void)
{
	out = evbuffer_new();
	cr_assert(out && log_reader_new(&reader, on_line, &lines) == 0);
}

static void stop(void)
{
	evbuffer_free(out);
	log_reader_free(reader);
}

/* All that was written, in pieces of this size. */
static int read_out(size_t piece)
{
	size_t length = evbuffer_get_length(out);
	const char *data = (const char *)evbuffer_pullup(out, -1);
	int r = 0;

	for (size_t at = 0; at < length && r == 0; at += piece)
		r = log_reader_feed(reader, data + at, MIN(piece, length - at), &err);
	evbuffer_drain(out, length);
	return r;
}

TestSuite(log_line, .init = start, .fini = stop);

Test(log_line, what_is_no_utf8_is_replaced_and_the_rest_stays)
{
	static const struct {
		const char *bytes;
		size_t length;
		const char *text;
	} cases[] = {
		{ "plain \x1b[31m\t\n", 13, "plain \x1b[31m\t\n" },
		{ "\xff\xc3\xa4\n", 4, "\ufffdä\n" },
		{ "a\0b", 3, "a\ufffdb" },
		{ "\xc3", 1, "\ufffd" },
		{ "\xc0\xaf", 2, "\ufffd\ufffd" },                     /* overlong */
		{ "\xed\xa0\x80", 3, "\ufffd\ufffd\ufffd" },           /* a surrogate */
		{ "\xf4\x90\x80\x80", 4, "\ufffd\ufffd\ufffd\ufffd" }, /* beyond the last */
		{ "\xf0\x9f\x98\x80\xe2\x82\xac", 7, "\U0001f600€" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		cr_assert_eq(log_write_text(out, LOG_STDERR, "", cases[i].bytes, cases[i].length),
			     0);
		cr_assert_eq(read_out(1), 0, "%s", err.message);
		cr_assert_eq(lines.last.type, LOG_LINE_TEXT);
		cr_assert_eq(lines.last.stream, LOG_STDERR);
		cr_assert_str_eq(lines.text, cases[i].text, "case %zu", i);
	}
}

Test(log_line, the_longest_text_fits_into_a_line)
{
	char *text = malloc(LOG_TEXT_MAX);

	cr_assert_not_null(text);
	memset(text, 1, LOG_TEXT_MAX); /* six bytes each */
	cr_assert_eq(log_write_text(out, LOG_STDOUT, "2027-01-01T00:00:00Z", text, LOG_TEXT_MAX),
		     0);
	cr_assert_leq(evbuffer_get_length(out), LOG_LINE_MAX);
	cr_assert_eq(read_out(4096), 0, "%s", err.message);
	cr_assert_eq(strlen(lines.text), LOG_TEXT_MAX);
	free(text);
}

Test(log_line, a_longer_line_is_refused)
{
	char *text = malloc(LOG_LINE_MAX + 1);

	cr_assert_not_null(text);
	memset(text, ' ', LOG_LINE_MAX + 1);
	cr_assert_eq(log_reader_feed(reader, text, LOG_LINE_MAX, &err), 0);
	cr_assert_eq(log_reader_feed(reader, " ", 1, &err), -EMSGSIZE);
	free(text);
}

Test(log_line, idle_and_end)
{
	cr_assert_eq(log_write_idle(out), 0);
	cr_assert_eq(read_out(3), 0);
	cr_assert_eq(lines.last.type, LOG_LINE_IDLE);
	cr_assert_eq(log_write_end(out, "complete", "that is all"), 0);
	cr_assert_eq(read_out(5), 0);
	cr_assert_eq(lines.last.type, LOG_LINE_END);
	cr_assert_str_eq(lines.message, "complete:that is all");
	cr_assert_eq(lines.n, 2);
}

Test(log_line, what_is_refused)
{
	static const char *const cases[] = {
		"\n",
		"[]\n",
		"{\"type\":\"what\"}\n",
		"{\"type\":\"text\",\"stream\":\"stdin\",\"text\":\"\"}\n",
		"{\"type\":\"text\",\"stream\":\"stdout\"}\n",
		"{\"type\":\"end\",\"code\":\"x\"}\n",
		"{\"type\":\"idle\",\"more\":1}\n",
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
		cr_assert_eq(log_reader_feed(reader, cases[i], strlen(cases[i]), &err), -EINVAL,
			     "%s", cases[i]);
	cr_assert_eq(lines.n, 0);
}

Test(log_line, the_reader_can_end_it)
{
	lines.answer = -EIO;
	cr_assert_eq(log_write_idle(out), 0);
	cr_assert_eq(log_write_idle(out), 0);
	cr_assert_eq(read_out(4096), -EIO);
	cr_assert_eq(lines.n, 1);
}

Test(log_line, a_text_is_cut_between_characters)
{
	static const struct {
		const char *text;
		size_t whole;
	} cases[] = {
		{ "", 0 },
		{ "abc", 3 },
		{ "ab\xc3", 2 },
		{ "ab\xe2\x82", 2 },
		{ "a€", 4 },
		{ "\xf0\x9f\x98", 0 },
		{ "\x80\x80\x80\x80", 4 },
		{ "a\xff", 2 },
		{ "\xc3\xa4", 2 },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
		cr_assert_eq(utf8_whole_length(cases[i].text, strlen(cases[i].text)),
			     cases[i].whole, "case %zu", i);
}
