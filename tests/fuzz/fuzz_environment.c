/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What a customer asks for, and the assignment that a host gets, from JSON and back. */
#include "proto/environment.h"
#include "tests/fuzz/fuzz.h"

static void try_spec(json_t *json)
{
	struct environment_spec spec, again, copy;
	struct error err = ERROR_INIT;
	json_t *encoded;
	int r = environment_spec_decode(json, &spec, &err);

	if (r < 0) {
		fuzz_refused(r, &err);
		return;
	}
	encoded = environment_spec_encode(&spec);
	fuzz_require(encoded);
	fuzz_require(environment_spec_decode(encoded, &again, &err) == 0);
	fuzz_require(environment_spec_copy(&again, &copy) == 0);
	fuzz_same(encoded, environment_spec_encode(&copy));
	environment_spec_clear(&spec);
	environment_spec_clear(&again);
	environment_spec_clear(&copy);
}

static void try_assignment(json_t *json)
{
	struct assignment assignment, again;
	struct error err = ERROR_INIT;
	json_t *encoded;
	int r = assignment_decode(json, "", &assignment, &err);

	if (r < 0) {
		fuzz_refused(r, &err);
		return;
	}
	encoded = assignment_encode(&assignment);
	fuzz_require(encoded);
	fuzz_require(assignment_decode(encoded, "", &again, &err) == 0);
	fuzz_same(encoded, assignment_encode(&again));
	assignment_clear(&assignment);
	assignment_clear(&again);
}

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size)
{
	json_t *json = fuzz_json(data, size);

	if (!json)
		return 0;
	try_spec(json);
	try_assignment(json);
	json_decref(json);
	return 0;
}
