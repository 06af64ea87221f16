/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Looks at the machine for what keeps the gateway from working well. It changes nothing.
 * docs/gatewayd.md has each finding by its code.
 */
#include "gatewayd/findings.h"

void findings_collect(struct findings *findings, const struct findings_view *view)
{
	findings_settings(findings, view);
	findings_conntrack(findings, view);
	findings_network(findings, view);
	findings_forward(findings);
}
