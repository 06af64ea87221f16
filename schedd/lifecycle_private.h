/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the files of the lifecycle share: lifecycle.c (what is wanted), lifecycle_container.c (what
 * the host reports), lifecycle_ports.c (mappings in and out). All of it is pure. */
#pragma once

#include "schedd/lifecycle.h"

/* Time is looked at again this often while a deadline is near. */
#define LIFECYCLE_RECHECK_MS 1000

/* The first reason stays: it is what stands in the way now. */
void lifecycle_because(struct lifecycle_decision *decision, const char *format, ...) _printf_(2, 3);
/* Asks to be asked again after this time, if not sooner. */
void lifecycle_recheck(struct lifecycle_decision *decision, uint64_t ms);

/* ---- lifecycle_ports.c ---- */

/* Takes all ports out of the gateways. True once the container may stop: each gateway has
 * confirmed, or had its time to. Ports that are out wait for their environment. */
bool lifecycle_withdraw(const struct lifecycle_input *input, struct lifecycle_decision *decision);
/* The same for ports that their environment gives up: those that are out rest. */
bool lifecycle_give_up(const struct lifecycle_input *input, struct lifecycle_decision *decision);
/* Brings all ports into the gateways with the container's endpoints. True once all are published.
 */
bool lifecycle_publish(const struct lifecycle_input *input, struct lifecycle_decision *decision);
/* Is something published, and does it still lead to where the container says that it is? */
bool lifecycle_is_published(const struct lifecycle_input *input);
bool lifecycle_all_published(const struct lifecycle_input *input);

/* ---- lifecycle_container.c ---- */

/* The host's report answers the newest assignment. */
bool lifecycle_report_is_current(const struct lifecycle_input *input);
/* The container is proven not to run: by a current report, or since the host's lease is over. The
 * reason is what is waited for. */
bool lifecycle_is_stopped(const struct lifecycle_input *input, struct lifecycle_decision *decision);
/* The same for a container that must not be there any more. */
bool lifecycle_is_removed(const struct lifecycle_input *input, struct lifecycle_decision *decision);
/* An environment that is wanted to run, by the current report of its host. */
void lifecycle_follow(const struct lifecycle_input *input, struct lifecycle_decision *decision);
/* One whose host may run it no more, as its lease is over: it may be placed elsewhere. */
bool lifecycle_is_lost(const struct lifecycle_input *input);
/* Asks again when the lease of a host that is away will be over. */
void lifecycle_await_lease(const struct lifecycle_input *input,
			   struct lifecycle_decision *decision);
void lifecycle_offline_reason(const struct lifecycle_input *input,
			      struct lifecycle_decision *decision);
