/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The watch stream: what is written is read back in pieces of any size; what is out of order is
 * not. */
#include <criterion/criterion.h>
#include <errno.h>
#include <event2/buffer.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "proto/watch.h"

static char seen[4096];

static void note(const char *what, uint64_t epoch, uint64_t revision, size_t a, size_t b)
{
	size_t used = strlen(seen);

	snprintf(seen + used, sizeof(seen) - used, "%s %" PRIu64 "/%" PRIu64 " %zu %zu;", what,
		 epoch, revision, a, b);
}

static void on_snapshot(void *userdata, uint64_t epoch, uint64_t revision, json_t *items)
{
	note("snapshot", epoch, revision, json_array_size(items), 0);
}

static void on_change(void *userdata, uint64_t epoch, uint64_t revision, json_t *put,
		      json_t *deleted)
{
	note("change", epoch, revision, json_array_size(put), json_array_size(deleted));
}

static void on_bookmark(void *userdata, uint64_t epoch, uint64_t revision)
{
	note("bookmark", epoch, revision, 0, 0);
}

static const struct watch_events events = { on_snapshot, on_change, on_bookmark };

static struct watch_decoder *make(uint64_t min_epoch)
{
	struct watch_decoder *decoder;

	seen[0] = '\0';
	cr_assert_eq(watch_decoder_new(&decoder, &events, NULL, min_epoch), 0);
	return decoder;
}

static void write_stream(struct evbuffer *out)
{
	json_t *item = json_pack("{s:s}", "name", "ä\n"), *items = json_pack("[O, O]", item, item);

	cr_assert_eq(watch_write_snapshot(out, 3, 10), 0);
	cr_assert_eq(watch_write_item(out, item), 0);
	cr_assert_eq(watch_write_item(out, item), 0);
	cr_assert_eq(watch_write_synced(out, 3, 10), 0);
	cr_assert_eq(watch_write_change(out, 3, 11, items, NULL), 0);
	cr_assert_eq(watch_write_change(out, 3, 12, NULL, items), 0);
	cr_assert_eq(watch_write_bookmark(out, 3, 20), 0);
	json_decref(item);
	json_decref(items);
}

Test(watch, read_back_in_pieces_of_any_size)
{
	struct evbuffer *out = evbuffer_new();
	const char *text;
	size_t length;

	write_stream(out);
	length = evbuffer_get_length(out);
	text = (const char *)evbuffer_pullup(out, -1);
	for (size_t piece = 1; piece <= length; piece++) {
		struct watch_decoder *decoder = make(0);

		for (size_t at = 0; at < length; at += piece)
			cr_assert_eq(watch_decoder_feed(decoder, text + at, MIN(piece, length - at),
							NULL),
				     0);
		cr_expect_str_eq(seen,
				 "snapshot 3/10 2 0;change 3/11 2 0;change 3/12 0 2;"
				 "bookmark 3/20 0 0;",
				 "pieces of %zu", piece);
		watch_decoder_free(decoder);
	}
	evbuffer_free(out);
}

#define SNAPSHOT "{\"type\":\"snapshot\",\"epoch\":3,\"revision\":10}\n"
#define SYNCED "{\"type\":\"synced\",\"epoch\":3,\"revision\":10}\n"
#define CHANGE "{\"type\":\"change\",\"epoch\":3,\"revision\":11,\"put\":[]}\n"

Test(watch, the_last_line_says_why)
{
	struct watch_decoder *decoder = make(0);
	struct evbuffer *out = evbuffer_new();
	struct error err = ERROR_INIT;

	write_stream(out);
	cr_assert_eq(watch_write_end(out, "too_slow", "start over"), 0);
	cr_assert_eq(watch_decoder_feed(decoder, (const char *)evbuffer_pullup(out, -1),
					evbuffer_get_length(out), &err),
		     -ECONNRESET);
	cr_assert_str_eq(err.message, "start over");
	cr_assert(strstr(seen, "bookmark 3/20")); /* what came before was delivered */
	watch_decoder_free(decoder);
	evbuffer_free(out);
}

