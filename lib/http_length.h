/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The length that a request's header gives for its body, read from the bytes as they come: evhttp
 * shows a header only when the body is complete, and a body that is too long is to be refused
 * before. Where the header says nothing that can be read, nothing is known, and evhttp decides.
 */
#pragma once

#include "lib/util.h"

/* Of a line only its beginning is looked at. */
#define HTTP_LENGTH_LINE_MAX 64

struct http_length {
	char line[HTTP_LENGTH_LINE_MAX]; /* the beginning of the line that is not complete */
	size_t n;                        /* bytes of it so far, kept or not */
	bool done;                       /* the header has ended, or the length was found */
	bool known;
	uint64_t length; /* of the first Content-Length; more than 64 bits are UINT64_MAX */
};

/* Takes the next bytes of a request from its first on; scan is zeroed at first. What comes after
 * the header is ignored. */
void http_length_feed(struct http_length *scan, const char *data, size_t size);
