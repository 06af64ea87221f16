/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Source handling: which members each mode wants, and that it wants no others. */
#include <string.h>

#include "gatewayd/source.h"
#include "tests/unit/gatewayd/make.h"

static struct members members;
static struct address addresses[3];

static void begin(void)
{
	static const char *const texts[] = { "10.0.0.1", "2001:db8::1", "10.0.0.2" };

	members = MEMBERS_INIT;
	for (size_t i = 0; i < ARRAY_SIZE(texts); i++)
		cr_assert_eq(address_parse(texts[i], &addresses[i]), 0);
}

static void end(void)
{
	members_clear(&members);
}

TestSuite(source, .init = begin, .fini = end);

static struct source source_of(enum source_mode mode, size_t n_addresses)
{
	return (struct source){ .mode = mode, .addresses = addresses, .n_addresses = n_addresses };
}

/* The address of a number, as it stands in the set; "" if none. */
static const char *address_at(enum shape_set set, uint32_t number, char text[ADDRESS_STRING_MAX])
{
	struct member_key key = { .set = (uint8_t)set, .length = sizeof(number) };
	const struct member *member;

	memcpy(key.key, &number, sizeof(number));
	member = members_find(&members, &key);
	text[0] = '\0';
	return member && (member->flags & MEMBER_DESIRED)
		       ? address_format(&member->desired.value, text)
		       : text;
}

static bool wants_link(int link)
{
	struct member_key key = { .set = SHAPE_HAIRPIN, .length = 8 };
	const uint32_t pair[] = { (uint32_t)link, (uint32_t)link };
	const struct member *member;

	memcpy(key.key, pair, sizeof(pair));
	member = members_find(&members, &key);
	return member && (member->flags & MEMBER_DESIRED);
}

Test(source, snat_numbers_the_addresses_of_each_family)
{
	const struct source three = source_of(SOURCE_SNAT, 3), two = source_of(SOURCE_SNAT, 2);
	char text[ADDRESS_STRING_MAX];

	cr_assert_eq(source_count(&three, AF_INET), 2);
	cr_assert_eq(source_count(&three, AF_INET6), 1);
	cr_assert_eq(source_desire(&three, NULL, 0, &members), 0);
	cr_assert_str_eq(address_at(SHAPE_SOURCE4, 0, text), "10.0.0.1");
	cr_assert_str_eq(address_at(SHAPE_SOURCE4, 1, text), "10.0.0.2");
	cr_assert_str_eq(address_at(SHAPE_SOURCE6, 0, text), "2001:db8::1");
	cr_assert_eq(source_desire(&two, NULL, 0, &members), 0);
	cr_assert_str_empty(address_at(SHAPE_SOURCE4, 1, text));
	cr_assert_str_eq(address_at(SHAPE_SOURCE4, 0, text), "10.0.0.1");
}

Test(source, preserve_wants_the_links_of_now)
{
	const struct source preserve = source_of(SOURCE_PRESERVE, 0);
	const int before[] = { 2, 3 }, after[] = { 3, 7 };

	cr_assert_eq(source_desire(&preserve, before, 2, &members), 0);
	cr_assert(wants_link(2) && wants_link(3));
	cr_assert_eq(source_desire(&preserve, after, 2, &members), 0);
	cr_assert(!wants_link(2) && wants_link(3) && wants_link(7));
}

Test(source, links_have_a_limit)
{
	const struct source preserve = source_of(SOURCE_PRESERVE, 0);
	static int links[SHAPE_LINKS_MAX + 1];

	for (int i = 0; i <= SHAPE_LINKS_MAX; i++)
		links[i] = i + 1;
	cr_assert_eq(source_desire(&preserve, links, SHAPE_LINKS_MAX + 1, &members), 0);
	cr_assert_eq(members.n_desired[SHAPE_HAIRPIN], SHAPE_LINKS_MAX);
}

Test(source, other_modes_want_nothing_and_members_of_others_stay)
{
	const struct source masquerade = source_of(SOURCE_MASQUERADE, 0);
	const struct member_key other = { .set = SHAPE_EXPIRING4, .length = 4 };
	const struct member_terms terms = { 0 };
	const int links[] = { 2 };

	cr_assert_eq(members_desire(&members, &other, &terms, NULL), 0);
	cr_assert_eq(source_desire(&masquerade, links, 1, &members), 0);
	cr_assert_eq(members_sets(&members), SHAPE_BIT(SHAPE_EXPIRING4));
}
