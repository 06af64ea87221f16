/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Checks of the gateway's own table: the mapping, its element in the kernel, and who is let in. */
#include <errno.h>
#include <string.h>

#include "gatewayd/lookup.h"
#include "gatewayd/why_checks.h"
#include "lib/clock.h"

void why_check_mapping(struct why_subject *subject, struct why_report *report)
{
	const struct upstream *upstream = subject->view->upstream;
	const char *reason = upstream ? upstream_failure(upstream, &subject->key) : NULL;
	char name[MAPPING_STRING_MAX], target[ENDPOINT_STRING_MAX];

	mapping_key_format(&subject->key, name);
	if (reason)
		why_remedy(
			why_add(report, "mapping", WHY_FAIL,
				"schedd wants %s, and it cannot be applied: %s", name, reason),
			"mend what the reason says; it is applied when its port is free or schedd sends it again");
	else if (!subject->entry)
		why_remedy(why_add(report, "mapping", WHY_FAIL,
				   "%s is not mapped: nobody has asked for it, or it has ended",
				   name),
			   upstream ? "schedctl port list"
				    : "schedctl --gateway SOCKET port open %u ADDRESS:PORT",
			   subject->key.port);
	else
		why_add(report, "mapping", WHY_OK, "%s leads to %s", name,
			endpoint_format(&subject->entry->target, target));
}

/* ---- the kernel ---- */

static int read_element(const struct why_subject *subject, bool *ret_exists, struct endpoint *ret)
{
	const struct entry *entry = subject->entry;
	enum shape_set map = shape_map_of(subject->view->machine.shape, &entry->key,
					  entry_desired_end(entry) != 0);
	struct netlink netlink = NETLINK_INIT;
	struct member_key member;
	struct element element;
	int r;

	r = netlink_open(&netlink, 0);
	if (r < 0)
		return r;
	element_key_of(map, &entry->key, &member);
	r = lookup_element(&netlink, &member, ret_exists, &element);
	if (r == 0 && *ret_exists)
		r = shape_value_parse(map, element.value, element.value_length, ret);
	netlink_close(&netlink);
	return r;
}

void why_check_element(struct why_subject *subject, struct why_report *report)
{
	char target[ENDPOINT_STRING_MAX];
	struct endpoint found = { 0 };
	bool exists = false;
	int r = read_element(subject, &exists, &found);

	if (r < 0)
		why_remedy(why_add(report, "element", WHY_FAIL,
				   "the table inet portico cannot be asked: %s", strerror(-r)),
			   "nft list table inet portico");
	else if (!exists)
		why_remedy(why_add(report, "element", WHY_FAIL,
				   "the kernel's map does not have it: somebody took it away, or "
				   "the kernel refused it"),
			   "journalctl -u portico-gatewayd; gatewayd repairs it by itself");
	else if (endpoint_compare(&found, &subject->entry->target) != 0)
		why_remedy(why_add(report, "element", WHY_FAIL,
				   "the kernel leads it to %s: somebody changed it",
				   endpoint_format(&found, target)),
			   "journalctl -u portico-gatewayd; gatewayd repairs it by itself");
	else
		why_add(report, "element", WHY_OK, "the kernel has it, with the same target");
}

/* ---- who is let in ---- */

#define ASK_FOR_ONE "ask for one client: ?source=ADDRESS, port why --source ADDRESS"

static void check_bans(const struct why_subject *subject, struct why_report *report)
{
	const struct bans *bans = subject->view->bans;
	char text[ADDRESS_STRING_MAX], source[PREFIX_STRING_MAX];
	const struct ban *ban;

	if (!bans || bans->n == 0)
		return;
	if (subject->source.family == AF_UNSPEC) {
		why_remedy(why_add(report, "ban", WHY_UNKNOWN, "bans are in force: %zu", bans->n),
			   ASK_FOR_ONE);
		return;
	}
	address_format(&subject->source, text);
	ban = bans_find(bans, &subject->source);
	if (!ban) {
		why_add(report, "ban", WHY_OK, "%s is not banned", text);
		return;
	}
	prefix_format(&ban->source, source);
	why_remedy(why_add(report, "ban", WHY_FAIL,
			   "%s is banned with %s: its new connections are dropped%s%s", text,
			   source, ban->reason[0] ? "; the reason: " : "", ban->reason),
		   "schedctl --gateway SOCKET ban remove %s", source);
}

static void check_source_rate(const struct shape *shape, struct why_report *report)
{
	if (shape->source_rate > 0)
		why_add(report, "source_rate", WHY_UNKNOWN,
			"at most %u new connections of one source in %u s; further ones are "
			"dropped",
			shape->source_rate, shape->source_rate_s);
}

static void check_allow(const struct why_subject *subject, const struct policy *policy,
			struct why_report *report)
{
	char text[ADDRESS_STRING_MAX];

	if (policy->n_allow == 0)
		return;
	if (subject->source.family == AF_UNSPEC) {
		why_remedy(why_add(report, "allow", WHY_UNKNOWN,
				   "only clients of %zu networks are let in", policy->n_allow),
			   ASK_FOR_ONE);
		return;
	}
	address_format(&subject->source, text);
	for (size_t i = 0; i < policy->n_allow; i++)
		if (prefix_has(&policy->allow[i], &subject->source)) {
			why_add(report, "allow", WHY_OK, "%s is in the mapping's allow-list", text);
			return;
		}
	why_remedy(why_add(report, "allow", WHY_FAIL,
			   "%s is not in the mapping's allow-list: its connections are dropped",
			   text),
		   "add its network to \"allow\" of the mapping");
}

static void check_limits(const struct policy *policy, struct why_report *report)
{
	if (policy->max_connections > 0)
		why_add(report, "max_connections", WHY_UNKNOWN,
			"at most %u connections at one time; further ones are dropped",
			policy->max_connections);
	if (policy->new_connections_per_minute > 0)
		why_add(report, "new_connections_per_minute", WHY_UNKNOWN,
			"at most %u new connections a minute; further ones are dropped",
			policy->new_connections_per_minute);
}

static void check_end(const struct policy *policy, struct why_report *report)
{
	char when[TIME_STRING_MAX];

	if (policy->expires_at == 0)
		return;
	time_format(policy->expires_at, when);
	if (policy->expires_at <= clock_unix_seconds())
		why_remedy(why_add(report, "expires_at", WHY_FAIL, "it has ended at %s", when),
			   "put the mapping anew");
	else
		why_add(report, "expires_at", WHY_OK, "it ends by itself at %s", when);
}

void why_check_admission(struct why_subject *subject, struct why_report *report)
{
	const struct policy *policy = entry_policy(subject->entry);

	check_end(policy, report);
	check_bans(subject, report);
	check_source_rate(subject->view->machine.shape, report);
	check_allow(subject, policy, report);
	check_limits(policy, report);
}
