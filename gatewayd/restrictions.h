/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A mapping's limits (who may connect, how often, how many at a time) as members of the sets by
 * which the kernel enforces them, and back. It holds nothing itself.
 */
#pragma once

#include "gatewayd/members.h"
#include "gatewayd/policy.h"

/* The field of a mapping that this set enforces; NULL for sets that belong to no mapping. */
const char *restrictions_field(enum shape_set set);

/* Wants the members of one policy for a mapping instead of those of another. Either may be NULL.
 * -ENOMEM: those of the old one are wanted still. */
int restrictions_change(struct members *members, const struct mapping_key *key,
			const struct policy *old, const struct policy *wanted) _must_check_;

/* The field of the policy for which the sets have no room; NULL where all fits. What the mapping
 * has already is not counted again. */
const char *restrictions_full(const struct members *members, const struct mapping_key *key,
			      const struct policy *policy);

/* The mapping that a member belongs to. -ENOENT: to none. */
int restrictions_owner(const struct member_key *member, struct mapping_key *ret) _must_check_;

/* Whether the kernel lets only sources on its allow-list connect to this mapping. */
bool restrictions_guards(const struct members *members, const struct mapping_key *key);

/* Adds what a member says to its mapping's policy. -EBADMSG where it is not of our making. */
int restrictions_read(const struct member_key *member, const struct member_terms *terms,
		      struct policy *policy) _must_check_;

/* Packets of new connections to this mapping that its limits have refused, as last read. */
uint64_t restrictions_refused(const struct members *members, const struct mapping_key *key);
