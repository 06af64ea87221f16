/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The length in a request's header: read in one piece and in pieces of a size that the first byte
 * gives it is the same, and a length that is known stands in a line of its name. */
#include "lib/http_length.h"

#include "lib/util.h"
#include "tests/fuzz/fuzz.h"

static struct http_length feed(const char *text, size_t size, size_t piece)
{
	struct http_length scan = { .n = 0 };

	for (size_t at = 0; at < size; at += piece)
		http_length_feed(&scan, text + at, MIN(piece, size - at));
	return scan;
}

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size)
{
	struct http_length whole, pieces;
	char *text;

	if (size < 2)
		return 0;
	text = fuzz_text(data + 1, size - 1);
	whole = feed(text, size - 1, size - 1);
	pieces = feed(text, size - 1, (size_t)data[0] + 1);
	fuzz_require(whole.done == pieces.done && whole.known == pieces.known &&
		     whole.length == pieces.length && whole.n == pieces.n);
	fuzz_require(whole.done || !whole.known);
	if (whole.known)
		fuzz_require(memmem(text, size - 1, ":", 1) && memchr(text, '\n', size - 1));
	free(text);
	return 0;
}
