/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What hosts have for placement: their capacity, and how much of their CPU may be given away. */
#include "tests/unit/schedd/rows.h"
#include "schedd/scheduler_private.h"

static struct state state;

static void set_up(void)
{
	row_state(&state);
}

static void tear_down(void)
{
	state_clear(&state);
}

TestSuite(candidates, .init = set_up, .fini = tear_down);

static struct environment_spec small(void)
{
	return (struct environment_spec){ .cpu_milli = 100, .memory_bytes = 1 << 20 };
}

/* An environment of half a core and 1 GiB on the only host. */
static void place_one(unsigned overcommit)
{
	struct host *host = row_host("host1");
	struct environment *environment = row_environment("env-1", "demo");

	host->cpu_overcommit = overcommit;
	(void)snprintf(environment->host, sizeof(environment->host), "host1");
	row_load(&state, host);
	row_load(&state, environment);
}

static void expect_cpu(uint64_t all, uint64_t left)
{
	const struct environment_spec spec = small();
	struct candidates candidates;

	cr_assert_eq(candidates_make(&state, &spec, &candidates), 0);
	cr_assert_eq(candidates.n_hosts, 1);
	cr_expect_eq(candidates.hosts[0].cpu_milli, all);
	cr_expect_eq(candidates.hosts[0].cpu_free, left);
	/* What cannot be shared by waiting is not given away twice. */
	cr_expect_eq(candidates.hosts[0].memory_bytes, (uint64_t)8 << 30);
	cr_expect_eq(candidates.hosts[0].memory_free, (uint64_t)7 << 30);
	candidates_clear(&candidates);
}

Test(candidates, a_host_has_what_it_has)
{
	place_one(0);
	expect_cpu(4000, 3500);
}

Test(candidates, the_default_overcommit_is_for_hosts_without_their_own)
{
	state.cpu_overcommit = 150;
	place_one(0);
	expect_cpu(6000, 5500);
}

Test(candidates, a_host_has_its_own_overcommit)
{
	state.cpu_overcommit = 150;
	place_one(200);
	expect_cpu(8000, 7500);
}

Test(candidates, a_lower_overcommit_takes_nothing_away)
{
	state.cpu_overcommit = 100;
	place_one(0);
	state_host(&state, "host1")->newest.cpu_milli = 7000;
	expect_cpu(4000, 0);
}

Test(candidates, a_host_that_claims_everything_has_much)
{
	struct host *host = row_host("host1");

	host->origin->registration.capacity.cpu_milli = INT64_MAX;
	host->cpu_overcommit = OVERCOMMIT_MAX;
	cr_expect_eq(state_host_cpu(&state, host), INT64_MAX);
	record_free(&host->record);
}
