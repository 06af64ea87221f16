/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The checks that a walk consists of. Each adds steps to the report, in the order of the way, and
 * changes nothing.
 */
#pragma once

#include "gatewayd/why.h"

/* ---- at the gateway's table: why_table.c ---- */

/* Is it a mapping at all, and why not. */
void why_check_mapping(struct why_subject *subject, struct why_report *report);
/* Does the kernel have it. */
void why_check_element(struct why_subject *subject, struct why_report *report);
/* Who is let in. */
void why_check_admission(struct why_subject *subject, struct why_report *report);

/* ---- at the gateway: why_gateway.c ---- */

void why_check_address(struct why_subject *subject, struct why_report *report);
void why_check_listener(struct why_subject *subject, struct why_report *report);
void why_check_conntrack(struct why_subject *subject, struct why_report *report);
/* Those that are open, and whether the host answers them. */
void why_check_connections(struct why_subject *subject, struct why_report *report);
void why_check_forwarding(struct why_subject *subject, struct why_report *report);
void why_check_others(struct why_subject *subject, struct why_report *report);

/* ---- on the way to the host: why_host.c ---- */

void why_check_route(struct why_subject *subject, struct why_report *report);
void why_check_neighbour(struct why_subject *subject, struct why_report *report);
void why_check_source(struct why_subject *subject, struct why_report *report);
void why_check_connect(struct why_subject *subject, struct why_report *report);
