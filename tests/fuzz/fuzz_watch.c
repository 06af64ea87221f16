/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A watch stream: in one piece and in pieces of a size that the first byte gives, the decoder says
 * the same, and what it delivers never goes back. */
#include "proto/watch.h"
#include "tests/fuzz/fuzz.h"

struct seen {
	uint64_t epoch, revision;
	unsigned snapshots, changes, bookmarks, logs;
	size_t items;
};

static void note(struct seen *seen, uint64_t epoch, uint64_t revision)
{
	fuzz_require(epoch >= seen->epoch && epoch > 0);
	fuzz_require(epoch > seen->epoch || revision >= seen->revision);
	seen->epoch = epoch;
	seen->revision = revision;
}

static void on_snapshot(void *userdata, uint64_t epoch, uint64_t revision, json_t *items)
{
	struct seen *seen = userdata;

	note(seen, epoch, revision);
	seen->snapshots++;
	seen->items += json_array_size(items);
}

static void on_change(void *userdata, uint64_t epoch, uint64_t revision, json_t *put,
		      json_t *deleted)
{
	struct seen *seen = userdata;

	fuzz_require(seen->snapshots > 0);
	note(seen, epoch, revision);
	seen->changes++;
	seen->items += json_array_size(put) + json_array_size(deleted);
}

static void on_bookmark(void *userdata, uint64_t epoch, uint64_t revision)
{
	struct seen *seen = userdata;

	fuzz_require(seen->snapshots > 0);
	note(seen, epoch, revision);
	seen->bookmarks++;
}

static void on_logs(void *userdata, uint64_t epoch, json_t *session)
{
	struct seen *seen = userdata;

	fuzz_require(seen->snapshots > 0);
	fuzz_require(json_is_object(session));
	note(seen, epoch, seen->revision);
	seen->logs++;
}

static int feed(const char *data, size_t size, size_t piece, struct seen *seen)
{
	static const struct watch_events events = { on_snapshot, on_change, on_bookmark, on_logs };
	_cleanup_(cleanup_watch_decoder) struct watch_decoder *decoder = NULL;
	struct error err = ERROR_INIT;
	int r = 0;

	fuzz_require(watch_decoder_new(&decoder, &events, seen, 2) == 0);
	for (size_t at = 0; at < size && r == 0; at += piece)
		r = watch_decoder_feed(decoder, data + at, MIN(piece, size - at), &err);
	if (r < 0)
		fuzz_refused(r, &err);
	return r;
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
	free(text);
	return 0;
}
