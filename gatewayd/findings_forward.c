/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Findings about other tables that drop what is forwarded. */
#include <errno.h>
#include <string.h>

#include "gatewayd/findings.h"
#include "gatewayd/forward_chains.h"

static void report(struct findings *findings, const struct forward_chain *chain)
{
	char remedy[FORWARD_REMEDY_MAX], subject[2 * FORWARD_NAME_MAX + 2];

	(void)snprintf(subject, sizeof(subject), "%s %s", chain->table, chain->name);
	finding_remedy(findings_add(findings, FINDING_WARNING, "forward_policy", subject,
				    "chain %s of table %s (%s) drops what its rules do not accept, "
				    "and none accepts translated connections as such: they may not "
				    "reach their host",
				    chain->name, chain->table, forward_owner_name(chain->owner)),
		       "%s", forward_remedy(chain, remedy));
}

void findings_forward(struct findings *findings)
{
	struct forward_chain chains[FORWARD_CHAINS_MAX];
	size_t n;
	int r;

	r = forward_chains_read(chains, &n);
	for (size_t i = 0; r == 0 && i < n; i++)
		if (chains[i].drops && !chains[i].admits)
			report(findings, &chains[i]);
	if (r < 0 && r != -EPERM)
		finding_remedy(findings_add(findings, FINDING_INFO, "forward_unknown", "",
					    "the forward chains of other tables cannot be read: %s",
					    strerror(-r)),
			       "nft list chains");
	if (forward_has_legacy())
		finding_remedy(
			findings_add(findings, FINDING_INFO, "forward_legacy", "",
				     "old iptables has a filter table here, which gatewayd "
				     "cannot read: its FORWARD chain must accept translated "
				     "connections"),
			"iptables-legacy -S FORWARD; iptables-legacy -I FORWARD -m conntrack "
			"--ctstate DNAT -j ACCEPT");
}
