/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The encoder: from a plan to the bytes of one nftables batch, with a table that leads from the
 * kernel's answers back to the operations. It sends nothing and needs no privilege.
 */
#pragma once

#include "gatewayd/plan.h"
#include "lib/error.h"

/* Bytes of one batch: a limit for bugs, not for users. 1,000,000 mappings need about 110 MB. */
#define BATCH_MAX ((size_t)512 << 20)

/* Where one operation stands in the batch. */
struct batch_slot {
	uint32_t sequence; /* of its message */
	uint32_t offset;   /* of its element's attribute, from the message's header */
};

struct batch {
	uint8_t *data;
	size_t length, allocated;
	size_t end_length;        /* of BATCH_END, which stands last */
	struct batch_slot *slots; /* one for each operation of the plan, in its order */
	size_t n_slots;
	uint32_t set_sequences[SHAPE_SET_MAX]; /* of the messages that make sets; 0: none */
	uint32_t begin_sequence;               /* of BATCH_BEGIN: errors of the whole batch */
	uint32_t last_sequence;                /* of the last command; see ack_last */
	uint32_t end_sequence; /* of BATCH_END, whose acknowledgement is the receipt */
	uint32_t n_sequences;  /* all of them, consecutive from begin_sequence */
};

struct encode_options {
	uint32_t first_sequence;     /* of BEGIN; see batch_sequences_max */
	uint32_t generation;         /* commit only if the ruleset is still this one; 0: always */
	size_t elements_per_message; /* 0: as many as fit; 1: each gets its own answer */
	bool echo;      /* begin with a command that the kernel answers when it has committed */
	bool ack_last;  /* the last command is acknowledged, for a batch that has no receipt */
	int64_t now_ms; /* Unix time, from which timeouts are counted */
};

/* Sequence numbers that the plan can need at most. */
uint32_t batch_sequences_max(const struct plan *plan);

/* Makes the batch. -ENOMEM; -E2BIG over BATCH_MAX. */
int encode_plan(const struct plan *plan, const struct shape *shape,
		const struct encode_options *options, struct batch *ret) _must_check_;
void batch_clear(struct batch *batch);

/* The set whose making an answer blames; SHAPE_SET_INVALID: none. */
enum shape_set batch_find_set(const struct batch *batch, uint32_t sequence);

/* The operation that an answer blames: by the element's offset where the kernel gave one, else,
 * where the message has only one, that one. -ENOENT: the message holds several elements and the
 * kernel did not say which, or it is none of elements at all (-EINVAL). */
int batch_find_operation(const struct batch *batch, uint32_t sequence, uint32_t offset,
			 size_t *ret_operation) _must_check_;
