/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Findings about kernel and privilege: whether our table can be made at all. */
#include <errno.h>
#include <string.h>

#include "gatewayd/encode.h"
#include "gatewayd/findings.h"
#include "gatewayd/netlink.h"
#include "gatewayd/transact.h"

#define DRY_RUN_TIMEOUT_MS 1000

/* The whole table in one batch without its END: the kernel checks all of it, answers every error,
 * and aborts. */
static int dry_run(struct netlink *netlink, const struct shape *shape,
		   struct transact_result *result)
{
	struct structure nothing = { 0 };
	struct ledger ledger = LEDGER_INIT;
	struct encode_options options = { 0 };
	struct plan plan;
	struct batch batch;
	int r;

	r = plan_make(&ledger, &nothing, 0, &plan);
	if (r < 0)
		return r;
	options.first_sequence = netlink_sequences(netlink, batch_sequences_max(&plan));
	r = encode_plan(&plan, shape, &options, &batch);
	plan_clear(&plan);
	if (r < 0)
		return r;
	batch.length -= batch.end_length;
	r = transact(netlink, &batch, true, DRY_RUN_TIMEOUT_MS, result, NULL);
	batch_clear(&batch);
	return r;
}

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

void findings_kernel(struct findings *findings, const struct shape *shape)
{
	struct netlink netlink = NETLINK_INIT;
	struct transact_result result;
	int r;

	r = netlink_open(&netlink, 0);
	if (r == 0)
		r = dry_run(&netlink, shape, &result);
	if (r < 0)
		finding_remedy(findings_add(findings, FINDING_ERROR, "kernel", "",
					    "nf_tables cannot be reached: %s", strerror(-r)),
			       "modprobe nf_tables");
	else
		judge_dry_run(findings, &result);
	netlink_close(&netlink);
}

void findings_features(struct findings *findings)
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
}
