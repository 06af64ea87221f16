/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Docker's log stream taken apart: what Docker writes, cut anywhere, and what it never writes. */
#include <criterion/criterion.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "agentd/docker_frames.h"

#define TIME "2027-01-01T00:00:00.000000001Z"

struct texts {
	struct docker_frames frames;
	struct error err;
	char all[4096]; /* "O[TIME]text|" or "E…" for each */
	size_t longest, bytes;
	int answer;
};

static int on_text(void *userdata, enum log_stream stream, const char *time, const char *text,
		   size_t length)
{
	struct texts *texts = userdata;
	size_t used = strlen(texts->all);

	texts->longest = MAX(texts->longest, length);
	texts->bytes += length;
	if (length < 64)
		(void)snprintf(texts->all + used, sizeof(texts->all) - used, "%c[%s]%.*s|",
			       stream == LOG_STDERR ? 'E' : 'O', time, (int)length, text);
	return texts->answer;
}

static struct texts *make(bool terminal, bool timestamps)
{
	struct texts *texts = calloc(1, sizeof(*texts));

	cr_assert_not_null(texts);
	texts->frames.terminal = terminal;
	texts->frames.timestamps = timestamps;
	texts->frames.on_text = on_text;
	texts->frames.userdata = texts;
	return texts;
}

static size_t frame(char *at, int stream, const char *text, size_t length)
{
	const char head[8] = {
		(char)stream,        0,           0, 0, (char)(length >> 24), (char)(length >> 16),
		(char)(length >> 8), (char)length
	};

	memcpy(at, head, sizeof(head));
	memcpy(at + sizeof(head), text, length);
	return sizeof(head) + length;
}

static size_t frame_of(char *at, int stream, const char *text)
{
	return frame(at, stream, text, strlen(text));
}

static int feed(struct texts *texts, const char *data, size_t length)
{
	return docker_frames_feed(&texts->frames, data, length, &texts->err);
}

Test(docker_frames, both_streams_with_their_times_cut_anywhere)
{
	char data[512];
	size_t length = 0;

	length += frame_of(data + length, 1, TIME " one\n");
	length += frame_of(data + length, 2, TIME " two words\n");
	length += frame_of(data + length, 1, "");
	length += frame_of(data + length, 1, "notime\n");
	for (size_t piece = 1; piece <= length; piece++) {
		struct texts *texts = make(false, true);

		for (size_t at = 0; at < length; at += piece)
			cr_assert_eq(feed(texts, data + at, MIN(piece, length - at)), 0);
		cr_assert_eq(docker_frames_finish(&texts->frames, &texts->err), 0);
		cr_assert_str_eq(texts->all, "O[" TIME "]one\n|E[" TIME "]two words\n|O[]notime\n|",
				 "in pieces of %zu: %s", piece, texts->all);
		free(texts);
	}
}

Test(docker_frames, without_timestamps_the_first_word_is_text)
{
	struct texts *texts = make(false, false);
	char data[64];

	cr_assert_eq(feed(texts, data, frame_of(data, 1, TIME " one\n")), 0);
	cr_assert_str_eq(texts->all, "O[]" TIME " one\n|");
	free(texts);
}

Test(docker_frames, a_terminal_has_no_heads_and_no_character_is_cut)
{
	struct texts *texts = make(true, true);

	cr_assert_eq(feed(texts, "\1\0\0\0a\xe2\x82", 7), 0);
	cr_assert_eq(texts->bytes, 5);
	cr_assert_eq(feed(texts, "\xac\n", 2), 0);
	cr_assert_eq(texts->bytes, 9);
	cr_assert_eq(feed(texts, "\xe2", 1), 0);
	cr_assert_eq(texts->bytes, 9);
	cr_assert_eq(docker_frames_finish(&texts->frames, &texts->err), 0);
	cr_assert_eq(texts->bytes, 10);
	free(texts);
}

/* The maximum: a frame that is longer than a text comes in several, of whole characters. */
Test(docker_frames, a_frame_of_any_length)
{
	const size_t wanted = 3 * LOG_TEXT_MAX + 1;
	struct texts *texts = make(false, true);
	char *text = malloc(wanted + 64), *data = malloc(wanted + 64);
	size_t length;

	cr_assert(text && data);
	length = (size_t)snprintf(text, 64, TIME " x");
	while (length < wanted)
		length += (size_t)snprintf(text + length, 64, "€");
	cr_assert_eq(feed(texts, data, frame(data, 2, text, length)), 0);
	cr_assert_eq(docker_frames_finish(&texts->frames, &texts->err), 0);
	cr_assert_eq(texts->bytes, length - strlen(TIME) - 1);
	cr_assert_leq(texts->longest, LOG_TEXT_MAX);
	cr_assert_geq(texts->longest, LOG_TEXT_MAX - 3);
	free(text);
	free(data);
	free(texts);
}

Test(docker_frames, what_is_no_frame)
{
	struct texts *texts = make(false, false);

	cr_assert_eq(feed(texts, "HTTP/1.1", 8), -EPROTO);
	cr_assert_str_eq(texts->err.message, "Docker's log has a frame that begins with 48545450");
	free(texts);
	texts = make(false, false);
	cr_assert_eq(feed(texts, "\4\0\0\0\0\0\0\1", 8), -EPROTO);
	free(texts);
}

Test(docker_frames, an_end_in_the_middle)
{
	char data[64];
	size_t length = frame_of(data, 1, "one\n");

	for (size_t cut = 1; cut < length; cut++) {
		struct texts *texts = make(false, false);

		cr_assert_eq(feed(texts, data, cut), 0);
		cr_assert_eq(docker_frames_finish(&texts->frames, &texts->err), -EPROTO, "at %zu",
			     cut);
		free(texts);
	}
}

Test(docker_frames, docker_says_what_is_wrong)
{
	struct texts *texts = make(false, false);
	char data[128];
	size_t length = frame_of(data, 1, "one\n");

	length += frame_of(data + length, 3, "the file is gone");
	cr_assert_eq(feed(texts, data, length), -EIO);
	cr_assert_str_eq(texts->all, "O[]one\n|");
	cr_assert_str_eq(texts->err.message, "Docker cannot read the log: the file is gone");
	free(texts);
}

Test(docker_frames, the_reader_can_end_it)
{
	struct texts *texts = make(false, false);
	char data[64];
	size_t length = frame_of(data, 1, "one\n");

	texts->answer = -ENOMEM;
	length += frame_of(data + length, 1, "two\n");
	cr_assert_eq(feed(texts, data, length), -ENOMEM);
	cr_assert_str_eq(texts->all, "O[]one\n|");
	free(texts);
}
