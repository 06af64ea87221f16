/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The table of routes and roles as a whole, and who sees whose. What each route answers to each
 * role is tried on the running program, by tests/e2e/access.bats. */
#include <criterion/criterion.h>
#include <string.h>

#include "schedd/access.h"

Test(access, each_route_has_one_rule)
{
	for (size_t i = 0; i < access_n_rules; i++)
		cr_assert_eq(access_find(access_rules[i].method, access_rules[i].pattern),
			     &access_rules[i], "%s is there twice", access_rules[i].pattern);
	cr_assert_null(access_find(HTTP_GET, "/v1/secrets"));
	cr_assert_null(access_find(HTTP_PUT, "/v1/hosts"));
}

Test(access, an_admin_may_all_and_only_states_are_open)
{
	for (size_t i = 0; i < access_n_rules; i++) {
		const struct access_rule *rule = &access_rules[i];

		cr_assert_eq(rule->open, strncmp(rule->pattern, "/v1/", 4) != 0, "%s",
			     rule->pattern);
		if (!rule->open)
			cr_assert_eq(rule->by_role[ROLE_ADMIN], ACCESS_ALL, "%s", rule->pattern);
	}
}

/* All but admins are for what is theirs, wherever they are let in. */
Test(access, nobody_else_has_what_is_others)
{
	for (size_t i = 0; i < access_n_rules; i++)
		for (int role = ROLE_CUSTOMER; role < ROLE_MAX; role++)
			cr_assert_neq(access_rules[i].by_role[role], ACCESS_ALL, "%s of role %s",
				      access_rules[i].pattern, role_name((enum role)role));
}

Test(access, a_customer_sees_its_own)
{
	struct caller caller = { .role = ROLE_CUSTOMER, .access = ACCESS_OWN, .subject = "alice" };

	cr_assert(access_sees(&caller, "alice"));
	cr_assert_not(access_sees(&caller, "alic"));
	cr_assert_not(access_sees(&caller, "alice2"));
	cr_assert_not(access_sees(&caller, NULL));
	caller.role = ROLE_HOST;
	cr_assert_not(access_sees(&caller, "alice"));
	caller = (struct caller){ .role = ROLE_ADMIN, .access = ACCESS_ALL };
	cr_assert(access_sees(&caller, NULL));
	cr_assert(access_sees(&caller, "alice"));
}
