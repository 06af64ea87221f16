/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Findings as a list, and the judgement of numbers that a test cannot bring about on a machine. */
#include <stdio.h>
#include <string.h>

#include "gatewayd/findings.h"
#include "tests/unit/gatewayd/make.h"

static struct findings findings;

Test(findings, are_full_at_their_maximum)
{
	for (size_t i = 0; i < FINDINGS_MAX; i++)
		cr_assert_not_null(findings_add(&findings, FINDING_INFO, "a", "", "%zu", i));
	cr_assert_null(findings_add(&findings, FINDING_INFO, "a", "", "more"));
	finding_setting(NULL, "a", "1");
	finding_remedy(NULL, "b");
	cr_assert_eq(findings.n, FINDINGS_MAX);
	cr_assert_str_eq(findings.items[FINDINGS_MAX - 1].message, "63");
}

Test(findings, with_a_setting_have_its_command)
{
	struct finding *finding =
		findings_add(&findings, FINDING_ERROR, "ip_forward", "ipv4", "off");

	finding_setting(finding, "net.ipv4.ip_forward", "%d", 1);
	cr_assert_str_eq(finding->remedy, "sysctl -w net.ipv4.ip_forward=1");
	cr_assert_str_eq(finding->setting, "net.ipv4.ip_forward");
	cr_assert_str_eq(finding->value, "1");
}

Test(findings, are_the_same_by_code_and_subject)
{
	const struct finding *a = findings_add(&findings, FINDING_INFO, "x", "eth0", "81 %%");
	const struct finding *b = findings_add(&findings, FINDING_ERROR, "x", "eth0", "96 %%");
	const struct finding *c = findings_add(&findings, FINDING_INFO, "x", "eth1", "81 %%");
	const struct finding *d = findings_add(&findings, FINDING_INFO, "y", "eth0", "81 %%");

	cr_assert(finding_same(a, b));
	cr_assert_not(finding_same(a, c));
	cr_assert_not(finding_same(a, d));
}

struct row {
	struct conntrack_size size;
	const char *expected; /* LEVEL CODE REMEDY, of one finding; "" for none */
};

#define MAX_REMEDY "sysctl -w net.netfilter.nf_conntrack_max="
#define BUCKETS_REMEDY "sysctl -w net.netfilter.nf_conntrack_buckets="

static const struct row rows[] = {
	{ { .max = 262144, .count = 0, .buckets = 262144, .mappings = 65536 }, "" },
	{ { .max = 262144, .count = 209715, .buckets = 65536 }, "" },
	{ { .max = 262144, .count = 212337 }, "warning conntrack_fill " MAX_REMEDY "524288" },
	{ { .max = 262144, .count = 252000 }, "error conntrack_fill " MAX_REMEDY "524288" },
	{ { .max = 262144, .count = 262144 }, "error conntrack_fill " MAX_REMEDY "524288" },
	{ { .max = 262144, .mappings = 65537 }, "warning conntrack_max " MAX_REMEDY "524288" },
	{ { .max = 1000, .mappings = 300 }, "warning conntrack_max " MAX_REMEDY "65536" },
	{ { .max = 262144, .buckets = 1024 },
	  "warning conntrack_buckets " BUCKETS_REMEDY "131072" },
	{ { .max = 262144, .buckets = 32768 }, "" },
};

Test(findings, judge_the_size_of_connection_tracking)
{
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		char said[512] = "";

		findings.n = 0;
		findings_judge_conntrack(&findings, &rows[i].size);
		cr_assert_leq(findings.n, 1, "row %zu", i);
		if (findings.n > 0)
			(void)snprintf(said, sizeof(said), "%s %s %s",
				       finding_level_name(findings.items[0].level),
				       findings.items[0].code, findings.items[0].remedy);
		cr_assert_str_eq(said, rows[i].expected, "row %zu: %s", i, said);
	}
}
