/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Ports as people name them: what is understood, and what is refused with which words. */

#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>

#include "schedctl/place.h"

Test(place, parse)
{
	static const struct {
		const char *text, *address;
		enum protocol protocol;
	} good[] = {
		{ "30001", NULL, PROTOCOL_INVALID },
		{ "30001/udp", NULL, PROTOCOL_UDP },
		{ "203.0.113.10:30001", "203.0.113.10", PROTOCOL_INVALID },
		{ "203.0.113.10:30001/tcp", "203.0.113.10", PROTOCOL_TCP },
		{ "[2001:db8::10]:30001/udp", "2001:db8::10", PROTOCOL_UDP },
	};

	for (size_t i = 0; i < ARRAY_SIZE(good); i++) {
		char address[ADDRESS_STRING_MAX];
		struct error err = ERROR_INIT;
		struct place place;

		cr_assert_eq(place_parse(good[i].text, &place, &err), 0, "%s: %s", good[i].text,
			     err.message);
		cr_expect_eq(place.port, 30001, "%s", good[i].text);
		cr_expect_eq(place.protocol, good[i].protocol, "%s", good[i].text);
		if (good[i].address)
			cr_expect_str_eq(address_format(&place.address, address), good[i].address);
		else
			cr_expect_eq(place.address.family, AF_UNSPEC, "%s", good[i].text);
	}
}

Test(place, refused)
{
	static const struct {
		const char *text, *words;
	} bad[] = {
		{ "", "port \"\" is not PORT or ADDRESS:PORT" },
		{ "ssh", "port \"ssh\" is not PORT" },
		{ "0", "port \"0\" is not in 1…65535" },
		{ "65536/tcp", "port \"65536\" is not in 1…65535" },
		{ "18446744073709551617", "is not in 1…65535" },
		{ "99999999999999999999999999999999999999999999999999999999999999999999", "port" },
		{ "30001/", "neither tcp nor udp" },
		{ "30001/sctp", "neither tcp nor udp" },
		{ "/udp", "port \"/udp\" is not PORT" },
		{ "203.0.113.10", "is not PORT or ADDRESS:PORT" },
		{ "203.0.113.10:", "is not PORT or ADDRESS:PORT" },
		{ "203.0.113.10:0", "is not PORT or ADDRESS:PORT" },
		{ "2001:db8::10:30001", "is not PORT or ADDRESS:PORT" },
		{ "30001 ", "is not PORT or ADDRESS:PORT" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		struct place place = { .port = 4711 };
		struct error err = ERROR_INIT;

		cr_expect_eq(place_parse(bad[i].text, &place, &err), -EINVAL, "\"%s\"",
			     bad[i].text);
		cr_expect(strstr(err.message, bad[i].words), "\"%s\": %s", bad[i].text,
			  err.message);
		cr_expect_eq(place.port, 4711, "\"%s\"", bad[i].text);
	}
}
