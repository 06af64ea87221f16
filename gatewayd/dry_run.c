/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A batch without its end. */
#include "gatewayd/dry_run.h"

#include <sys/socket.h>

#include "gatewayd/encode.h"
#include "gatewayd/ledger.h"
#include "gatewayd/plan.h"

/* The kernel answers within sendmsg(2), so there is nothing to wait for but what is queued. */
#define DRY_RUN_TIMEOUT_MS 100

/* Mappings that are never made, of the address blocks for examples. */
static const struct address sample4 = { .family = AF_INET, .bytes = { 192, 0, 2, 1 } };
static const struct address sample6 = { .family = AF_INET6, .bytes = { 0x20, 0x01, 0x0d, 0xb8 } };

static int desire_sample(struct ledger *ledger, const struct address *sample,
			 const struct policy *policy)
{
	const struct mapping_key key = { .address = *sample, .port = 1, .protocol = PROTOCOL_TCP };
	const struct endpoint target = { .address = *sample, .port = 1 };

	return ledger_desire(ledger, &key, &target, NULL, policy, 0, NULL);
}

int dry_run(struct netlink *netlink, const struct shape *shape, const struct policy *policy,
	    struct transact_result *result)
{
	struct structure nothing = { 0 };
	struct ledger ledger = LEDGER_INIT;
	struct encode_options options = { .ack_last = true };
	struct plan plan;
	struct batch batch;
	int r;

	r = desire_sample(&ledger, &sample4, policy);
	if (r == 0)
		r = desire_sample(&ledger, &sample6, NULL);
	if (r == 0)
		r = plan_make(&ledger, shape, &nothing, 0, &plan);
	if (r == 0) {
		if (!policy) /* a map that is there and full is no lack of the kernel's */
			plan.n_operations = 0;
		options.first_sequence = netlink_sequences(netlink, batch_sequences_max(&plan));
		r = encode_plan(&plan, shape, &options, &batch);
		plan_clear(&plan);
	}
	ledger_clear(&ledger);
	if (r < 0)
		return r;
	batch.length -= batch.end_length;
	r = transact(netlink, &batch, false, DRY_RUN_TIMEOUT_MS, result, NULL);
	batch_clear(&batch);
	return r;
}