Test(watch, what_is_wrong_ends_the_stream)
{
	const struct {
		const char *text;
		int error;
	} samples[] = {
		{ "nonsense\n", -EINVAL },
		{ "{\"type\":\"other\"}\n", -EINVAL },
		{ "{}\n", -EINVAL },
		{ CHANGE, -EINVAL },
		{ SNAPSHOT SYNCED "{\"type\":\"end\",\"code\":\"too_slow\",\"message\":\"x\"}\n",
		  -ECONNRESET },
		{ "{\"type\":\"end\",\"code\":\"too_slow\"}\n", -EINVAL },
		{ SYNCED, -EINVAL },
		{ "{\"type\":\"item\",\"item\":{}}\n", -EINVAL },
		{ "{\"type\":\"bookmark\",\"epoch\":3,\"revision\":10}\n", -EINVAL },
		{ SNAPSHOT SNAPSHOT, -EINVAL },
		{ SNAPSHOT CHANGE, -EINVAL },
		{ SNAPSHOT "{\"type\":\"item\",\"item\":7}\n", -EINVAL },
		{ SNAPSHOT SYNCED "{\"type\":\"change\",\"epoch\":3,\"revision\":9}\n", -EINVAL },
		{ SNAPSHOT SYNCED "{\"type\":\"change\",\"epoch\":2,\"revision\":11}\n", -ESTALE },
		{ SNAPSHOT SYNCED "{\"type\":\"change\",\"epoch\":3,\"revision\":11,\"put\":{}}\n",
		  -EINVAL },
		{ "{\"type\":\"snapshot\",\"epoch\":1,\"revision\":10}\n", -ESTALE },
		{ "{\"type\":\"snapshot\",\"epoch\":0,\"revision\":10}\n", -ERANGE },
		{ "{\"type\":\"snapshot\",\"epoch\":3}\n", -EINVAL },
	};

	for (size_t i = 0; i < ARRAY_SIZE(samples); i++) {
		struct watch_decoder *decoder = make(2);
		struct error err = ERROR_INIT;

		cr_expect_eq(
			watch_decoder_feed(decoder, samples[i].text, strlen(samples[i].text), &err),
			samples[i].error, "%s: %s", samples[i].text, err.message);
		cr_expect(*err.message, "%s", samples[i].text);
		watch_decoder_free(decoder);
	}
}

/* What came before the bad line stays delivered. */
Test(watch, the_state_before_the_bad_line_stays)
{
	struct watch_decoder *decoder = make(0);
	const char *text = SNAPSHOT SYNCED CHANGE "bad\n" CHANGE;

	cr_expect_eq(watch_decoder_feed(decoder, text, strlen(text), NULL), -EINVAL);
	cr_expect_str_eq(seen, "snapshot 3/10 0 0;change 3/11 0 0;");
	watch_decoder_free(decoder);
}

Test(watch, a_line_has_a_limit)
{
	struct watch_decoder *decoder = make(0);
	size_t size = 1 << 20;
	char *piece = malloc(size);
	int r = 0;

	memset(piece, ' ', size);
	for (size_t sent = 0; sent <= WATCH_LINE_MAX && r == 0; sent += size)
		r = watch_decoder_feed(decoder, piece, size, NULL);
	cr_expect_eq(r, -EMSGSIZE);
	free(piece);
	watch_decoder_free(decoder);
}

Test(watch, a_change_over_the_limit_is_not_written)
{
	struct evbuffer *out = evbuffer_new();
	char *text = malloc(WATCH_LINE_MAX);
	json_t *put;

	memset(text, 'x', WATCH_LINE_MAX);
	put = json_pack("[s%]", text, WATCH_LINE_MAX);
	cr_assert(put);
	cr_expect_eq(watch_write_change(out, 1, 1, put, NULL), -E2BIG);
	cr_expect_eq(evbuffer_get_length(out), 0);
	json_decref(put);
	free(text);
	evbuffer_free(out);
}

/* Only a reader that asked to go on from somewhere takes a stream without a snapshot. */
Test(watch, a_stream_may_go_on_without_a_snapshot)
{
	static const struct watch_events resuming = { .on_snapshot = on_snapshot,
						      .on_change = on_change,
						      .on_bookmark = on_bookmark,
						      .may_resume = true };
	static const char lines[] =
		"{\"type\":\"change\",\"epoch\":3,\"revision\":7,\"put\":[{}]}\n"
		"{\"type\":\"bookmark\",\"epoch\":3,\"revision\":8}\n";
	struct watch_decoder *decoder = make(0);
	struct error err = ERROR_INIT;

	cr_expect_eq(watch_decoder_feed(decoder, lines, strlen(lines), &err), -EINVAL);
	watch_decoder_free(decoder);
	cr_assert_eq(watch_decoder_new(&decoder, &resuming, NULL, 0), 0);
	seen[0] = '\0';
	cr_expect_eq(watch_decoder_feed(decoder, lines, strlen(lines), NULL), 0);
	cr_expect_str_eq(seen, "change 3/7 1 0;bookmark 3/8 0 0;");
	watch_decoder_free(decoder);
	/* It begins with one where the server has it so. */
	{
		struct evbuffer *out = evbuffer_new();

		write_stream(out);
		cr_assert_eq(watch_decoder_new(&decoder, &resuming, NULL, 0), 0);
		cr_expect_eq(watch_decoder_feed(decoder, (const char *)evbuffer_pullup(out, -1),
						evbuffer_get_length(out), NULL),
			     0);
		watch_decoder_free(decoder);
		evbuffer_free(out);
	}
}
