/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The removal of gateways. What one that is not heard of does nobody knows: who removes it by force
 * answers for that. */
#include <errno.h>

#include "schedd/confirm.h"
#include "schedd/scheduler_private.h"

static unsigned count_ports(const struct scheduler *scheduler, const struct gateway_entry *entry)
{
	const struct lifecycle_gateway gateway = scheduler_view_gateway(entry);
	const struct port_entry *port;
	unsigned n = 0;

	STATE_FOREACH(&scheduler->state, RECORD_PORT, port)
	n += !port_newest(port)->record.gone && confirm_may_have(port_newest(port), &gateway);
	return n;
}

static int check(const struct gateway_entry *entry, unsigned n_ports, bool force, struct error *err)
{
	const char *id = entry->entry.id;

	if (n_ports == 0)
		return 0;
	if (!force)
		return error_set(err, -EBUSY, "in_use", NULL,
				 "gateway %s may lead %u ports somewhere: if it never returns, and "
				 "its machine is off, remove it by force: schedctl gateway delete "
				 "--force",
				 id, n_ports);
	if (gateway_newest(entry)->online)
		return error_set(err, -EBUSY, "in_use", NULL,
				 "gateway %s is heard of, and may lead %u ports somewhere: stop "
				 "gatewayd there, and delete its table, first",
				 id, n_ports);
	return 0;
}

/* What waited for it is looked at again, in the same batch or a later one: as without it. */
static int remove_gateway(struct scheduler *scheduler, struct gateway_entry *entry,
			  unsigned n_ports, const char *actor)
{
	struct gateway *gateway = state_edit_gateway(&scheduler->state, entry);

	if (!gateway)
		return -ENOMEM;
	gateway->record.gone = true;
	state_audit(&scheduler->state, &entry->entry, actor, "delete", "ports=%u", n_ports);
	scheduler->ports_changed = true;
	state_mark_all(&scheduler->state);
	return scheduler_remove_tokens(scheduler, ROLE_GATEWAY, entry->entry.id, actor,
				       "its gateway was removed");
}

int scheduler_delete_gateway(struct scheduler *scheduler, const char *id, bool force,
			     const char *actor, scheduler_done done, void *userdata,
			     struct error *err)
{
	struct gateway_entry *entry;
	unsigned n_ports;
	int r = scheduler_ready(scheduler, err);

	if (r < 0)
		return r;
	entry = state_gateway(&scheduler->state, id);
	if (!entry || gateway_newest(entry)->record.gone)
		return error_set(err, -ENOENT, "not_found", "gateway", "there is no gateway %s",
				 id);
	n_ports = count_ports(scheduler, entry);
	r = check(entry, n_ports, force, err);
	if (r < 0)
		return r;
	if (scheduler_wait(scheduler, id, done, userdata) < 0)
		return error_set(err, -ENOMEM, "internal", NULL, "out of memory");
	if (remove_gateway(scheduler, entry, n_ports, actor) < 0)
		/* done is called with the error */
		scheduler_abandon_open(scheduler, -ENOMEM, "internal", "out of memory");
	return 0;
}
