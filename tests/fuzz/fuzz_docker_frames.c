/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Docker's log stream: in one piece and in pieces of a size that the first byte gives, the same
 * texts come out, none is too long, and with a terminal not a byte is lost. */
#include "agentd/docker_frames.h"
#include "tests/fuzz/fuzz.h"

struct seen {
	uint64_t hash[LOG_STREAM_MAX];
	size_t bytes;
	int r;
};

static int on_text(void *userdata, enum log_stream stream, const char *time, const char *text,
		   size_t length)
{
	struct seen *seen = userdata;

	fuzz_require(length > 0 && length <= LOG_TEXT_MAX);
	fuzz_require(stream >= 0 && stream < LOG_STREAM_MAX);
	fuzz_require(strlen(time) <= LOG_TIME_MAX);
	for (size_t i = 0; i < length; i++)
		seen->hash[stream] = seen->hash[stream] * 31 + (unsigned char)text[i];
	seen->bytes += length;
	return 0;
}

static void feed(const unsigned char *data, size_t size, size_t piece, unsigned char flags,
		 struct seen *seen)
{
	struct docker_frames *frames = calloc(1, sizeof(*frames));
	struct error err = ERROR_INIT;

	fuzz_require(frames != NULL);
	frames->terminal = flags & 1;
	frames->timestamps = flags & 2;
	frames->on_text = on_text;
	frames->userdata = seen;
	for (size_t at = 0; at < size && seen->r == 0; at += piece)
		seen->r = docker_frames_feed(frames, (const char *)data + at, MIN(piece, size - at),
					     &err);
	if (seen->r == 0)
		seen->r = docker_frames_finish(frames, &err);
	if (seen->r < 0)
		fuzz_refused(seen->r, &err);
	free(frames);
}

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size)
{
	struct seen whole = { 0 }, pieces = { 0 };

	if (size < 3)
		return 0;
	feed(data + 2, size - 2, size - 2, data[1], &whole);
	feed(data + 2, size - 2, (size_t)data[0] + 1, data[1], &pieces);
	fuzz_require(memcmp(&whole, &pieces, sizeof(whole)) == 0);
	fuzz_require(!(data[1] & 1) || (whole.r == 0 && whole.bytes == size - 2));
	return 0;
}
