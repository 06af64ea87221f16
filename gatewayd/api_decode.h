/* SPDX-License-Identifier: GPL-2.0-or-later */
/* From the bodies of the local API to changesets, with every refusal naming its field. It applies
 * nothing.
 */
#pragma once

#include "gatewayd/admit.h"
#include "gatewayd/changeset.h"

#define API_CHANGES_MAX 1000000

/* PUT /v1/mappings: an array of mappings, or {"mappings":[…]}: a changeset that replaces all.
 * -EINVAL, -ERANGE for what is malformed or not ours, -E2BIG for too many, -EEXIST "conflict" for a
 * port twice. */
int api_decode_replace(const char *body, size_t length, const struct admission *admission,
		       struct changeset **ret, struct error *err) _must_check_;

/* POST /v1/mappings:apply: {"changes":[{"op":"put","mapping":{…},"force":false},
 * {"op":"delete","address","protocol","port"}]}. */
int api_decode_apply(const char *body, size_t length, const struct admission *admission,
		     struct changeset **ret, struct error *err) _must_check_;
