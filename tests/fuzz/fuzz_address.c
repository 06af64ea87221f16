/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Addresses, endpoints, prefixes, ports, times and durations as text, and back. */
#include "lib/address.h"
#include "lib/clock.h"
#include "proto/mapping.h"
#include "tests/fuzz/fuzz.h"

static void try_address(const char *text)
{
	char shown[ENDPOINT_STRING_MAX];
	struct endpoint endpoint, endpoint2;
	struct address address, address2;

	if (address_parse(text, &address) == 0) {
		fuzz_require(address_parse(address_format(&address, shown), &address2) == 0);
		fuzz_require(address_equal(&address, &address2));
	}
	if (endpoint_parse(text, &endpoint) == 0) {
		fuzz_require(endpoint_parse(endpoint_format(&endpoint, shown), &endpoint2) == 0);
		fuzz_require(endpoint_compare(&endpoint, &endpoint2) == 0);
	}
}

static void try_prefix(const char *text)
{
	char shown[PREFIX_STRING_MAX];
	struct prefix prefix, again;

	if (prefix_parse(text, &prefix) < 0)
		return;
	fuzz_require(prefix_parse(prefix_format(&prefix, shown), &again) == 0);
	fuzz_require(prefix.length == again.length &&
		     address_equal(&prefix.address, &again.address));
}

static void try_time(const char *text)
{
	char shown[TIME_STRING_MAX];
	int64_t seconds, again;
	uint64_t ms;

	if (time_parse(text, &seconds) == 0) {
		fuzz_require(time_parse(time_format(seconds, shown), &again) == 0);
		fuzz_require(seconds == again);
	}
	(void)!duration_parse(text, &ms);
}

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size)
{
	char *text = fuzz_text(data, size);
	uint16_t port;

	try_address(text);
	try_prefix(text);
	try_time(text);
	if (port_parse(text, &port) == 0)
		fuzz_require(port > 0);
	free(text);
	return 0;
}
