/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A mapping, and a mapping's key, from JSON and back. */
#include "proto/mapping.h"
#include "tests/fuzz/fuzz.h"

static void try_key(json_t *json, const struct address *fallback)
{
	struct mapping_key key, again;
	struct error err = ERROR_INIT;
	char text[MAPPING_STRING_MAX];
	json_t *encoded;
	int r = mapping_key_decode(json, "", fallback, NULL, &key, &err);

	if (r < 0) {
		fuzz_refused(r, &err);
		return;
	}
	encoded = mapping_key_encode(&key);
	fuzz_require(encoded);
	fuzz_require(mapping_key_decode(encoded, "", NULL, NULL, &again, &err) == 0);
	fuzz_require(mapping_key_compare(&key, &again) == 0);
	fuzz_require(mapping_key_format(&key, text)[0]);
	json_decref(encoded);
}

static void try_mapping(json_t *json, const struct address *fallback)
{
	struct mapping mapping, again, copy;
	struct error err = ERROR_INIT;
	json_t *encoded;
	int r = mapping_decode(json, "mapping", fallback, &mapping, &err);

	if (r < 0) {
		fuzz_refused(r, &err);
		return;
	}
	encoded = mapping_encode(&mapping);
	fuzz_require(encoded);
	fuzz_require(mapping_decode(encoded, "", NULL, &again, &err) == 0);
	fuzz_require(mapping_equal(&mapping, &again) && mapping.revision == again.revision);
	fuzz_require(mapping_copy(&mapping, &copy) == 0);
	fuzz_require(mapping_equal(&mapping, &copy));
	json_decref(encoded);
	mapping_clear(&mapping);
	mapping_clear(&again);
	mapping_clear(&copy);
}

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size)
{
	json_t *json = fuzz_json(data, size);
	struct address fallback;

	if (!json)
		return 0;
	fuzz_require(address_parse("203.0.113.10", &fallback) == 0);
	try_mapping(json, &fallback);
	try_key(json, &fallback);
	json_decref(json);
	return 0;
}
