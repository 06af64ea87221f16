/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What source handling puts into the table beside its rules: the addresses of SOURCE_SNAT by
 * number, and for SOURCE_PRESERVE each link with itself.
 */
#include "gatewayd/source.h"

#include <errno.h>
#include <string.h>

#define OWN_SETS (SHAPE_BIT(SHAPE_SOURCE4) | SHAPE_BIT(SHAPE_SOURCE6) | SHAPE_BIT(SHAPE_HAIRPIN))

uint32_t source_count(const struct source *source, uint8_t family)
{
	uint32_t n = 0;

	for (size_t i = 0; i < source->n_addresses; i++)
		n += source->addresses[i].family == family;
	return n;
}

static int desire(struct members *members, const struct member_key *key,
		  const struct member_terms *terms)
{
	struct member *member;
	int r;

	r = members_desire(members, key, terms, &member);
	if (r == 0)
		member->flags |= MEMBER_MARKED;
	return r;
}

/* Numbers are compared by the kernel as they lie in a register: in the machine's byte order. */
static int desire_address(struct members *members, const struct address *address, uint32_t number)
{
	struct member_key key = {
		.set = address->family == AF_INET6 ? SHAPE_SOURCE6 : SHAPE_SOURCE4,
		.length = sizeof(number),
	};
	const struct member_terms terms = { .value = *address };

	memcpy(key.key, &number, sizeof(number));
	return desire(members, &key, &terms);
}

static int desire_link(struct members *members, int link)
{
	struct member_key key = { .set = SHAPE_HAIRPIN, .length = 2 * sizeof(uint32_t) };
	const struct member_terms terms = { 0 };
	const uint32_t pair[] = { (uint32_t)link, (uint32_t)link };

	memcpy(key.key, pair, sizeof(pair));
	return desire(members, &key, &terms);
}

static int desire_all(const struct source *source, const int *links, size_t n_links,
		      struct members *members)
{
	uint32_t n4 = 0, n6 = 0;
	int r = 0;

	if (source->mode == SOURCE_SNAT)
		for (size_t i = 0; r == 0 && i < source->n_addresses; i++) {
			const struct address *address = &source->addresses[i];

			r = desire_address(members, address,
					   address->family == AF_INET6 ? n6++ : n4++);
		}
	if (source->mode == SOURCE_PRESERVE)
		for (size_t i = 0; r == 0 && i < MIN(n_links, (size_t)SHAPE_LINKS_MAX); i++)
			r = desire_link(members, links[i]);
	return r;
}

int source_desire(const struct source *source, const int *links, size_t n_links,
		  struct members *members)
{
	int r = desire_all(source, links, n_links, members);

	for (struct member *member = members->all; member; member = member->hh.next) {
		if (r == 0 && (OWN_SETS & SHAPE_BIT(member->key.set)) &&
		    !(member->flags & MEMBER_MARKED))
			members_undesire(members, member);
		member->flags &= (uint8_t)~MEMBER_MARKED;
	}
	return r;
}
