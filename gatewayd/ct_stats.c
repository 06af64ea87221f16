/* SPDX-License-Identifier: GPL-2.0-or-later */
/* How full the kernel's connection tracking is, what it had to refuse, and whether it counts. */
#include "gatewayd/ct_stats.h"

#include <arpa/inet.h>
#include <libmnl/libmnl.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netfilter/nfnetlink_conntrack.h>
#include <sys/socket.h>

#include "gatewayd/ctnetlink.h"
#include "lib/file.h"

#define TIMEOUT_MS 1000
#define SETTING_MAX 32

static uint32_t read_u32(const struct nlattr *attr)
{
	return mnl_attr_validate(attr, MNL_TYPE_U32) >= 0 ? ntohl(mnl_attr_get_u32(attr)) : 0;
}

static int on_fill(const struct nlmsghdr *message, void *userdata)
{
	struct ct_stats *stats = userdata;
	const struct nlattr *attr;

	mnl_attr_for_each(attr, message, sizeof(struct nfgenmsg))
	{
		if (mnl_attr_get_type(attr) == CTA_STATS_GLOBAL_ENTRIES)
			stats->entries = read_u32(attr);
		else if (mnl_attr_get_type(attr) == CTA_STATS_GLOBAL_MAX_ENTRIES)
			stats->limit = read_u32(attr);
	}
	return 0;
}

static int on_cpu(const struct nlmsghdr *message, void *userdata)
{
	struct ct_stats *stats = userdata;
	const struct nlattr *attr;

	mnl_attr_for_each(attr, message, sizeof(struct nfgenmsg))
	{
		if (mnl_attr_get_type(attr) == CTA_STATS_INSERT_FAILED)
			stats->insert_failed += read_u32(attr);
		else if (mnl_attr_get_type(attr) == CTA_STATS_DROP)
			stats->drop += read_u32(attr);
		else if (mnl_attr_get_type(attr) == CTA_STATS_EARLY_DROP)
			stats->early_drop += read_u32(attr);
	}
	return 0;
}

static bool is_on(const char *path, bool before)
{
	_cleanup_free_ char *text = NULL;

	if (file_read(path, SETTING_MAX, &text, NULL, NULL) < 0)
		return before;
	return text[0] != '0';
}

void ct_stats_read(struct netlink *netlink, struct ct_stats *stats)
{
	_Alignas(struct nlmsghdr) uint8_t buffer[CT_REQUEST_MAX] = { 0 };
	struct ct_stats sums = { 0 };

	(void)!netlink_request(netlink, ct_request_fill(buffer), TIMEOUT_MS, on_fill, stats);
	if (netlink_request(netlink, ct_request_cpu_stats(buffer), TIMEOUT_MS, on_cpu, &sums) ==
	    0) {
		stats->insert_failed = sums.insert_failed;
		stats->drop = sums.drop;
		stats->early_drop = sums.early_drop;
	}
	stats->counts_bytes =
		is_on("/proc/sys/net/netfilter/nf_conntrack_acct", stats->counts_bytes);
	stats->tells_ends = is_on("/proc/sys/net/netfilter/nf_conntrack_events", stats->tells_ends);
	stats->notes_times =
		is_on("/proc/sys/net/netfilter/nf_conntrack_timestamp", stats->notes_times);
}
