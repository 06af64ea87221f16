/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Policies: prefixes within others are left out, and which ends are the same. */
#include <string.h>

#include "gatewayd/policy.h"
#include "tests/unit/gatewayd/make.h"

#define PREFIXES_MAX 8

/* The prefixes that are left of a list separated by spaces, in the same form; static. */
static const char *merged(const char *list)
{
	static char text[PREFIXES_MAX * PREFIX_STRING_MAX];
	struct prefix prefixes[PREFIXES_MAX];
	struct mapping mapping = { .allow = prefixes };
	char copy[sizeof(text)], one[PREFIX_STRING_MAX], *rest = copy, *word;
	struct policy policy;

	(void)strncpy(copy, list, sizeof(copy) - 1);
	copy[sizeof(copy) - 1] = '\0';
	while ((word = strsep(&rest, " ")))
		cr_assert_eq(prefix_parse(word, &prefixes[mapping.n_allow++]), 0, "%s", word);
	cr_assert_eq(policy_of_mapping(&mapping, &policy), 0);
	text[0] = '\0';
	for (size_t i = 0; i < policy.n_allow; i++) {
		size_t n = strlen(text);

		(void)snprintf(text + n, sizeof(text) - n, "%s%s", i ? " " : "",
			       prefix_format(&policy.allow[i], one));
	}
	policy_clear(&policy);
	return text;
}

struct row {
	const char *given, *left;
};

static const struct row rows[] = {
	{ "10.0.0.0/8", "10.0.0.0/8" },
	{ "10.1.0.0/16 10.0.0.0/8 10.1.2.3", "10.0.0.0/8" },
	{ "10.0.0.0/8 10.0.0.0/8", "10.0.0.0/8" },
	{ "192.0.2.0/25 192.0.2.128/25", "192.0.2.0/25 192.0.2.128/25" },
	{ "10.0.0.0/9 10.128.0.0/9 10.0.0.1 11.0.0.1", "10.0.0.0/9 10.128.0.0/9 11.0.0.1/32" },
	{ "10.1.0.0/16 10.0.0.0/15 10.2.0.0/16", "10.0.0.0/15 10.2.0.0/16" },
	{ "203.0.113.9 0.0.0.0/0", "0.0.0.0/0" },
	{ "2001:db8:1::/48 2001:db8::/32 2001:db9::1", "2001:db8::/32 2001:db9::1/128" },
	{ "2001:db8::/33 2001:db8:8000::/33", "2001:db8::/33 2001:db8:8000::/33" },
};

Test(policy, prefixes_within_others_are_left_out)
{
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
		cr_assert_str_eq(merged(rows[i].given), rows[i].left, "%s: %s", rows[i].given,
				 merged(rows[i].given));
}

Test(policy, is_copied_compared_and_empty)
{
	struct prefix prefix;
	const struct mapping mapping = { .allow = &prefix, .n_allow = 1, .max_connections = 3 };
	struct policy policy, copy;

	cr_assert_eq(prefix_parse("10.0.0.0/8", &prefix), 0);
	cr_assert_eq(policy_of_mapping(&mapping, &policy), 0);
	cr_assert_not(policy_is_empty(&policy));
	cr_assert_eq(policy_copy(&policy, &copy), 0);
	cr_assert(policy_equal(&policy, &copy));
	copy.allow[0].length = 9;
	cr_assert_not(policy_equal(&policy, &copy));
	copy.allow[0].length = 8;
	copy.max_connections = 4;
	cr_assert_not(policy_equal(&policy, &copy));
	policy_clear(&copy);
	cr_assert(policy_is_empty(&copy));
	policy_clear(&policy);
}

Test(policy, an_end_is_the_same_within_two_seconds)
{
	cr_assert(policy_same_end(1000, 1002));
	cr_assert(policy_same_end(1002, 1000));
	cr_assert_not(policy_same_end(1000, 1003));
	cr_assert(policy_same_end(0, 0));
	cr_assert_not(policy_same_end(0, 1), "never is not soon");
}
