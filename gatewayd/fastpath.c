/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Whether the fast path is to be used: by the option, and by what the kernel can. */
#include "gatewayd/fastpath.h"

#include <errno.h>
#include <string.h>

#include "gatewayd/dry_run.h"
#include "gatewayd/netlink.h"
#include "gatewayd/transact.h"
#include "lib/thread.h"

enum fastpath_mode fastpath_mode_parse(const char *name)
{
	static const char *const names[FASTPATH_MODE_MAX] = {
		[FASTPATH_AUTO] = "auto",
		[FASTPATH_ON] = "on",
		[FASTPATH_OFF] = "off",
	};

	for (int i = 0; i < FASTPATH_MODE_MAX; i++)
		if (strcmp(names[i], name) == 0)
			return i;
	return FASTPATH_MODE_INVALID;
}

/* A table with a flowtable without devices is tried. */
int fastpath_probe(struct error *err)
{
	const struct shape shape = { .map_size = 1, .fastpath = true };
	struct netlink netlink = NETLINK_INIT;
	struct transact_result result;
	int r;

	r = netlink_open(&netlink, 0);
	if (r == 0)
		r = dry_run(&netlink, &shape, NULL, &result);
	if (r == 0 && result.outcome == TRANSACT_UNKNOWN)
		r = -ETIMEDOUT;
	netlink_close(&netlink);
	if (r < 0)
		return error_set(err, r, "kernel", "fastpath",
				 "fastpath: nf_tables does not answer: %s", strerror(-r));
	/* A table of ours that is there already has other maps than this one, and the same
	 * flowtable with others' devices is none of our business here. */
	for (size_t i = 0; i < result.n_errors; i++)
		if (result.errors[i].errnum == -EOPNOTSUPP || result.errors[i].errnum == -ENOENT)
			return error_set(
				err, -EOPNOTSUPP, "kernel", "fastpath",
				"fastpath: this kernel has no flowtable; try modprobe -a "
				"nf_flow_table nf_flow_table_inet nft_flow_offload, or auto");
	return 0;
}

static void *ask(void *userdata)
{
	struct fastpath_question *question = userdata;

	question->answer = fastpath_probe(&question->reason);
	return NULL;
}

void fastpath_ask(struct fastpath_question *ret, enum fastpath_mode mode)
{
	*ret = (struct fastpath_question){ .mode = mode, .reason = ERROR_INIT };
	if (mode == FASTPATH_OFF)
		return;
	ret->asked = thread_start(&ret->thread, ask, ret) == 0;
	if (!ret->asked)
		(void)ask(ret);
}

void fastpath_forget(struct fastpath_question *question)
{
	if (question->asked)
		(void)pthread_join(question->thread, NULL);
	question->asked = false;
}

int fastpath_choose(struct fastpath_question *question, struct fastpath_choice *ret,
		    struct error *err)
{
	const struct error *reason = &question->reason;
	int r;

	*ret = (struct fastpath_choice){ 0 };
	if (question->mode == FASTPATH_OFF)
		return 0;
	fastpath_forget(question);
	r = question->answer;
	ret->used = r == 0;
	ret->no_flowtable = r == -EOPNOTSUPP;
	/* With auto a finding says it. */
	return r < 0 && question->mode == FASTPATH_ON
		       ? error_set(err, r, reason->code, reason->field, "%s", reason->message)
		       : 0;
}
