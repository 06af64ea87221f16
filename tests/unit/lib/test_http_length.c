/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What a header says of the length of the body, whole and by the byte. */
#include <criterion/criterion.h>
#include <string.h>

#include "lib/http_length.h"

#define UNKNOWN UINT64_MAX - 1

static void expect(const char *request, uint64_t length)
{
	struct http_length whole = { .n = 0 }, bytes = { .n = 0 };

	http_length_feed(&whole, request, strlen(request));
	for (const char *c = request; *c; c++)
		http_length_feed(&bytes, c, 1);
	cr_expect(whole.done, "%s", request);
	cr_expect(bytes.done, "%s", request);
	cr_expect_eq(whole.known, length != UNKNOWN, "%s", request);
	cr_expect_eq(bytes.known, length != UNKNOWN, "%s", request);
	if (length != UNKNOWN)
		cr_expect(whole.length == length && bytes.length == length, "%s", request);
}

Test(http_length, is_found_in_a_header)
{
	expect("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 12\r\n\r\n", 12);
	expect("POST / HTTP/1.1\ncontent-LENGTH:0\n\n", 0);
	expect("POST / HTTP/1.1\r\nContent-Length: \t 7 \t\r\n\r\n", 7);
	expect("POST / HTTP/1.1\r\nContent-Length: 18446744073709551615\r\n\r\n", UINT64_MAX);
	expect("POST / HTTP/1.1\r\nContent-Length: 99999999999999999999\r\n\r\n", UINT64_MAX);
	expect("POST / HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n", 1);
}

Test(http_length, is_of_the_header_and_of_no_other_line)
{
	expect("POST / HTTP/1.1\r\nHost: x\r\n\r\nContent-Length: 12\r\n\r\n", UNKNOWN);
	expect("POST / HTTP/1.1\r\nX-Content-Length: 12\r\n\r\n", UNKNOWN);
	expect("POST / HTTP/1.1\r\nX: Content-Length: 12\r\n\r\n", UNKNOWN);
	expect("POST / HTTP/1.1\r\n Content-Length: 12\r\n\r\n", UNKNOWN);
	expect("POST / HTTP/1.1\r\nContent-Length : 12\r\n\r\n", UNKNOWN);
	expect("POST /?Content-Length:12 HTTP/1.1\r\n\r\n", UNKNOWN);
	expect("\r\nContent-Length: 12\r\n\r\n", UNKNOWN);
}

Test(http_length, that_is_no_number_is_not_known)
{
	expect("POST / HTTP/1.1\r\nContent-Length:\r\n\r\n", UNKNOWN);
	expect("POST / HTTP/1.1\r\nContent-Length: -1\r\n\r\n", UNKNOWN);
	expect("POST / HTTP/1.1\r\nContent-Length: many\r\n\r\n", UNKNOWN);
	expect("POST / HTTP/1.1\r\nContent-Length: 1, 2\r\n\r\n", UNKNOWN);
	expect("POST / HTTP/1.1\r\nContent-Length: 0x10\r\n\r\n", UNKNOWN);
	expect("POST / HTTP/1.1\r\nContent-Length: "
	       "00000000000000000000000000000000000000000000000000000000000012\r\n\r\n",
	       UNKNOWN);
}

Test(http_length, of_a_line_that_is_longer_than_what_is_kept)
{
	char request[400] = "POST /", rest[] = " HTTP/1.1\r\nContent-Length: 12\r\n\r\n";

	memset(request + strlen(request), 'a', HTTP_LENGTH_LINE_MAX - strlen(request));
	for (size_t i = 0; i < 3; i++) {
		size_t length = strlen(request);

		memcpy(request + length, rest, sizeof(rest));
		expect(request, 12);
		memcpy(request + length, "a", sizeof("a"));
	}
}

Test(http_length, is_not_known_before_its_line_is_complete)
{
	static const char begun[] = "POST / HTTP/1.1\r\nContent-Length: 12";
	struct http_length scan = { .n = 0 };

	http_length_feed(&scan, begun, strlen(begun));
	cr_expect_not(scan.done || scan.known);
	http_length_feed(&scan, "3\r", 2);
	cr_expect_not(scan.done || scan.known);
	http_length_feed(&scan, "\n", 1);
	cr_expect(scan.known);
	cr_expect_eq(scan.length, 123);
}
