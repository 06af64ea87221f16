/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Chains of other tables at the forward hook, and whether a translated connection gets past them.
 * An accept is final in its own table only, so that a drop of Docker's, ufw's or firewalld's wins.
 * It reads the ruleset and changes nothing.
 */
#pragma once

#include "lib/util.h"

/* Who made a table, by the names that are in it. */
enum forward_owner {
	FORWARD_UNKNOWN,
	FORWARD_IPTABLES,
	FORWARD_FIREWALLD,
	FORWARD_UFW,
	FORWARD_DOCKER,
	FORWARD_OWNER_MAX,
};

#define FORWARD_CHAINS_MAX 32
#define FORWARD_NAME_MAX 64

struct forward_chain {
	uint8_t family; /* NFPROTO_IPV4, NFPROTO_IPV6 or NFPROTO_INET */
	char table[FORWARD_NAME_MAX], name[FORWARD_NAME_MAX];
	enum forward_owner owner;
	bool drops;  /* what none of its rules decides: by policy, or by its last rule */
	bool admits; /* a rule of its table accepts "ct status dnat" */
};

/* All but our own. -ENOSPC where there are more than FORWARD_CHAINS_MAX. */
int forward_chains_read(struct forward_chain ret[FORWARD_CHAINS_MAX], size_t *ret_n) _must_check_;

/* "Docker", "ufw", "firewalld", "iptables"; "another program" for the rest. */
const char *forward_owner_name(enum forward_owner owner);
/* The command that admits translated connections. Returns buffer. */
#define FORWARD_REMEDY_MAX 240
const char *forward_remedy(const struct forward_chain *chain, char buffer[FORWARD_REMEDY_MAX]);

/* Whether old iptables, which netlink does not show, has a filter table here. */
bool forward_has_legacy(void);
