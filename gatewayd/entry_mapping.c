/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A ledger entry's desired side as the mapping that its owner wrote. */
#include "gatewayd/entry_mapping.h"

void entry_view(const struct entry *entry, struct entry_view *ret)
{
	const struct policy *policy = entry_policy(entry);

	shape_label_parse(entry->label, &ret->label);
	ret->mapping = (struct mapping){
		.key = entry->key,
		.target = entry->target,
		.revision = entry->revision,
		.environment = ret->label.environment[0] ? ret->label.environment : NULL,
		.service = ret->label.service[0] ? ret->label.service : NULL,
		.allow = policy->allow,
		.n_allow = policy->n_allow,
		.max_connections = policy->max_connections,
		.new_connections_per_minute = policy->new_connections_per_minute,
		.expires_at = policy->expires_at,
		.on_remove = ret->label.drain ? ON_REMOVE_DRAIN : ON_REMOVE_REVOKE,
	};
}

size_t entry_write(const struct entry *entry, char buffer[MAPPING_TEXT_MAX])
{
	struct entry_view view;

	entry_view(entry, &view);
	return mapping_write(&view.mapping, buffer);
}
