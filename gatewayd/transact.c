/* SPDX-License-Identifier: GPL-2.0-or-later */
/* One nftables transaction: the bytes of a batch in, what became of it out. It knows neither what
 * the batch means nor what to do about a failure.
 *
 * The kernel runs the whole batch even behind an error and then sends the errors, so a single
 * command's acknowledgement proves nothing. Only the one of BATCH_END is sent after a commit. Older
 * kernels do not send it, but tell of the new generation whoever asked for an echo.
 */
#include "gatewayd/transact.h"

#include <arpa/inet.h>
#include <errno.h>
#include <libmnl/libmnl.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>
#include <stdio.h>
#include <string.h>

#include "lib/clock.h"

/* The kernel answers within sendmsg(2), so there is nothing to wait for but what is queued. */
#define PROBE_TIMEOUT_MS 1000
/* Receive buffer for one answer: the message and what the kernel adds for its own accounting. */
#define ANSWER_BYTES ((size_t)1024)
#define RECEIVE_BYTES_MAX ((size_t)8 << 20)

struct answers {
	const struct batch *batch;
	struct transact_result *result;
	bool receipt_seen, last_seen;
};

static void note_error(struct answers *answers, const struct nlmsghdr *message, int errnum)
{
	struct transact_result *result = answers->result;
	struct transact_error *error;
	const char *text;

	if (message->nlmsg_seq == answers->batch->begin_sequence ||
	    message->nlmsg_seq == answers->batch->end_sequence) {
		if (result->batch_error == 0)
			result->batch_error = errnum;
		return;
	}
	if (result->n_errors == TRANSACT_ERRORS_MAX) {
		result->more = true;
		return;
	}
	error = &result->errors[result->n_errors++];
	error->sequence = message->nlmsg_seq;
	error->errnum = errnum;
	text = netlink_error_text(message, &error->offset);
	(void)snprintf(error->text, sizeof(error->text), "%s", text ? text : "");
}

static void take_message(struct answers *answers, const struct nlmsghdr *message)
{
	const struct nlmsgerr *error = mnl_nlmsg_get_payload(message);
	uint32_t place = message->nlmsg_seq - answers->batch->begin_sequence;

	if (place >= answers->batch->n_sequences)
		return; /* of an older batch */
	if (message->nlmsg_type == ((NFNL_SUBSYS_NFTABLES << 8) | NFT_MSG_NEWGEN))
		answers->receipt_seen = true;
	if (message->nlmsg_type != NLMSG_ERROR ||
	    mnl_nlmsg_get_payload_len(message) < sizeof(*error))
		return;
	if (error->error != 0)
		note_error(answers, message, error->error < 0 ? error->error : -EPROTO);
	else if (message->nlmsg_seq == answers->batch->end_sequence)
		answers->receipt_seen = true;
	else if (message->nlmsg_seq == answers->batch->last_sequence)
		answers->last_seen = true;
}

static void take_datagram(struct answers *answers, const void *data, size_t length)
{
	const struct nlmsghdr *message = data;
	int left = (int)length;

	while (netlink_message_ok(message, left)) {
		take_message(answers, message);
		message = mnl_nlmsg_next(message, &left);
	}
}

static bool failed(const struct transact_result *result)
{
	return result->batch_error != 0 || result->n_errors > 0;
}

/* Reads what is there. Once the receipt or an error has come, the rest is queued already and the
 * wait is over when the queue is empty. */
static int read_answers(struct netlink *netlink, struct answers *answers, bool receipt,
			uint64_t deadline)
{
	_cleanup_free_ uint8_t *buffer = malloc(NETLINK_DATAGRAM_MAX);

	if (!buffer)
		return -ENOMEM;
	for (;;) {
		bool enough = answers->receipt_seen || failed(answers->result) ||
			      (!receipt && answers->last_seen);
		size_t length;
		int r;

		r = netlink_receive(netlink, buffer, NETLINK_DATAGRAM_MAX, enough ? 0 : deadline,
				    &length);
		if (r == -ETIMEDOUT && enough)
			return 0;
		if (r < 0)
			return r;
		take_datagram(answers, buffer, length);
		/* END's acknowledgement is the last of all. */
		if (receipt && answers->receipt_seen && !failed(answers->result))
			return 0;
	}
}

