/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The bodies of gatewayd's local API: what is admitted is valid JSON, item by item as well as on
 * the whole, and within the gateway's addresses.
 */
#include "gatewayd/api_decode.h"
#include "tests/fuzz/fuzz.h"

/* How many items the body has for whoever reads it as a whole. */
static size_t count_items(const unsigned char *data, size_t size, const char *name)
{
	json_t *json = fuzz_json(data, size);
	const json_t *array = json_is_array(json) ? json : json_object_get(json, name);
	size_t n = json_array_size(array);

	fuzz_require(json_is_array(array));
	json_decref(json);
	return n;
}

static void try_body(const unsigned char *data, size_t size, const char *name,
		     int (*decode)(const char *body, size_t length,
				   const struct admission *admission, struct changeset **ret,
				   struct error *err))
{
	struct address addresses[2];
	const struct admission admission = { .addresses = addresses, .n_addresses = 2 };
	struct changeset *changeset = NULL;
	struct error err = ERROR_INIT;
	int r;

	fuzz_require(address_parse("203.0.113.10", &addresses[0]) == 0);
	fuzz_require(address_parse("2001:db8::10", &addresses[1]) == 0);
	r = decode((const char *)data, size, &admission, &changeset, &err);
	if (r < 0) {
		fuzz_require(!changeset);
		fuzz_refused(r, &err);
		return;
	}
	fuzz_require(changeset->n_changes == count_items(data, size, name));
	for (size_t i = 0; i < changeset->n_changes; i++)
		fuzz_require(changeset->changes[i].key.port > 0);
	changeset_free(changeset);
}

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size)
{
	try_body(data, size, "mappings", api_decode_replace);
	try_body(data, size, "changes", api_decode_apply);
	return 0;
}
