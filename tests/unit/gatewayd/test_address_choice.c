/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Which addresses of a machine are taken as public ones, and in which order. */
#include <stdio.h>
#include <string.h>

#include "gatewayd/address_choice.h"
#include "tests/unit/gatewayd/make.h"

#define ALL_MAX 16

struct machine {
	struct network_address all[ALL_MAX];
	size_t n;
	struct uplinks uplinks;
};

static void has(struct machine *machine, int link, const char *text)
{
	struct network_address *address = &machine->all[machine->n++];

	*address = (struct network_address){ .link = link, .global = true };
	cr_assert_eq(address_parse(text, &address->address), 0, "%s", text);
}

/* The choice, as text with spaces between. */
static void expect(const struct machine *machine, const char *expected)
{
	struct address chosen[ALL_MAX];
	size_t n = address_choose(machine->all, machine->n, &machine->uplinks, chosen);
	char said[ALL_MAX * ADDRESS_STRING_MAX] = "", text[ADDRESS_STRING_MAX];
	size_t length = 0;

	for (size_t i = 0; i < n; i++)
		length += (size_t)snprintf(said + length, sizeof(said) - length, "%s%s",
					   i > 0 ? " " : "", address_format(&chosen[i], text));
	cr_assert_str_eq(said, expected);
}

static bool is_public(const char *text)
{
	struct address address;

	cr_assert_eq(address_parse(text, &address), 0, "%s", text);
	return address_is_public(&address);
}

Test(address_choice, knows_public_addresses)
{
	static const char *const public[] = { "1.1.1.1",       "203.0.113.10",   "9.255.255.255",
					      "11.0.0.0",      "100.63.255.255", "100.128.0.0",
					      "172.15.0.1",    "172.32.0.1",     "192.167.1.1",
					      "192.169.1.1",   "198.17.0.1",     "198.20.0.1",
					      "223.255.255.1", "2001:db8::1",    "3fff::1" };
	static const char *const other[] = {
		"0.1.2.3",        "10.0.0.1",   "100.64.0.1",     "100.127.0.1",     "127.0.0.1",
		"169.254.1.1",    "172.16.0.1", "172.31.255.255", "192.168.0.1",     "198.18.0.1",
		"198.19.255.255", "224.0.0.1",  "240.0.0.1",      "255.255.255.255", "::1",
		"fe80::1",        "fd00::1",    "ff02::1",        "4000::1",         "64:ff9b::1"
	};

	for (size_t i = 0; i < ARRAY_SIZE(public); i++)
		cr_assert(is_public(public[i]), "%s", public[i]);
	for (size_t i = 0; i < ARRAY_SIZE(other); i++)
		cr_assert_not(is_public(other[i]), "%s", other[i]);
}

Test(address_choice, takes_public_ones_and_leaves_private_ones)
{
	struct machine machine = { .uplinks = { .v4 = 2, .v6 = 2 } };

	has(&machine, 1, "127.0.0.1");
	has(&machine, 2, "203.0.113.10");
	has(&machine, 2, "10.0.0.1");
	has(&machine, 3, "192.168.1.1");
	has(&machine, 2, "2001:db8::10");
	has(&machine, 2, "fd00::10");
	expect(&machine, "203.0.113.10 2001:db8::10");
}

Test(address_choice, begins_with_the_uplink)
{
	struct machine machine = { .uplinks = { .v4 = 3 } };

	has(&machine, 4, "2001:db8::10");
	has(&machine, 2, "203.0.113.20");
	has(&machine, 3, "203.0.113.31");
	has(&machine, 3, "203.0.113.30");
	has(&machine, 1, "203.0.113.40");
	has(&machine, 2, "203.0.113.30"); /* a second time */
	expect(&machine, "203.0.113.30 203.0.113.31 203.0.113.40 203.0.113.20 2001:db8::10");
}

Test(address_choice, takes_the_uplinks_private_ones_where_a_family_has_no_public_one)
{
	struct machine machine = { .uplinks = { .v4 = 2, .v6 = 2 } };

	has(&machine, 2, "10.0.0.7");
	has(&machine, 2, "169.254.1.1");
	has(&machine, 3, "172.17.0.1");
	has(&machine, 2, "2001:db8::10");
	has(&machine, 2, "fe80::10");
	expect(&machine, "10.0.0.7 2001:db8::10");
	machine.uplinks.v4 = 0; /* no default route: no way to tell which */
	expect(&machine, "2001:db8::10");
}

Test(address_choice, leaves_what_does_not_last)
{
	struct machine machine = { .uplinks = { .v6 = 2 } };

	has(&machine, 2, "2001:db8::10");
	has(&machine, 2, "2001:db8::11");
	has(&machine, 2, "2001:db8::12");
	machine.all[1].temporary = true;
	machine.all[2].global = false;
	expect(&machine, "2001:db8::10");
}
