/* SPDX-License-Identifier: GPL-2.0-or-later */
/* From the bodies of the local API to changesets, with every refusal naming its field. It applies
 * nothing.
 */
#include "gatewayd/api_decode.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "lib/json_items.h"

#define OP_MAX 16
#define PATH_TEXT_MAX 48 /* "mappings[999999]" */

static int decode_mapping(json_t *json, const char *path, const struct admission *admission,
			  struct change *change, struct error *err)
{
	const struct address *fallback =
		admission->n_addresses > 0 ? &admission->addresses[0] : NULL;
	struct mapping mapping = { 0 };
	int r;

	r = mapping_decode(json, path, fallback, &mapping, err);
	if (r < 0)
		return r;
	r = admit_mapping(admission, &mapping, path, err);
	if (r == 0)
		r = change_put(change, &mapping, path, err);
	/* What the gateway last applied counts, not what a client believes. */
	change->revision = 0;
	mapping_clear(&mapping);
	return r;
}

/* ---- a port twice ---- */

struct place {
	const struct mapping_key *key;
	size_t index;
};

static int compare_places(const void *a, const void *b)
{
	const struct place *left = a, *right = b;
	int r = mapping_key_compare(left->key, right->key);

	if (r != 0)
		return r;
	return left->index < right->index ? -1 : left->index > right->index;
}

static int report_duplicate(const struct place *place, const char *array, struct error *err)
{
	char field[ERROR_FIELD_MAX], name[MAPPING_STRING_MAX];

	(void)snprintf(field, sizeof(field), "%s[%zu]", array, place->index);
	return error_set(err, -EEXIST, "conflict", field, "%s: %s is named more than once", field,
			 mapping_key_format(place->key, name));
}

static int refuse_duplicates(const struct changeset *changeset, const char *array,
			     struct error *err)
{
	_cleanup_free_ struct place *places = NULL;

	if (changeset->n_changes < 2)
		return 0;
	places = calloc(changeset->n_changes, sizeof(*places));
	if (!places)
		return error_set(err, -ENOMEM, "internal", NULL, "out of memory");
	for (size_t i = 0; i < changeset->n_changes; i++)
		places[i] = (struct place){ .key = &changeset->changes[i].key, .index = i };
	qsort(places, changeset->n_changes, sizeof(*places), compare_places);
	for (size_t i = 1; i < changeset->n_changes; i++)
		if (mapping_key_compare(places[i - 1].key, places[i].key) == 0)
			return report_duplicate(&places[i], array, err);
	return 0;
}

/* ---- changes ---- */

static int decode_put(json_t *item, const char *path, const struct admission *admission,
		      struct change *change, struct error *err)
{
	struct json_reader reader;
	char mapping_path[ERROR_FIELD_MAX];
	const char *op = NULL;
	json_t *mapping = NULL;
	int r;

	json_reader_init(&reader, item, path, err);
	json_read_string(&reader, "op", JSON_REQUIRED, OP_MAX, &op);
	json_read_object(&reader, "mapping", JSON_REQUIRED, &mapping);
	json_read_bool(&reader, "force", JSON_OPTIONAL, &change->force);
	r = json_reader_finish(&reader);
	if (r < 0)
		return r;
	json_reader_path(&reader, "mapping", mapping_path);
	return decode_mapping(mapping, mapping_path, admission, change, err);
}

static int decode_delete(json_t *item, const char *path, const struct admission *admission,
			 struct change *change, struct error *err)
{
	static const char *const ignore[] = { "op", NULL };
	struct mapping_key key;
	int r;

	r = mapping_key_decode(item, path,
			       admission->n_addresses > 0 ? &admission->addresses[0] : NULL, ignore,
			       &key, err);
	if (r == 0)
		r = admit_key(admission, &key, path, err);
	if (r == 0)
		change_remove(change, &key);
	return r;
}

static int decode_change(json_t *item, const char *path, const struct admission *admission,
			 struct change *change, struct error *err)
{
	json_t *op = json_object_get(item, "op");
	char field[PATH_TEXT_MAX + sizeof(".op")];

	if (json_is_string(op) && strcmp(json_string_value(op), "put") == 0)
		return decode_put(item, path, admission, change, err);
	if (json_is_string(op) && strcmp(json_string_value(op), "delete") == 0)
		return decode_delete(item, path, admission, change, err);
	(void)snprintf(field, sizeof(field), "%s.op", path);
	return error_set(err, -EINVAL, op ? "invalid" : "missing", field,
			 "%s: must be \"put\" or \"delete\"", field);
}

/* ---- bodies ---- */

