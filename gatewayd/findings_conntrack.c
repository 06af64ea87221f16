/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Findings about connection tracking: whether its table is large enough, how full it is, and
 * whether it keeps what /v1/sessions and the counters show.
 */
#include <inttypes.h>

#include "gatewayd/findings.h"
#include "gatewayd/host_setting.h"

/* Of the limit, in per cent. */
#define FILL_WARNING 80
#define FILL_ERROR 95
/* Connections that there should be room for, for each mapping. */
#define ENTRIES_PER_MAPPING 4
/* Entries in one bucket that make each lookup slow. */
#define CHAIN_MAX 8

static uint64_t power_of_two(uint64_t least)
{
	uint64_t power = 65536;

	while (power < least)
		power *= 2;
	return power;
}

static void check_fill(struct findings *findings, const struct conntrack_size *size)
{
	uint64_t fill = size->count * 100 / size->max;

	if (fill <= FILL_WARNING)
		return;
	finding_remedy(
		findings_add(findings, fill > FILL_ERROR ? FINDING_ERROR : FINDING_WARNING,
			     "conntrack_fill", "",
			     "connection tracking is %" PRIu64 " %% full (%" PRIu64 " of %" PRIu64
			     "): once it is full new connections are dropped, and old ones "
			     "go on",
			     fill, size->count, size->max),
		"sysctl -w net.netfilter.nf_conntrack_max=%" PRIu64, power_of_two(size->max * 2));
}

static void check_size(struct findings *findings, const struct conntrack_size *size)
{
	if (size->max >= size->mappings * ENTRIES_PER_MAPPING)
		return;
	finding_setting(findings_add(findings, FINDING_WARNING, "conntrack_max", "",
				     "nf_conntrack_max is %" PRIu64 " for %zu mappings: room for "
				     "fewer than %d connections each",
				     size->max, size->mappings, ENTRIES_PER_MAPPING),
			"net.netfilter.nf_conntrack_max", "%" PRIu64,
			power_of_two((uint64_t)size->mappings * ENTRIES_PER_MAPPING));
}

static void check_buckets(struct findings *findings, const struct conntrack_size *size)
{
	if (size->buckets == 0 || size->max / size->buckets <= CHAIN_MAX)
		return;
	finding_setting(findings_add(findings, FINDING_WARNING, "conntrack_buckets", "",
				     "connection tracking has %" PRIu64
				     " buckets for up to %" PRIu64
				     " entries: each packet searches a long chain",
				     size->buckets, size->max),
			"net.netfilter.nf_conntrack_buckets", "%" PRIu64, size->max / 2);
}

void findings_judge_conntrack(struct findings *findings, const struct conntrack_size *size)
{
	check_fill(findings, size);
	check_size(findings, size);
	check_buckets(findings, size);
}

static void check_switch(struct findings *findings, const char *setting, const char *code,
			 const char *message)
{
	uint64_t value = 1;

	if (host_setting_read_uint(setting, &value) == 0 && value == 0)
		finding_setting(findings_add(findings, FINDING_INFO, code, "", "%s", message),
				setting, "1");
}

void findings_conntrack(struct findings *findings, const struct findings_view *view)
{
	struct conntrack_size size = { .mappings = view->ledger ? view->ledger->n_desired : 0 };

	/* Until the first table with NAT there may be no connection tracking to look at. */
	if (host_setting_read_uint("net.netfilter.nf_conntrack_max", &size.max) < 0 ||
	    host_setting_read_uint("net.netfilter.nf_conntrack_count", &size.count) < 0 ||
	    size.max == 0)
		return;
	(void)!host_setting_read_uint("net.netfilter.nf_conntrack_buckets", &size.buckets);
	findings_judge_conntrack(findings, &size);
	check_switch(findings, "net.netfilter.nf_conntrack_acct", "conntrack_acct",
		     "connection tracking does not count: bytes and packets of connections are "
		     "unknown");
	check_switch(findings, "net.netfilter.nf_conntrack_events", "conntrack_events",
		     "connection tracking tells of no ends: what connections carry shortly before "
		     "their end is not counted");
	check_switch(findings, "net.netfilter.nf_conntrack_timestamp", "conntrack_timestamp",
		     "connection tracking keeps no times: the age of connections is unknown");
}
