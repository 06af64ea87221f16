/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the fuzz targets share. A target hands bytes to a decoder and holds what it takes against a
 * rule: mostly that what was decoded, written and decoded again is the same.
 */
#pragma once

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/error.h"
#include "lib/json.h"

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size);

/* Ends the process, which the fuzzer keeps as a finding, where the rule does not hold. */
#define fuzz_require(rule)                                                         \
	do {                                                                       \
		if (!(rule)) {                                                     \
			fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #rule); \
			abort();                                                   \
		}                                                                  \
	} while (0)

/* An error that a person reads has a code and a sentence. */
static inline void fuzz_refused(int r, const struct error *err)
{
	fuzz_require(r < 0);
	fuzz_require(r == -ENOMEM || (err->code && err->message[0]));
	fuzz_require(strlen(err->field) < sizeof(err->field));
}

/* The input as a zero-terminated text of its own, so that the sanitizer sees its end. */
static inline char *fuzz_text(const unsigned char *data, size_t size)
{
	char *text = malloc(size + 1);

	fuzz_require(text);
	if (size > 0)
		memcpy(text, data, size);
	text[size] = '\0';
	return text;
}

/* The input as JSON; NULL where it is none, as a server answers before any decoder sees it. */
static inline json_t *fuzz_json(const unsigned char *data, size_t size)
{
	struct error err = ERROR_INIT;
	json_t *json;
	int r = json_decode((const char *)data, size, &json, &err);

	if (r == 0)
		return json;
	fuzz_refused(r, &err);
	return NULL;
}

/* Takes both over: they are the same text. */
static inline void fuzz_same(json_t *a, json_t *b)
{
	fuzz_require(a && b && json_equal(a, b));
	json_decref(a);
	json_decref(b);
}
