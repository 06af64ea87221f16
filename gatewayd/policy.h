/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A mapping's policy: until when it lives and who may open how many connections. Most mappings have
 * none, so it stands apart from them. Plain data with copy, compare and clear.
 */
#pragma once

#include "proto/mapping.h"

struct policy {
	struct prefix *allow; /* owned; in order, none within another; NULL: everyone */
	size_t n_allow;
	uint32_t max_connections; /* 0: no limit, as below */
	uint32_t new_connections_per_minute;
	int64_t expires_at; /* Unix seconds; 0: never */
};

/* What the mapping says, with prefixes that lie within others left out. */
int policy_of_mapping(const struct mapping *mapping, struct policy *ret) _must_check_;
/* Puts the prefixes in order and leaves out those within others. */
void policy_normalize(struct policy *policy);
int policy_copy(const struct policy *policy, struct policy *ret) _must_check_;
void policy_clear(struct policy *policy);
bool policy_is_empty(const struct policy *policy);
bool policy_equal(const struct policy *a, const struct policy *b);

/* Whether two ends are the same for us: what is read back from the kernel is a duration, and the
 * clocks tick on between writing and reading. */
#define POLICY_EXPIRY_TOLERANCE_S 2
bool policy_same_end(int64_t a, int64_t b);
