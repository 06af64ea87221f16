/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Filters, policies, GPUs and the reasons host by host. */
#include "schedd/placement.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#define GIB (UINT64_C(1) << 30)

/* 8 cores and 32 GiB, of which this much is free. */
static struct placement_host host(const char *name, uint64_t cpu_free, uint64_t gib_free,
				  uint32_t environments)
{
	return (struct placement_host){
		.name = name,
		.pool = "default",
		.cpu_milli = 8000,
		.cpu_free = cpu_free,
		.memory_bytes = 32 * GIB,
		.memory_free = gib_free * GIB,
		.environments = environments,
	};
}

static const struct placement_request small = { .cpu_milli = 1000, .memory_bytes = GIB };

/* The name of the chosen host, "" where there is none. */
static const char *choose(const struct placement_host *hosts, size_t n,
			  const struct placement_request *request, const char *policy)
{
	struct placement_result result;
	int r = placement_choose(hosts, n, request, placement_policy_find(policy), &result);

	cr_assert(r == 0 || r == -ENOSPC);
	if (r < 0)
		return "";
	cr_assert_lt(result.host, n);
	return hosts[result.host].name;
}

Test(placement, a_policy_is_found_by_its_name)
{
	cr_expect_null(placement_policy_find("best"));
	cr_expect_null(placement_policy_find(""));
	cr_expect_eq(placement_policy_find(NULL), placement_policy_find("least-used"));
	cr_expect_neq(placement_policy_find("binpack"), placement_policy_find("spread"));
	/* Each name in the sentence of an error is one. */
	cr_expect(strstr(placement_policy_names(), "least-used"));
	cr_expect(strstr(placement_policy_names(), "binpack"));
	cr_expect(strstr(placement_policy_names(), "spread"));
}

Test(placement, policies_choose_by_what_is_free_or_by_number)
{
	const struct placement_host hosts[] = {
		host("a", 4000, 16, 5), host("b", 8000, 32, 9), /* the emptiest */
		host("c", 2000, 4, 1),                          /* the fullest */
		host("d", 8000, 2, 3),                          /* its memory is the scarcer */
	};

	cr_expect_str_eq(choose(hosts, 4, &small, NULL), "b");
	cr_expect_str_eq(choose(hosts, 4, &small, "least-used"), "b");
	cr_expect_str_eq(choose(hosts, 4, &small, "binpack"), "d");
	cr_expect_str_eq(choose(hosts, 4, &small, "spread"), "c");
}

Test(placement, among_equals_the_first_by_name_wins_in_any_order)
{
	const struct placement_host up[] = { host("a", 4000, 8, 1), host("b", 4000, 8, 1) };
	const struct placement_host down[] = { host("b", 4000, 8, 1), host("a", 4000, 8, 1) };
	static const char *const policies[] = { "least-used", "binpack", "spread" };

	for (size_t i = 0; i < ARRAY_SIZE(policies); i++) {
		cr_expect_str_eq(choose(up, 2, &small, policies[i]), "a");
		cr_expect_str_eq(choose(down, 2, &small, policies[i]), "a");
	}
}

Test(placement, a_host_that_just_fits_takes_it_and_one_unit_less_does_not)
{
	struct placement_host one = host("a", 1000, 1, 0);

	cr_expect_str_eq(choose(&one, 1, &small, NULL), "a");
	one.cpu_free = 999;
	cr_expect_str_eq(choose(&one, 1, &small, NULL), "");
	one.cpu_free = 1000;
	one.memory_free--;
	cr_expect_str_eq(choose(&one, 1, &small, NULL), "");
	cr_expect_str_eq(choose(NULL, 0, &small, NULL), "", "without hosts");
}

