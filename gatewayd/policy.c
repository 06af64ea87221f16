/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A mapping's policy: until when it lives and who may open how many connections. Most mappings have
 * none, so it stands apart from them. Plain data with copy, compare and clear.
 */
#include "gatewayd/policy.h"

#include <errno.h>
#include <string.h>

static int copy_prefixes(const struct prefix *prefixes, size_t n, struct prefix **ret)
{
	struct prefix *copy = NULL;

	if (n > 0) {
		copy = calloc(n, sizeof(*copy));
		if (!copy)
			return -ENOMEM;
		memcpy(copy, prefixes, n * sizeof(*copy));
	}
	*ret = copy;
	return 0;
}

/* By address, the wider one first. */
static int compare_prefixes(const void *a, const void *b)
{
	const struct prefix *left = a, *right = b;
	int r = address_compare(&left->address, &right->address);

	return r != 0 ? r : (int)left->length - (int)right->length;
}

/* In order, a prefix stands behind all that contain it, and what contains it stands next before it
 * once the others are gone. Returns how many are left. */
static size_t merge_prefixes(struct prefix *prefixes, size_t n)
{
	size_t kept = 0;

	if (n == 0)
		return 0;
	qsort(prefixes, n, sizeof(*prefixes), compare_prefixes);
	for (size_t i = 1; i < n; i++)
		if (!prefix_contains(&prefixes[kept], &prefixes[i]))
			prefixes[++kept] = prefixes[i];
	return kept + 1;
}

int policy_of_mapping(const struct mapping *mapping, struct policy *ret)
{
	struct policy policy = {
		.max_connections = mapping->max_connections,
		.new_connections_per_minute = mapping->new_connections_per_minute,
		.expires_at = mapping->expires_at,
	};
	int r;

	r = copy_prefixes(mapping->allow, mapping->n_allow, &policy.allow);
	if (r < 0)
		return r;
	policy.n_allow = mapping->n_allow;
	policy_normalize(&policy);
	*ret = policy;
	return 0;
}

void policy_normalize(struct policy *policy)
{
	policy->n_allow = merge_prefixes(policy->allow, policy->n_allow);
}

int policy_copy(const struct policy *policy, struct policy *ret)
{
	struct policy copy = *policy;
	int r;

	r = copy_prefixes(policy->allow, policy->n_allow, &copy.allow);
	if (r < 0)
		return r;
	*ret = copy;
	return 0;
}

void policy_clear(struct policy *policy)
{
	free(policy->allow);
	*policy = (struct policy){ 0 };
}

bool policy_is_empty(const struct policy *policy)
{
	return policy->n_allow == 0 && policy->max_connections == 0 &&
	       policy->new_connections_per_minute == 0 && policy->expires_at == 0;
}

bool policy_equal(const struct policy *a, const struct policy *b)
{
	return a->n_allow == b->n_allow && a->max_connections == b->max_connections &&
	       a->new_connections_per_minute == b->new_connections_per_minute &&
	       a->expires_at == b->expires_at &&
	       (a->n_allow == 0 || memcmp(a->allow, b->allow, a->n_allow * sizeof(*a->allow)) == 0);
}

bool policy_same_end(int64_t a, int64_t b)
{
	if (a == 0 || b == 0)
		return a == b;
	return a - b <= POLICY_EXPIRY_TOLERANCE_S && b - a <= POLICY_EXPIRY_TOLERANCE_S;
}
