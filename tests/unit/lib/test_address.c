/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Addresses, endpoints and ports as text: what is taken, what is refused, and the way back. */
#include "lib/address.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>

Test(address, canonical_text)
{
	static const struct {
		const char *text, *canonical;
		bool unicast, loopback;
	} cases[] = {
		{ "10.0.0.5", "10.0.0.5", true, false },
		{ "127.255.0.1", "127.255.0.1", true, true },
		{ "0.0.0.0", "0.0.0.0", false, false },
		{ "0.1.2.3", "0.1.2.3", false, false },
		{ "223.255.255.255", "223.255.255.255", true, false },
		{ "224.0.0.1", "224.0.0.1", false, false },
		{ "255.255.255.255", "255.255.255.255", false, false },
		{ "::", "::", false, false },
		{ "::1", "::1", true, true },
		{ "2001:DB8:0:0::5", "2001:db8::5", true, false },
		{ "ff02::1", "ff02::1", false, false },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		char buffer[ADDRESS_STRING_MAX];
		struct address address;

		cr_assert_eq(address_parse(cases[i].text, &address), 0, "%s", cases[i].text);
		cr_expect_str_eq(address_format(&address, buffer), cases[i].canonical);
		cr_expect_eq(address_is_unicast(&address), cases[i].unicast, "%s", cases[i].text);
		cr_expect_eq(address_is_loopback(&address), cases[i].loopback, "%s", cases[i].text);
	}
}

Test(address, bad_text_leaves_the_result_alone)
{
	static const char *const bad[] = { "",          "10.0.0",    "10.0.0.256",  "10.0.0.5 ",
					   " 10.0.0.5", "010.0.0.5", "[::1]",       "fe80::1%eth0",
					   ":",         "1::2::3",   "10.0.0.5/32", "host" };

	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		struct address address = { .family = 77, .bytes = { 1 } };

		cr_expect_eq(address_parse(bad[i], &address), -EINVAL, "\"%s\"", bad[i]);
		cr_expect_eq(address.family, 77, "\"%s\"", bad[i]);
	}
}

Test(address, none_has_no_text_and_no_length)
{
	struct address none = { 0 };
	char buffer[ADDRESS_STRING_MAX] = "x";

	cr_expect_str_eq(address_format(&none, buffer), "");
	cr_expect_eq(address_length(&none), 0);
	cr_expect_not(address_is_unicast(&none));
	cr_expect_not(address_is_loopback(&none));
}

Test(address, order_is_total)
{
	static const char *const ordered[] = { "9.0.0.1", "10.0.0.1", "10.0.0.200", "::1",
					       "2001:db8::1" };
	struct address addresses[ARRAY_SIZE(ordered)];

	for (size_t i = 0; i < ARRAY_SIZE(ordered); i++)
		cr_assert_eq(address_parse(ordered[i], &addresses[i]), 0);
	for (size_t i = 0; i < ARRAY_SIZE(ordered); i++) {
		for (size_t j = 0; j < ARRAY_SIZE(ordered); j++) {
			int order = address_compare(&addresses[i], &addresses[j]);

			cr_expect_eq((order > 0) - (order < 0), (i > j) - (i < j), "%s and %s",
				     ordered[i], ordered[j]);
			cr_expect_eq(address_equal(&addresses[i], &addresses[j]), i == j);
		}
	}
}

Test(endpoint, there_and_back)
{
	static const char *const good[] = {
		"10.0.0.5:22",
		"[2001:db8::5]:22",
		"0.0.0.0:1",
		"[::]:65535",
		"[ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff]:65535",
	};

	for (size_t i = 0; i < ARRAY_SIZE(good); i++) {
		char buffer[ENDPOINT_STRING_MAX];
		struct endpoint endpoint;

		cr_assert_eq(endpoint_parse(good[i], &endpoint), 0, "%s", good[i]);
		cr_expect_str_eq(endpoint_format(&endpoint, buffer), good[i]);
	}
}

Test(endpoint, bad_text)
{
	static const char *const bad[] = {
		"",
		":",
		":22",
		"10.0.0.5",
		"10.0.0.5:",
		"10.0.0.5:0",
		"10.0.0.5:65536",
		"10.0.0.5:+22",
		"10.0.0.5:22 ",
		"[10.0.0.5]:22",
		"::1:22",
		"[::1]",
		"[::1]22",
		"[]:22",
		"[:22",
		"[::1:22",
		"::1]:22",
		"10.0.0.5:22:23",
		"[1111:1111:1111:1111:1111:1111:1111:1111:1111:1111:1111]:22",
	};

	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		struct endpoint endpoint = { .port = 7 };

		cr_expect_eq(endpoint_parse(bad[i], &endpoint), -EINVAL, "\"%s\"", bad[i]);
		cr_expect_eq(endpoint.port, 7, "\"%s\"", bad[i]);
	}
}

Test(endpoint, socket_address)
{
	struct sockaddr_storage storage;
	struct endpoint endpoint;

	cr_assert_eq(endpoint_parse("10.0.0.5:22", &endpoint), 0);
	cr_assert_eq(endpoint_to_sockaddr(&endpoint, &storage), sizeof(struct sockaddr_in));
	cr_expect_eq(((struct sockaddr_in *)&storage)->sin_port, htons(22));
	cr_expect_eq(((struct sockaddr_in *)&storage)->sin_addr.s_addr, htonl(0x0a000005));
	cr_assert_eq(endpoint_parse("[::1]:22", &endpoint), 0);
	cr_assert_eq(endpoint_to_sockaddr(&endpoint, &storage), sizeof(struct sockaddr_in6));
	cr_expect_eq(((struct sockaddr_in6 *)&storage)->sin6_port, htons(22));
	cr_expect_eq(((struct sockaddr_in6 *)&storage)->sin6_addr.s6_addr[15], 1);
}

Test(port, text)
{
	static const struct {
		const char *text;
		int result;
		uint16_t port;
	} cases[] = {
		{ "1", 0, 1 },
		{ "65535", 0, 65535 },
		{ "00022", 0, 22 },
		{ "0", -ERANGE, 0 },
		{ "65536", -ERANGE, 0 },
		{ "4294967297", -ERANGE, 0 },
		{ "", -EINVAL, 0 },
		{ "-1", -EINVAL, 0 },
		{ "+1", -EINVAL, 0 },
		{ " 1", -EINVAL, 0 },
		{ "1 ", -EINVAL, 0 },
		{ "0x16", -EINVAL, 0 },
		{ "99999999999999999999999", -ERANGE, 0 },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		uint16_t port = 0;

		cr_expect_eq(port_parse(cases[i].text, &port), cases[i].result, "\"%s\"",
			     cases[i].text);
		cr_expect_eq(port, cases[i].port, "\"%s\"", cases[i].text);
	}
}

Test(protocol, names)
{
	cr_expect_eq(protocol_parse("tcp"), PROTOCOL_TCP);
	cr_expect_eq(protocol_parse("udp"), PROTOCOL_UDP);
	cr_expect_eq(protocol_parse("TCP"), PROTOCOL_INVALID);
	cr_expect_eq(protocol_parse(""), PROTOCOL_INVALID);
	cr_expect_str_eq(protocol_name(PROTOCOL_TCP), "tcp");
	cr_expect_str_eq(protocol_name(PROTOCOL_UDP), "udp");
	cr_expect_null(protocol_name(PROTOCOL_INVALID));
}