Test(placement, refusals_say_what_is_missing)
{
	const struct placement_request big = { .cpu_milli = 5000, .memory_bytes = 9 * GIB };
	const struct placement_request pooled = { .cpu_milli = 1,
						  .memory_bytes = 1,
						  .pool = "gpu" };
	struct placement_host drained = host("a", 8000, 32, 0), full = host("b", 4000, 32, 0);
	struct placement_host narrow = host("c", 8000, 8, 0), other = host("d", 8000, 32, 0);
	const struct {
		const struct placement_host *host;
		const struct placement_request *request;
		const char *reason; /* NULL: it takes it */
	} cases[] = {
		{ &drained, &small, "is draining" },
		{ &full, &big, "needs 5000 milli CPU, 4000 free" },
		{ &narrow, &big, "needs 9216 MiB memory, 8192 free" },
		{ &other, &pooled, "is in pool default, not gpu" },
		{ &other, &small, NULL },
		{ &other, &big, NULL },
	};

	drained.refusal = "is draining";
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		char buffer[PLACEMENT_REASON_MAX];
		const char *reason = placement_refusal(cases[i].host, cases[i].request, buffer);

		if (cases[i].reason)
			cr_expect_str_eq(reason, cases[i].reason);
		else
			cr_expect_null(reason, "%s", reason);
		/* The sentence and the choice agree. */
		cr_expect_eq(!*choose(cases[i].host, 1, cases[i].request, NULL),
			     cases[i].reason != NULL, "case %zu", i);
	}
}

/* ---- GPUs ---- */

static struct placement_gpu gpus[4];

static struct placement_host gpu_host(uint32_t a, uint32_t b, uint32_t c, uint32_t d)
{
	struct placement_host one = host("a", 8000, 32, 0);
	const uint32_t left[] = { a, b, c, d };

	for (size_t i = 0; i < 4; i++)
		gpus[i] = (struct placement_gpu){ .uuid = "GPU",
						  .model = i < 2 ? "A100" : "H200",
						  .free_milli = left[i] };
	one.gpus = gpus;
	one.n_gpus = 4;
	return one;
}

Test(placement, gpus_are_taken_whole_and_shares_from_the_fullest_that_has_room)
{
	char *h200[] = { (char *)"H200" }, *none[] = { (char *)"T4" };
	const struct string_list want_h200 = { h200, 1 }, want_none = { none, 1 };
	const struct {
		uint32_t left[4];
		uint32_t gpu, gpu_milli;
		const struct string_list *model;
		int r;
		size_t n;
		size_t index[4];
		uint32_t milli[4];
	} cases[] = {
		{ { 1000, 1000, 1000, 1000 }, 1, 0, NULL, 0, 1, { 0 }, { 1000 } },
		{ { 999, 1000, 0, 1000 }, 2, 0, NULL, 0, 2, { 1, 3 }, { 1000, 1000 } },
		{ { 999, 1000, 0, 999 }, 2, 0, NULL, -ENOSPC },
		{ { 1000, 1000, 1000, 1000 }, 2, 0, &want_h200, 0, 2, { 2, 3 }, { 1000, 1000 } },
		{ { 1000, 1000, 1000, 0 }, 2, 0, &want_h200, -ENOSPC },
		{ { 1000, 1000, 1000, 1000 }, 1, 0, &want_none, -ENOSPC },
		{ { 1000, 600, 300, 500 }, 0, 500, NULL, 0, 1, { 3 }, { 500 } },
		{ { 1000, 499, 300, 100 }, 0, 500, NULL, 0, 1, { 0 }, { 500 } },
		{ { 400, 499, 300, 100 }, 0, 500, NULL, -ENOSPC },
		/* The share does not take the GPU that the whole one needs, nor the same twice. */
		{ { 1000, 300, 0, 0 }, 1, 300, NULL, 0, 2, { 1, 0 }, { 300, 1000 } },
		{ { 1000, 200, 0, 0 }, 1, 300, NULL, -ENOSPC },
		{ { 1000, 1000, 0, 0 }, 1, 300, NULL, 0, 2, { 0, 1 }, { 300, 1000 } },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		const struct placement_host one = gpu_host(cases[i].left[0], cases[i].left[1],
							   cases[i].left[2], cases[i].left[3]);
		const struct placement_request request = { .cpu_milli = 1,
							   .memory_bytes = 1,
							   .gpu = cases[i].gpu,
							   .gpu_milli = cases[i].gpu_milli,
							   .gpu_model = cases[i].model };
		struct placement_result result;
		char buffer[PLACEMENT_REASON_MAX];

		cr_assert_eq(
			placement_choose(&one, 1, &request, placement_policy_find(NULL), &result),
			cases[i].r, "case %zu", i);
		cr_expect_eq(placement_refusal(&one, &request, buffer) == NULL, cases[i].r == 0);
		if (cases[i].r < 0)
			continue;
		cr_assert_eq(result.n_gpus, cases[i].n, "case %zu", i);
		for (size_t j = 0; j < result.n_gpus; j++) {
			cr_expect_eq(result.gpus[j].index, cases[i].index[j], "case %zu", i);
			cr_expect_eq(result.gpus[j].milli, cases[i].milli[j], "case %zu", i);
		}
	}
}

