/* SPDX-License-Identifier: GPL-2.0-or-later */
/* One nftables transaction: the bytes of a batch in, what became of it out. It knows neither what
 * the batch means nor what to do about a failure.
 */
#pragma once

#include "gatewayd/encode.h"
#include "gatewayd/netlink.h"
#include "lib/error.h"

enum transact_outcome {
	TRANSACT_COMMITTED, /* the kernel's receipt is here */
	TRANSACT_ACKED,     /* no error and the last command acknowledged, where no receipt was
			     * waited for: this proves nothing */
	TRANSACT_REJECTED,  /* nothing of it was done: see errors */
	TRANSACT_UNKNOWN,   /* neither receipt nor error: close the socket and read back */
};

#define TRANSACT_ERRORS_MAX 64
#define TRANSACT_TEXT_MAX 96

/* One answer that is an error. */
struct transact_error {
	uint32_t sequence;
	int errnum;                   /* negative */
	uint32_t offset;              /* of the attribute that is blamed, 0 if unknown */
	char text[TRANSACT_TEXT_MAX]; /* the kernel's extended-ack text, "" if none */
};

struct transact_result {
	enum transact_outcome outcome;
	int batch_error; /* REJECTED: an error of the whole batch (-EPERM, -ERESTART, …), or 0;
			  * UNKNOWN: why: -ENOBUFS, -ETIMEDOUT, -EMSGSIZE, … */
	struct transact_error errors[TRANSACT_ERRORS_MAX]; /* of commands, in their order */
	size_t n_errors;
	bool more; /* there were more than fit */
};

/* Whether this kernel acknowledges BATCH_END after a commit (Linux 6.10 and newer): found out with
 * an empty batch, which changes nothing. With an older one a batch has to ask for an echo, see
 * encode_options. -EPERM without CAP_NET_ADMIN. */
int transact_probe(struct netlink *netlink, bool *ret_end_acked) _must_check_;

/* Sends the batch in one go and reads all answers, until the receipt where it is wanted. Returns an
 * error, with a sentence, only where nothing was sent (-EMSGSIZE, …); all else is in *ret. */
int transact(struct netlink *netlink, const struct batch *batch, bool receipt, uint64_t timeout_ms,
	     struct transact_result *ret, struct error *err) _must_check_;
