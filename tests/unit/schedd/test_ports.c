/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The pool of external ports: order, wanted numbers, exhaustion, and what is not its own. */
#include "schedd/ports.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>

static struct address address(const char *text)
{
	struct address parsed;

	cr_assert_eq(address_parse(text, &parsed), 0);
	return parsed;
}

/* Two addresses with a range that ends inside a word of bits. */
static struct port_pool make(uint16_t first, uint16_t last)
{
	const struct address addresses[] = { address("203.0.113.11"), address("203.0.113.10") };
	struct port_pool pool;

	cr_assert_eq(port_pool_init(&pool, addresses, 2, first, last, NULL), 0);
	return pool;
}

static struct mapping_key key(const char *at, enum protocol protocol, uint16_t port)
{
	return (struct mapping_key){ .address = address(at),
				     .protocol = (uint8_t)protocol,
				     .port = port };
}

/* Takes what is found; its text, or the error's name. */
static const char *take(struct port_pool *pool, enum protocol protocol, uint16_t wanted)
{
	static char text[MAPPING_STRING_MAX];
	struct mapping_key found;
	int r = port_pool_find(pool, protocol, wanted, &found);

	if (r < 0)
		return r == -ENOSPC ? "ENOSPC" : r == -EEXIST ? "EEXIST" : "ERANGE";
	cr_assert(port_pool_contains(pool, &found));
	port_pool_take(pool, &found);
	return mapping_key_format(&found, text);
}

Test(ports, the_first_free_port_of_the_first_address_comes_first)
{
	struct port_pool pool = make(30001, 30003);

	cr_expect_str_eq(take(&pool, PROTOCOL_TCP, 0), "203.0.113.11:30001/tcp");
	cr_expect_str_eq(take(&pool, PROTOCOL_TCP, 0), "203.0.113.11:30002/tcp");
	cr_expect_str_eq(take(&pool, PROTOCOL_UDP, 0), "203.0.113.11:30001/udp",
			 "protocols do not share");
	cr_expect_str_eq(take(&pool, PROTOCOL_TCP, 0), "203.0.113.11:30003/tcp");
	cr_expect_str_eq(take(&pool, PROTOCOL_TCP, 0), "203.0.113.10:30001/tcp");
	port_pool_clear(&pool);
}

Test(ports, what_is_given_back_is_found_again)
{
	struct port_pool pool = make(30001, 30003);
	const struct mapping_key middle = key("203.0.113.11", PROTOCOL_TCP, 30002);

	for (int i = 0; i < 3; i++)
		(void)take(&pool, PROTOCOL_TCP, 0);
	port_pool_give(&pool, &middle);
	cr_expect_eq(port_pool_taken(&pool), 2);
	cr_expect_str_eq(take(&pool, PROTOCOL_TCP, 0), "203.0.113.11:30002/tcp");
	port_pool_clear(&pool);
}

Test(ports, a_wanted_number_is_had_once_on_each_address)
{
	struct port_pool pool = make(30001, 30100);

	cr_expect_str_eq(take(&pool, PROTOCOL_TCP, 30077), "203.0.113.11:30077/tcp");
	cr_expect_str_eq(take(&pool, PROTOCOL_TCP, 30077), "203.0.113.10:30077/tcp");
	cr_expect_str_eq(take(&pool, PROTOCOL_TCP, 30077), "EEXIST");
	cr_expect_str_eq(take(&pool, PROTOCOL_UDP, 30077), "203.0.113.11:30077/udp");
	cr_expect_str_eq(take(&pool, PROTOCOL_TCP, 30000), "ERANGE");
	cr_expect_str_eq(take(&pool, PROTOCOL_TCP, 30101), "ERANGE");
	cr_expect_str_eq(take(&pool, PROTOCOL_TCP, 30001), "203.0.113.11:30001/tcp");
	cr_expect_str_eq(take(&pool, PROTOCOL_TCP, 30100), "203.0.113.11:30100/tcp");
	port_pool_clear(&pool);
}

