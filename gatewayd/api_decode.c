/* SPDX-License-Identifier: GPL-2.0-or-later */
/* From the bodies of the local API to changesets, with every refusal naming its field. It applies
 * nothing.
 */
#include "gatewayd/api_decode.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

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

/* ---- bodies ---- */

static int new_changeset(struct changeset **ret, size_t n, struct error *err)
{
	if (changeset_new(ret, n) < 0)
		return error_set(err, -ENOMEM, "internal", NULL, "out of memory");
	(*ret)->atomic = true;
	return 0;
}

static int find_mappings(json_t *body, json_t **ret, struct error *err)
{
	struct json_reader reader;

	if (json_is_array(body)) {
		if (json_array_size(body) > API_CHANGES_MAX)
			return error_set(err, -E2BIG, "too_large", "mappings",
					 "more than %d mappings in one request", API_CHANGES_MAX);
		*ret = body;
		return 0;
	}
	json_reader_init(&reader, body, "", err);
	json_read_array(&reader, "mappings", JSON_REQUIRED, API_CHANGES_MAX, ret);
	return json_reader_finish(&reader);
}

int api_decode_replace(json_t *body, const struct admission *admission, struct changeset **ret,
		       struct error *err)
{
	_cleanup_(cleanup_changeset) struct changeset *changeset = NULL;
	json_t *mappings = NULL, *item;
	size_t i;
	int r;

	r = find_mappings(body, &mappings, err);
	if (r < 0)
		return r;
	r = new_changeset(&changeset, json_array_size(mappings), err);
	if (r < 0)
		return r;
	changeset->replace = true;
	json_array_foreach (mappings, i, item) {
		char path[PATH_TEXT_MAX];

		(void)snprintf(path, sizeof(path), "mappings[%zu]", i);
		r = decode_mapping(item, path, admission, &changeset->changes[i], err);
		if (r < 0)
			return r;
	}
	r = refuse_duplicates(changeset, "mappings", err);
	if (r < 0)
		return r;
	*ret = TAKE_PTR(changeset);
	return 0;
}

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

int api_decode_apply(json_t *body, const struct admission *admission, struct changeset **ret,
		     struct error *err)
{
	_cleanup_(cleanup_changeset) struct changeset *changeset = NULL;
	json_t *changes = NULL, *item;
	struct json_reader reader;
	size_t i;
	int r;

	json_reader_init(&reader, body, "", err);
	json_read_array(&reader, "changes", JSON_REQUIRED, API_CHANGES_MAX, &changes);
	r = json_reader_finish(&reader);
	if (r < 0)
		return r;
	r = new_changeset(&changeset, json_array_size(changes), err);
	if (r < 0)
		return r;
	json_array_foreach (changes, i, item) {
		char path[PATH_TEXT_MAX];

		(void)snprintf(path, sizeof(path), "changes[%zu]", i);
		r = decode_change(item, path, admission, &changeset->changes[i], err);
		if (r < 0)
			return r;
	}
	r = refuse_duplicates(changeset, "changes", err);
	if (r < 0)
		return r;
	*ret = TAKE_PTR(changeset);
	return 0;
}
