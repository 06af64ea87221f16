/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The items of a long JSON array one by one, so that memory is needed for one of them and not for
 * all. It takes the common form of a text only: whatever else stands there is left to json_decode,
 * whose error says what is wrong with it. How deep an item may be is jansson's limit, not
 * JSON_DEPTH_MAX.
 */
#pragma once

#include "lib/json.h"

struct json_items {
	const char *text; /* borrowed */
	size_t length, at;
	size_t n;     /* items that were handed out */
	bool wrapped; /* in an object */
};

/* Begins with an array, or with an object that has it as its first field where field is not NULL.
 * False: the text is neither. */
bool json_items_begin(struct json_items *items, const char *text, size_t length, const char *field);

/* 1: the next item, which the caller owns. 0: there are no more, and nothing is behind them.
 * -EBADMSG: not of the common form, or not JSON at all; -ENOMEM. */
int json_items_next(struct json_items *items, json_t **ret) _must_check_;
