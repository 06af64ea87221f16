/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Which of a machine's addresses are public: the rule by which they are found where none is
 * configured. It is pure.
 */
#include "gatewayd/address_choice.h"

#include <string.h>

static bool within(const struct address *address, const uint8_t prefix[2], unsigned bits)
{
	unsigned value = (unsigned)address->bytes[0] << 8 | address->bytes[1];
	unsigned wanted = (unsigned)prefix[0] << 8 | prefix[1];

	return value >> (16 - bits) == wanted >> (16 - bits);
}

bool address_is_public(const struct address *address)
{
	/* The ranges for documentation are left in: laboratories use them as public ones. */
	static const struct {
		uint8_t prefix[2];
		unsigned bits;
	} elsewhere[] = {
		{ { 0, 0 }, 8 },      { { 10, 0 }, 8 },     { { 100, 64 }, 10 },
		{ { 127, 0 }, 8 },    { { 169, 254 }, 16 }, { { 172, 16 }, 12 },
		{ { 192, 168 }, 16 }, { { 198, 18 }, 15 },  { { 224, 0 }, 3 },
	};
	static const uint8_t global6[2] = { 0x20, 0x00 };

	if (address->family == AF_INET6)
		return within(address, global6, 3);
	for (size_t i = 0; i < ARRAY_SIZE(elsewhere); i++)
		if (within(address, elsewhere[i].prefix, elsewhere[i].bits))
			return false;
	return address->family == AF_INET;
}

/* Private, but one that others can send to. */
static bool is_private(const struct address *address)
{
	static const uint8_t link_local4[2] = { 169, 254 }, link_local6[2] = { 0xfe, 0x80 };

	return address_is_unicast(address) && !address_is_loopback(address) &&
	       !within(address, address->family == AF_INET ? link_local4 : link_local6,
		       address->family == AF_INET ? 16 : 10);
}

struct candidate {
	const struct network_address *address;
	bool uplink;
};

static int compare_candidates(const void *a, const void *b)
{
	const struct candidate *left = a, *right = b;
	const struct network_address *x = left->address, *y = right->address;

	if (x->address.family != y->address.family)
		return x->address.family == AF_INET ? -1 : 1;
	if (left->uplink != right->uplink)
		return left->uplink ? -1 : 1;
	if (x->link != y->link)
		return x->link < y->link ? -1 : 1;
	return address_compare(&x->address, &y->address);
}

static size_t collect(const struct network_address *all, size_t n, uint8_t family, int uplink,
		      bool public, struct candidate *ret)
{
	size_t found = 0;

	for (size_t i = 0; i < n; i++) {
		const struct network_address *address = &all[i];
		bool by_uplink = uplink != 0 && address->link == uplink;

		if (address->address.family != family || !address->global || address->temporary)
			continue;
		if (public ? address_is_public(&address->address)
			   : by_uplink && is_private(&address->address))
			ret[found++] =
				(struct candidate){ .address = address, .uplink = by_uplink };
	}
	return found;
}

/* The same address may be on two links. */
static bool has_address(const struct address *list, size_t n, const struct address *address)
{
	for (size_t i = 0; i < n; i++)
		if (address_equal(&list[i], address))
			return true;
	return false;
}

size_t address_choose(const struct network_address *all, size_t n, const struct uplinks *uplinks,
		      struct address *ret)
{
	static const uint8_t families[] = { AF_INET, AF_INET6 };
	_cleanup_free_ struct candidate *candidates = calloc(n + 1, sizeof(*candidates));
	size_t n_candidates = 0, chosen = 0;

	if (!candidates)
		return 0;
	for (size_t i = 0; i < ARRAY_SIZE(families); i++) {
		int uplink = families[i] == AF_INET ? uplinks->v4 : uplinks->v6;
		size_t found =
			collect(all, n, families[i], uplink, true, candidates + n_candidates);

		if (found == 0)
			found = collect(all, n, families[i], uplink, false,
					candidates + n_candidates);
		n_candidates += found;
	}
	qsort(candidates, n_candidates, sizeof(*candidates), compare_candidates);
	for (size_t i = 0; i < n_candidates; i++)
		if (!has_address(ret, chosen, &candidates[i].address->address))
			ret[chosen++] = candidates[i].address->address;
	return chosen;
}
