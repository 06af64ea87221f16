/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Looks at the machine for what keeps the gateway from working well. It changes nothing.
 * docs/gatewayd.md has each finding by its code.
 */
#pragma once

#include "gatewayd/finding.h"
#include "gatewayd/ledger.h"
#include "gatewayd/listeners.h"
#include "gatewayd/network.h"
#include "gatewayd/public_addresses.h"
#include "gatewayd/route.h"
#include "gatewayd/shape.h"
#include "gatewayd/source.h"
#include "gatewayd/survey.h"

/* What is looked at; all borrowed. */
struct findings_view {
	const struct public_addresses *addresses;
	const struct network *network;
	struct routes *routes;
	struct listeners *listeners; /* NULL: they cannot be read */
	const struct ledger *ledger; /* NULL: no mappings are known */
	struct survey *survey;       /* of them; NULL without a ledger */
	const struct shape *shape;
	struct source source;
};

/* The four below, which may change at any time. */
void findings_collect(struct findings *findings, const struct findings_view *view);

/* Forwarding, reverse path filters, routes to loopback, ports of outgoing connections. */
void findings_settings(struct findings *findings, const struct findings_view *view);
/* The size and use of connection tracking. */
void findings_conntrack(struct findings *findings, const struct findings_view *view);
/* What it is judged by, which is pure. */
struct conntrack_size {
	uint64_t max, count, buckets; /* buckets 0: unknown */
	size_t mappings;
};
void findings_judge_conntrack(struct findings *findings, const struct conntrack_size *size);
/* Public addresses that are missing, targets that cannot be reached, own services that are mapped
 * away. */
void findings_network(struct findings *findings, const struct findings_view *view);
/* Looks up the way to the next n targets of the survey, some microseconds each: the others are
 * looked up when they are judged. index starts at 0; true where all have been. */
bool findings_find_routes(const struct findings_view *view, size_t *index, size_t n);
/* Other tables that drop what is forwarded. */
void findings_forward(struct findings *findings);

/* What this kernel lacks that gatewayd can do without. It stays so. no_flowtable: fastpath_choose
 * has found that there is none. */
void findings_features(struct findings *findings, bool no_flowtable);
/* Whether the kernel takes our table at all: it is asked to check it, and to keep nothing of it. */
void findings_kernel(struct findings *findings, const struct shape *shape);

/* Whether one of the public addresses is of this family. */
bool findings_has_family(const struct findings_view *view, uint8_t family);