/* Whatever the size: a range around the words of the bitmap, a single port, all of them. */
Test(ports, every_port_is_had_once_and_then_there_is_none)
{
	static const struct {
		uint16_t first, last;
	} ranges[] = { { 1, 1 },         { 30001, 30063 }, { 30001, 30064 },
		       { 30001, 30065 }, { 30001, 30128 }, { 1, 65535 } };

	for (size_t i = 0; i < ARRAY_SIZE(ranges); i++) {
		struct port_pool pool = make(ranges[i].first, ranges[i].last);
		size_t n = (size_t)(ranges[i].last - ranges[i].first) + 1;
		struct mapping_key found;

		cr_expect_eq(port_pool_size(&pool), 4 * n);
		for (size_t j = 0; j < 2 * n; j++) {
			cr_assert_eq(port_pool_find(&pool, PROTOCOL_UDP, 0, &found), 0);
			cr_assert_eq(found.port, ranges[i].first + j % n);
			port_pool_take(&pool, &found);
		}
		cr_expect_eq(port_pool_taken(&pool), 2 * n);
		cr_expect_eq(port_pool_free(&pool, PROTOCOL_UDP), 0);
		cr_expect_eq(port_pool_free(&pool, PROTOCOL_TCP), 2 * n);
		cr_expect_str_eq(take(&pool, PROTOCOL_UDP, 0), "ENOSPC");
		cr_expect_eq(port_pool_find(&pool, PROTOCOL_TCP, 0, &found), 0);
		port_pool_clear(&pool);
	}
}

Test(ports, what_is_outside_is_ignored)
{
	struct port_pool pool = make(30001, 30003);
	const struct mapping_key outside[] = {
		key("203.0.113.12", PROTOCOL_TCP, 30001),
		key("203.0.113.10", PROTOCOL_TCP, 30000),
		key("203.0.113.10", PROTOCOL_TCP, 30004),
		key("2001:db8::1", PROTOCOL_TCP, 30001),
	};

	for (size_t i = 0; i < ARRAY_SIZE(outside); i++) {
		cr_expect_not(port_pool_contains(&pool, &outside[i]));
		port_pool_take(&pool, &outside[i]);
		cr_expect_eq(port_pool_taken(&pool), 0);
		port_pool_give(&pool, &outside[i]);
	}
	port_pool_clear(&pool);
}

Test(ports, a_pool_that_makes_no_sense_is_refused_with_its_option)
{
	const struct address good = address("203.0.113.10");
	const struct address twice[] = { good, good };
	const struct address group = address("224.0.0.1"), any = address("0.0.0.0");
	const struct {
		const struct address *addresses;
		size_t n;
		uint16_t first, last;
		const char *field;
	} cases[] = {
		{ &good, 0, 1, 2, "port-addresses" },
		{ twice, 2, 1, 2, "port-addresses" },
		{ &group, 1, 1, 2, "port-addresses" },
		{ &any, 1, 1, 2, "port-addresses" },
		{ &good, PORT_POOL_ADDRESSES_MAX + 1, 1, 2, "port-addresses" },
		{ &good, 1, 2, 1, "port-range" },
		{ &good, 1, 0, 5, "port-range" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct error err = ERROR_INIT;
		struct port_pool pool;

		cr_expect_eq(port_pool_init(&pool, cases[i].addresses, cases[i].n, cases[i].first,
					    cases[i].last, &err),
			     -EINVAL, "case %zu", i);
		cr_expect_str_eq(err.field, cases[i].field, "case %zu", i);
	}
}

Test(ports, a_range_is_two_numbers_or_one)
{
	static const struct {
		const char *text;
		int r;
		uint16_t first, last;
	} cases[] = {
		{ "30001-30999", 0, 30001, 30999 },
		{ "1-65535", 0, 1, 65535 },
		{ "30001", 0, 30001, 30001 },
		{ "30001-30001", 0, 30001, 30001 },
		{ "", -EINVAL },
		{ "-", -EINVAL },
		{ "30001-", -EINVAL },
		{ "-30001", -EINVAL },
		{ "0-5", -EINVAL },
		{ "5-4", -EINVAL },
		{ "1-65536", -EINVAL },
		{ "1-2-3", -EINVAL },
		{ "1 - 2", -EINVAL },
		{ "000000000001-2", -EINVAL },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct error err = ERROR_INIT;
		uint16_t first = 0, last = 0;

		cr_expect_eq(port_range_parse(cases[i].text, &first, &last, &err), cases[i].r,
			     "\"%s\"", cases[i].text);
		cr_expect_eq(first, cases[i].first, "\"%s\"", cases[i].text);
		cr_expect_eq(last, cases[i].last, "\"%s\"", cases[i].text);
		if (cases[i].r < 0)
			cr_expect(strstr(err.message, cases[i].text), "%s", err.message);
	}
}
