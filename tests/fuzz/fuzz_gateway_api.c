/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The bodies of gatewayd's local API: what is admitted is within its addresses, each port once. */
#include "gatewayd/api_decode.h"
#include "tests/fuzz/fuzz.h"

static void try_body(json_t *json, const struct admission *admission,
		     int (*decode)(json_t *body, const struct admission *admission,
				   struct changeset **ret, struct error *err))
{
	struct changeset *changeset = NULL;
	struct error err = ERROR_INIT;
	int r = decode(json, admission, &changeset, &err);

	if (r < 0)
		fuzz_refused(r, &err);
	else
		fuzz_require(changeset);
	changeset_free(changeset);
}

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size)
{
	json_t *json = fuzz_json(data, size);
	struct address addresses[2];
	struct admission admission = { .addresses = addresses, .n_addresses = 2 };

	if (!json)
		return 0;
	fuzz_require(address_parse("203.0.113.10", &addresses[0]) == 0);
	fuzz_require(address_parse("2001:db8::10", &addresses[1]) == 0);
	try_body(json, &admission, api_decode_replace);
	try_body(json, &admission, api_decode_apply);
	json_decref(json);
	return 0;
}