/* An answer that got lost (r) may have been an error as well as the receipt: but an error that did
 * come is proof enough that nothing was done, and so is the receipt of the contrary. */
static void conclude(struct answers *answers, bool receipt, int r)
{
	struct transact_result *result = answers->result;

	if (answers->receipt_seen && !failed(result)) {
		result->outcome = TRANSACT_COMMITTED;
	} else if (failed(result) && !answers->receipt_seen) {
		result->outcome = TRANSACT_REJECTED;
	} else if (r == 0 && !receipt && answers->last_seen && !failed(result)) {
		result->outcome = TRANSACT_ACKED;
	} else {
		result->outcome = TRANSACT_UNKNOWN;
		result->batch_error = r < 0 ? r : -EPROTO;
	}
}

int transact(struct netlink *netlink, const struct batch *batch, bool receipt, uint64_t timeout_ms,
	     struct transact_result *ret, struct error *err)
{
	struct answers answers = { .batch = batch, .result = ret };
	size_t wanted = (size_t)batch->n_sequences * ANSWER_BYTES;
	int r;

	*ret = (struct transact_result){ .outcome = TRANSACT_UNKNOWN };
	if (wanted > netlink->receive_bytes)
		netlink_grow_receive(netlink, MIN(wanted, RECEIVE_BYTES_MAX));
	r = netlink_send(netlink, batch->data, batch->length, err);
	if (r < 0)
		return r;
	r = read_answers(netlink, &answers, receipt, clock_monotonic_ms() + timeout_ms);
	conclude(&answers, receipt, r);
	return 0;
}

/* BEGIN and END with nothing between them. */
static void put_mark(uint8_t *buffer, uint16_t type, uint16_t flags, uint32_t sequence)
{
	struct nlmsghdr *header = mnl_nlmsg_put_header(buffer);
	struct nfgenmsg *nfgen;

	header->nlmsg_type = type;
	header->nlmsg_flags = NLM_F_REQUEST | flags;
	header->nlmsg_seq = sequence;
	nfgen = mnl_nlmsg_put_extra_header(header, sizeof(*nfgen));
	nfgen->version = NFNETLINK_V0;
	nfgen->res_id = htons(NFNL_SUBSYS_NFTABLES);
}

int transact_probe(struct netlink *netlink, bool *ret_end_acked)
{
	const size_t mark = MNL_NLMSG_HDRLEN + MNL_ALIGN(sizeof(struct nfgenmsg));
	_Alignas(struct nlmsghdr)
		uint8_t buffer[2 * MNL_NLMSG_HDRLEN + 2 * MNL_ALIGN(sizeof(struct nfgenmsg))] = {
			0
		};
	uint32_t first = netlink_sequences(netlink, 2);
	struct batch batch = {
		.data = buffer,
		.length = sizeof(buffer),
		.begin_sequence = first,
		.last_sequence = first,
		.end_sequence = first + 1,
		.n_sequences = 2,
	};
	struct transact_result result;
	int r;

	/* An older kernel answers END with silence, a newer one at once: BEGIN's acknowledgement is
	 * sent by both, so that neither has to be waited for. */
	put_mark(buffer, NFNL_MSG_BATCH_BEGIN, NLM_F_ACK, first);
	put_mark(buffer + mark, NFNL_MSG_BATCH_END, NLM_F_ACK, first + 1);
	r = transact(netlink, &batch, false, PROBE_TIMEOUT_MS, &result, NULL);
	if (r < 0)
		return r;
	switch (result.outcome) {
	case TRANSACT_COMMITTED:
		*ret_end_acked = true;
		return 0;
	case TRANSACT_ACKED:
		*ret_end_acked = false;
		return 0;
	case TRANSACT_REJECTED:
		return result.batch_error != 0 ? result.batch_error : result.errors[0].errnum;
	case TRANSACT_UNKNOWN:
		/* Not even BEGIN was acknowledged: a kernel that does not know the flag there. */
		*ret_end_acked = false;
		return result.batch_error == -ETIMEDOUT ? 0 : result.batch_error;
	}
	return -EPROTO;
}
