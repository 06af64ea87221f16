/* SPDX-License-Identifier: GPL-2.0-or-later */
/* How much a customer may have at once, and how much it has. Plain sums; whose they are is for
 * others to know.
 */
#pragma once

#include "lib/error.h"
#include "lib/json.h"
#include "proto/environment.h"

enum quota_kind {
	QUOTA_ENVIRONMENTS,
	QUOTA_CPU,
	QUOTA_MEMORY,
	QUOTA_GPU,
	QUOTA_PORTS,
	QUOTA_MAX,
};

#define QUOTA_UNLIMITED UINT64_MAX

struct quota {
	uint64_t limits[QUOTA_MAX]; /* whole GPUs; QUOTA_UNLIMITED: none */
};

struct tally {
	uint64_t used[QUOTA_MAX]; /* GPUs in thousandths */
};

/* As in JSON: "cpu_milli". */
const char *quota_name(enum quota_kind kind);
void quota_unlimit(struct quota *quota);

struct tally tally_of(const struct environment_spec *spec);
void tally_add(struct tally *tally, const struct tally *more);
void tally_remove(struct tally *tally, const struct tally *less);

/* True where the customer would have more than it may; *ret is the first that it is. */
bool quota_is_exceeded(const struct quota *quota, const struct tally *used,
		       const struct tally *asked, enum quota_kind *ret);

/* A limit (null: none), or an amount in use, as JSON. A new reference; NULL: no memory. */
json_t *quota_encode_limit(const struct quota *quota, enum quota_kind kind);
json_t *quota_encode_used(const struct tally *tally, enum quota_kind kind);
/* All of them as an object. */
json_t *quota_encode(const struct quota *quota);
json_t *tally_encode(const struct tally *tally);

/* What is missing or null has no limit. -EINVAL and others. */
int quota_decode(json_t *body, struct quota *ret, struct error *err) _must_check_;