Test(placement, without_enough_gpus_the_reason_counts_them)
{
	struct placement_host bare = host("a", 8000, 32, 0), some;
	struct placement_request request = { .cpu_milli = 1, .memory_bytes = 1, .gpu = 3 };
	char *t4[] = { (char *)"T4" };
	const struct string_list want_t4 = { t4, 1 };
	char buffer[PLACEMENT_REASON_MAX];

	cr_expect_str_eq(placement_refusal(&bare, &request, buffer), "has no GPU");
	some = gpu_host(1000, 500, 1000, 0);
	cr_expect_str_eq(placement_refusal(&some, &request, buffer), "needs 3 GPUs, 2 of 4 free");
	request.gpu_model = &want_t4;
	cr_expect_str_eq(placement_refusal(&some, &request, buffer),
			 "has no GPU of the wanted model");
	request = (struct placement_request){ .gpu = 2, .gpu_milli = 600 };
	cr_expect_str_eq(placement_refusal(&some, &request, buffer),
			 "needs 2 GPUs and 600 thousandths of one, 2 of 4 are wholly free");
	request = (struct placement_request){ .gpu = PLACEMENT_GPUS_MAX, .gpu_milli = 1 };
	cr_expect(placement_refusal(&some, &request, buffer), "more than a result can hold");
}

/* ---- the explanation of all ---- */

Test(placement, the_explanation_names_each_host)
{
	const struct placement_host hosts[] = { host("h1", 500, 32, 0), host("h2", 8000, 0, 0) };
	char text[400];

	placement_explain(hosts, 2, &small, "alice", text, sizeof(text));
	cr_expect_str_eq(text, "no host can take alice: h1: needs 1000 milli CPU, 500 free; "
			       "h2: needs 1024 MiB memory, 0 free");
	placement_explain(NULL, 0, &small, "alice", text, sizeof(text));
	cr_expect_str_eq(text, "no host can take alice: no host has registered");
}

Test(placement, the_explanation_of_many_hosts_ends_with_a_count_and_never_overflows)
{
	static struct placement_host hosts[500];
	static char names[500][64];
	char text[400];

	for (size_t i = 0; i < 500; i++) {
		(void)snprintf(names[i], sizeof(names[i]), "host-with-a-long-name-%zu", i);
		hosts[i] = host(names[i], 0, 0, 0);
	}
	for (size_t size = 1; size <= sizeof(text); size++) {
		memset(text, '#', sizeof(text));
		placement_explain(hosts, 500, &small, "alice", text, size);
		cr_assert_lt(strnlen(text, size), size, "%zu bytes", size);
		for (size_t i = size; i < sizeof(text); i++)
			cr_assert_eq(text[i], '#', "%zu bytes", size);
	}
	cr_expect(strstr(text, "; and 49"), "%s", text);
	cr_expect(strstr(text, " more"), "%s", text);
}
