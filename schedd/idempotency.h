/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Idempotency-Key: a client's name for one request, so that sending it again does not do it again.
 * The key is committed with what the request did. A repeat gets the answer of the row as it is
 * now, without a secret that was shown once; the same key with another request is refused.
 */
#pragma once

#include "schedd/api_private.h"

/* Has this request been made before? False: no, or it has no key: go on, and call
 * idempotency_keep once the scheduler has taken it. True: it is over for the caller; done will be
 * called once it is durable, with operation->repeat set, or it was answered with an error. */
bool idempotency_repeats(struct operation *operation, scheduler_done done);
/* The scheduler has just taken the request, and this row comes of it. */
void idempotency_keep(struct operation *operation, const char *id);
