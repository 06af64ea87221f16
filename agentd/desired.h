/* SPDX-License-Identifier: GPL-2.0-or-later */
/* One assignment as received, with what is derived from it once: digest, and whether this host can
 * run it at all. Shared by reference, so that a step under way keeps the one that it began with.
 */
#pragma once

#include "agentd/driver.h"
#include "lib/json.h"
#include "proto/environment.h"

struct desired {
	unsigned references;
	struct assignment assignment; /* of an unreadable one only environment and revision */
	char digest[DIGEST_STRING_MAX];
	char *refusal; /* NULL: it can run here */
};

/* One reference. An item that names its environment and cannot be read otherwise becomes a refusal:
 * it must not pass for absent. -EINVAL where not even the name can be read, -ENOMEM. */
int desired_new(struct desired **ret, json_t *item, struct driver *driver, struct error *err)
	_must_check_;
struct desired *desired_ref(struct desired *desired);
void desired_unref(struct desired *desired); /* NULL is fine */

DEFINE_CLEANUP(struct desired *, desired_unref, cleanup_desired)
