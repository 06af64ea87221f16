/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The order of the checks: that of a packet's way. */
#include "gatewayd/why_checks.h"

void why_run_checks(struct why_subject *subject, struct why_report *report)
{
	static void (*const checks[])(struct why_subject *, struct why_report *) = {
		why_check_mapping,     why_check_element,    why_check_address,
		why_check_listener,    why_check_admission,  why_check_conntrack,
		why_check_connections, why_check_forwarding, why_check_route,
		why_check_neighbour,   why_check_others,     why_check_source,
		why_check_connect,
	};

	for (size_t i = 0; i < ARRAY_SIZE(checks); i++) {
		checks[i](subject, report);
		/* Without a mapping there is no way to walk. */
		if (!subject->entry)
			return;
	}
}
