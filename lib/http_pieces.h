/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A large answer made piece by piece, the next while the one before waits for its client: two at
 * most are in memory, however large the answer, and the loop serves others in between.
 */
#pragma once

#include "lib/http_server.h"

struct http_source {
	/* Appends a piece to out. 1: more will follow, and this one is not empty. 0: it was the
	 * last. Below 0: the answer cannot be completed, and the connection is closed, so that no
	 * client takes what it has for all. */
	int (*next)(struct evbuffer *out, void *userdata);
	/* Once, when no piece will be asked for any more: all were sent, or the client has gone. */
	void (*release)(void *userdata);
};

/* So large should a piece be. */
#define HTTP_PIECE_BYTES ((size_t)256 << 10)

/* Answers 200 with what source says, which must be static. An answer of one piece has a
 * Content-Length, any other comes in chunks. A source that fails at its first piece is answered
 * with 500. */
void http_reply_pieces(struct http_request *request, const char *content_type,
		       const struct http_source *source, void *userdata);
