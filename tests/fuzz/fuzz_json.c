/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Any text as JSON: what is taken is written and read back the same. */
#include "tests/fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size)
{
	json_t *json = fuzz_json(data, size), *again;
	char *text;

	if (!json)
		return 0;
	fuzz_require(json_is_object(json) || json_is_array(json));
	text = json_encode(json);
	fuzz_require(text);
	again = fuzz_json((const unsigned char *)text, strlen(text));
	free(text);
	fuzz_same(json, again);
	return 0;
}
