/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Findings about kernel and privilege: whether our table can be made at all. */
#include <errno.h>
#include <string.h>

#include "gatewayd/dry_run.h"
#include "gatewayd/findings.h"
#include "gatewayd/netlink.h"
#include "gatewayd/transact.h"

static void judge_dry_run(struct findings *findings, const struct transact_result *result)
{
	const struct transact_error *first = result->n_errors > 0 ? &result->errors[0] : NULL;

	if (result->batch_error == -EPERM || (first && first->errnum == -EPERM))
		finding_remedy(
			findings_add(findings, FINDING_ERROR, "privilege", "",
				     "CAP_NET_ADMIN is missing: nf_tables cannot be "
				     "programmed"),
			"run as root, or with AmbientCapabilities=CAP_NET_ADMIN in the unit");
	/* A table that is there already with other maps is no lack of the kernel's. */
	else if (first && first->errnum != -EEXIST)
		finding_remedy(findings_add(findings, FINDING_ERROR, "kernel", "",
					    "the kernel does not take our table: %s%s%s",
					    strerror(-first->errnum), first->text[0] ? ": " : "",
					    first->text),
			       "modprobe -a nf_tables nft_nat nft_masq nft_ct nf_nat");
}

/* A table that is there already with other maps, or with maps that are full, is no lack of the
 * kernel's. NULL: it has all. */
static const struct transact_error *find_lack(const struct transact_result *result)
{
	for (size_t i = 0; i < result->n_errors; i++)
		if (result->errors[i].errnum != -EEXIST && result->errors[i].errnum != -ENFILE)
			return &result->errors[i];
	return NULL;
}

/* Kernels lack one or the other kind of set or statement. Mappings that need it are refused. */
static void try_limits(struct findings *findings, struct netlink *netlink,
		       const struct shape *shape)
{
	struct prefix everyone = { .address.family = AF_INET };
	const struct {
		const char *field;
		struct policy policy;
	} limits[] = {
		{ "allow", { .allow = &everyone, .n_allow = 1 } },
		{ "new_connections_per_minute", { .new_connections_per_minute = 1 } },
		{ "max_connections", { .max_connections = 1 } },
		{ "expires_at", { .expires_at = 1 } },
	};

	for (size_t i = 0; i < ARRAY_SIZE(limits); i++) {
		const struct transact_error *lack = NULL;
		struct transact_result result;

		if (dry_run(netlink, shape, &limits[i].policy, &result) == 0)
			lack = find_lack(&result);
		if (!lack)
			continue;
		finding_remedy(
			findings_add(findings, FINDING_WARNING, "kernel_limit", limits[i].field,
				     "the kernel cannot enforce %s, so that mappings with it "
				     "are refused: %s",
				     limits[i].field, strerror(-lack->errnum)),
			"modprobe -a nft_limit nft_connlimit, or boot a newer kernel");
	}
}

void findings_kernel(struct findings *findings, const struct shape *shape)
{
	struct netlink netlink = NETLINK_INIT;
	struct transact_result result;
	int r;

	r = netlink_open(&netlink, 0);
	if (r == 0)
		r = dry_run(&netlink, shape, NULL, &result);
	if (r < 0)
		finding_remedy(findings_add(findings, FINDING_ERROR, "kernel", "",
					    "nf_tables cannot be reached: %s", strerror(-r)),
			       "modprobe nf_tables");
	else if (result.n_errors > 0 || result.batch_error == -EPERM)
		judge_dry_run(findings, &result);
	else
		try_limits(findings, &netlink, shape);
	netlink_close(&netlink);
}

static void tell_no_flowtable(struct findings *findings)
{
	finding_remedy(findings_add(findings, FINDING_INFO, "fastpath", "",
				    "this kernel has no flowtable: open connections take the usual "
				    "path"),
		       "modprobe -a nf_flow_table nf_flow_table_inet nft_flow_offload");
}

void findings_features(struct findings *findings, bool no_flowtable)
{
	struct netlink netlink = NETLINK_INIT;
	bool end_acked = true;

	if (netlink_open(&netlink, 0) == 0 && transact_probe(&netlink, &end_acked) == 0 &&
	    !end_acked)
		finding_remedy(findings_add(findings, FINDING_INFO, "kernel_receipt", "",
					    "this kernel does not acknowledge the end of a "
					    "transaction: an echo of its last command serves as "
					    "receipt"),
			       "boot a kernel of 6.10 or newer");
	netlink_close(&netlink);
	if (no_flowtable)
		tell_no_flowtable(findings);
}
