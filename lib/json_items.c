/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The items of a long JSON array one by one, so that memory is needed for one of them and not for
 * all.
 */
#include "lib/json_items.h"

#include <errno.h>
#include <string.h>

static void skip_space(struct json_items *items)
{
	while (items->at < items->length && memchr(" \t\r\n", items->text[items->at], 4))
		items->at++;
}

/* Moves behind the literal, where it comes next. */
static bool take_at(struct json_items *items, const char *literal)
{
	size_t length = strlen(literal);

	if (items->length - items->at < length ||
	    memcmp(items->text + items->at, literal, length) != 0)
		return false;
	items->at += length;
	return true;
}

/* The same behind any space. */
static bool take(struct json_items *items, const char *literal)
{
	skip_space(items);
	return take_at(items, literal);
}

bool json_items_begin(struct json_items *items, const char *text, size_t length, const char *field)
{
	*items = (struct json_items){ .text = text, .length = length, .wrapped = field };
	if (!field)
		return take(items, "[");
	return take(items, "{") && take(items, "\"") && take_at(items, field) &&
	       take_at(items, "\"") && take(items, ":") && take(items, "[");
}

static int end(struct json_items *items)
{
	if (items->wrapped && !take(items, "}"))
		return -EBADMSG;
	skip_space(items);
	return items->at == items->length ? 0 : -EBADMSG;
}

int json_items_next(struct json_items *items, json_t **ret)
{
	json_error_t detail;
	json_t *json;

	if (take(items, "]"))
		return end(items);
	if (items->n > 0 && !take(items, ","))
		return -EBADMSG;
	json = json_loadb(items->text + items->at, items->length - items->at,
			  JSON_REJECT_DUPLICATES | JSON_DISABLE_EOF_CHECK, &detail);
	if (!json)
		return json_error_code(&detail) == json_error_out_of_memory ? -ENOMEM : -EBADMSG;
	items->at += (size_t)detail.position;
	items->n++;
	*ret = json;
	return 1;
}