/* What a body is a list of. */
struct list {
	const char *name;
	bool bare;    /* it may stand for itself, too */
	bool replace; /* what it does not name is removed */
	int (*decode)(json_t *item, const char *path, const struct admission *admission,
		      struct change *change, struct error *err);
};

static const struct list mappings_list = { "mappings", true, true, decode_mapping };
static const struct list changes_list = { "changes", false, false, decode_change };

struct decoder {
	const struct list *list;
	const struct admission *admission;
	struct changeset *changeset; /* owned */
	struct error *err;
};

static int no_memory(struct error *err)
{
	return error_set(err, -ENOMEM, "internal", NULL, "out of memory");
}

static int start(struct decoder *decoder)
{
	changeset_free(TAKE_PTR(decoder->changeset));
	if (changeset_new(&decoder->changeset, 0) < 0)
		return no_memory(decoder->err);
	decoder->changeset->atomic = true;
	decoder->changeset->replace = decoder->list->replace;
	return 0;
}

static int add_item(struct decoder *decoder, json_t *item)
{
	const struct list *list = decoder->list;
	size_t index = decoder->changeset->n_changes;
	char path[PATH_TEXT_MAX];
	struct change *change;

	if (index == API_CHANGES_MAX)
		return error_set(decoder->err, -E2BIG, "too_large", list->name,
				 "more than %d %s in one request", API_CHANGES_MAX, list->name);
	change = changeset_add(decoder->changeset);
	if (!change)
		return no_memory(decoder->err);
	(void)snprintf(path, sizeof(path), "%s[%zu]", list->name, index);
	return list->decode(item, path, decoder->admission, change, decoder->err);
}

/* Item by item, since there may be very many. *ret_whole: the body has not the common form. */
static int decode_items(struct decoder *decoder, const char *body, size_t length, bool *ret_whole)
{
	const struct list *list = decoder->list;
	struct json_items items;
	json_t *item;
	int r;

	*ret_whole = !(list->bare && json_items_begin(&items, body, length, NULL)) &&
		     !json_items_begin(&items, body, length, list->name);
	if (*ret_whole)
		return 0;
	while ((r = json_items_next(&items, &item)) > 0) {
		r = add_item(decoder, item);
		json_decref(item);
		if (r < 0)
			return r;
	}
	*ret_whole = r == -EBADMSG;
	return r == -ENOMEM ? no_memory(decoder->err) : 0;
}

static int find_list(const struct list *list, json_t *body, json_t **ret, struct error *err)
{
	struct json_reader reader;

	if (list->bare && json_is_array(body)) {
		*ret = body;
		return 0;
	}
	json_reader_init(&reader, body, "", err);
	json_read_array(&reader, list->name, JSON_REQUIRED, API_CHANGES_MAX, ret);
	return json_reader_finish(&reader);
}

/* The long way, which finds every fault of a body and says where it is. */
static int decode_whole(struct decoder *decoder, const char *body, size_t length)
{
	_cleanup_json_ json_t *json = NULL;
	json_t *array = NULL, *item;
	size_t i;
	int r;

	r = json_decode(body, length, &json, decoder->err);
	if (r == 0)
		r = find_list(decoder->list, json, &array, decoder->err);
	if (r == 0)
		r = start(decoder);
	if (r < 0)
		return r;
	json_array_foreach (array, i, item) {
		r = add_item(decoder, item);
		if (r < 0)
			return r;
	}
	return 0;
}

static int decode(const struct list *list, const char *body, size_t length,
		  const struct admission *admission, struct changeset **ret, struct error *err)
{
	struct decoder decoder = { .list = list, .admission = admission, .err = err };
	bool whole = false;
	int r;

	if (length == 0)
		return error_set(err, -EINVAL, "malformed", NULL,
				 "the request has no body; a JSON object is expected");
	r = start(&decoder);
	if (r == 0)
		r = decode_items(&decoder, body, length, &whole);
	if (r == 0 && whole)
		r = decode_whole(&decoder, body, length);
	if (r == 0)
		r = refuse_duplicates(decoder.changeset, list->name, err);
	if (r == 0)
		*ret = TAKE_PTR(decoder.changeset);
	changeset_free(decoder.changeset);
	return r;
}

int api_decode_replace(const char *body, size_t length, const struct admission *admission,
		       struct changeset **ret, struct error *err)
{
	return decode(&mappings_list, body, length, admission, ret, err);
}

int api_decode_apply(const char *body, size_t length, const struct admission *admission,
		     struct changeset **ret, struct error *err)
{
	return decode(&changes_list, body, length, admission, ret, err);
}
