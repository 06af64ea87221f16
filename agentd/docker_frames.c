/* SPDX-License-Identifier: GPL-2.0-or-later */
/* One text at a time in a buffer of fixed size: what a frame has more of goes on in the next text.
 */
#include "agentd/docker_frames.h"

#include <errno.h>
#include <string.h>

#include "lib/utf8.h"

/* What stands in the first byte of a head. */
enum {
	FRAME_STDIN, /* written by none of ours; shown as output */
	FRAME_STDOUT,
	FRAME_STDERR,
	FRAME_ERROR, /* Docker's own, about the log */
	FRAME_MAX,
};

static int fail(const struct docker_frames *frames, struct error *err)
{
	size_t length = MIN(frames->length, (size_t)200);

	return error_set(err, -EIO, "engine_error", NULL, "Docker cannot read the log: %.*s",
			 (int)length, frames->text);
}

/* The time in front of a frame's first text, which is taken away from it. */
static void take_time(struct docker_frames *frames)
{
	const char *space = memchr(frames->text, ' ', MIN(frames->length, (size_t)LOG_TIME_MAX));
	size_t length = space ? (size_t)(space - frames->text) : 0;

	frames->begun = true;
	frames->time[0] = '\0';
	if (!frames->timestamps || frames->terminal || !space)
		return;
	memcpy(frames->time, frames->text, length);
	frames->time[length] = '\0';
	frames->length -= length + 1;
	memmove(frames->text, space + 1, frames->length);
}

/* Gives what there is; keep: but for a character whose end is still to come. */
static int give(struct docker_frames *frames, bool keep, struct error *err)
{
	size_t whole;
	int r = 0;

	if (!frames->terminal && frames->head[0] == FRAME_ERROR)
		return fail(frames, err);
	if (!frames->begun)
		take_time(frames);
	whole = MIN(frames->length, LOG_TEXT_MAX);
	if (keep || whole < frames->length)
		whole = utf8_whole_length(frames->text, whole);
	if (whole > 0)
		r = frames->on_text(frames->userdata,
				    frames->head[0] == FRAME_STDERR ? LOG_STDERR : LOG_STDOUT,
				    frames->time, frames->text, whole);
	frames->length -= whole;
	memmove(frames->text, frames->text + whole, frames->length);
	return r;
}

/* All of what is there, which can be a little more than one text. */
static int give_all(struct docker_frames *frames, struct error *err)
{
	int r = 0;

	while (r == 0 && frames->length > 0)
		r = give(frames, false, err);
	return r;
}

/* Takes bytes of text; returns how many, and an error through *ret. */
static size_t take_text(struct docker_frames *frames, const char *data, size_t length, int *ret,
			struct error *err)
{
	size_t n = MIN(length, sizeof(frames->text) - frames->length);

	memcpy(frames->text + frames->length, data, n);
	frames->length += n;
	*ret = frames->length == sizeof(frames->text) ? give(frames, true, err) : 0;
	return n;
}

static int take_head(struct docker_frames *frames, struct error *err)
{
	const unsigned char *head = frames->head;

	if (head[0] >= FRAME_MAX || head[1] || head[2] || head[3])
		return error_set(err, -EPROTO, "engine_error", NULL,
				 "Docker's log has a frame that begins with %02x%02x%02x%02x",
				 head[0], head[1], head[2], head[3]);
	frames->left = (uint32_t)head[4] << 24 | (uint32_t)head[5] << 16 | (uint32_t)head[6] << 8 |
		       head[7];
	frames->begun = false;
	if (frames->left == 0)
		frames->head_length = 0;
	return 0;
}

static size_t feed_frame(struct docker_frames *frames, const char *data, size_t length, int *ret,
			 struct error *err)
{
	size_t n;

	if (frames->head_length < sizeof(frames->head)) {
		n = MIN(length, sizeof(frames->head) - frames->head_length);
		memcpy(frames->head + frames->head_length, data, n);
		frames->head_length += n;
		*ret = frames->head_length == sizeof(frames->head) ? take_head(frames, err) : 0;
		return n;
	}
	n = take_text(frames, data, MIN(length, frames->left), ret, err);
	frames->left -= (uint32_t)n;
	if (*ret == 0 && frames->left == 0) {
		frames->head_length = 0;
		*ret = give_all(frames, err);
	}
	return n;
}

int docker_frames_feed(struct docker_frames *frames, const char *data, size_t length,
		       struct error *err)
{
	int r = 0;

	while (length > 0 && r == 0) {
		size_t n = frames->terminal ? take_text(frames, data, length, &r, err)
					    : feed_frame(frames, data, length, &r, err);

		data += n;
		length -= n;
	}
	if (r == 0 && frames->terminal && frames->length > 0)
		r = give(frames, true, err);
	return r;
}

int docker_frames_finish(struct docker_frames *frames, struct error *err)
{
	int r = 0;

	if (!frames->terminal && frames->head_length > 0)
		r = error_set(err, -EPROTO, "engine_error", NULL,
			      "Docker's log ended in the middle of a line");
	else
		r = give_all(frames, err);
	return r;
}
