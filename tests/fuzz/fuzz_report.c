/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Registrations and reports of hosts and gateways, from JSON and back. */
#include "proto/report.h"
#include "tests/fuzz/fuzz.h"

/* Each of the four is decoded, written and decoded again in the same way. */
#define TRY(type, json)                                                  \
	do {                                                             \
		struct type value, again;                                \
		struct error err = ERROR_INIT;                           \
		json_t *encoded;                                         \
		int r = type##_decode(json, &value, &err);               \
                                                                         \
		if (r < 0) {                                             \
			fuzz_refused(r, &err);                           \
			break;                                           \
		}                                                        \
		encoded = type##_encode(&value);                         \
		fuzz_require(encoded);                                   \
		fuzz_require(type##_decode(encoded, &again, &err) == 0); \
		fuzz_same(encoded, type##_encode(&again));               \
		type##_clear(&value);                                    \
		type##_clear(&again);                                    \
	} while (0)

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size)
{
	json_t *json = fuzz_json(data, size);

	if (!json)
		return 0;
	TRY(host_registration, json);
	TRY(gateway_registration, json);
	TRY(host_report, json);
	TRY(gateway_report, json);
	json_decref(json);
	return 0;
}
