/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The guard keeps mappings off ports on which the gateway itself listens, so that nobody maps away
 * the ssh by which they came. It looks at what is new only, and neither refuses nor applies:
 * who asks decides.
 */
#include "gatewayd/guard.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "gatewayd/listeners.h"
#include "lib/log.h"

/* From so many new mappings on one listing is cheaper than a question for each. */
#define LIST_MIN 16

struct guard {
	const struct ledger *ledger;
	struct listeners listeners;
	bool works;
};

int guard_new(struct guard **ret, const struct ledger *ledger)
{
	struct guard *guard = calloc(1, sizeof(*guard));
	int r;

	if (!guard)
		return -ENOMEM;
	guard->ledger = ledger;
	guard->listeners = LISTENERS_INIT;
	r = listeners_open(&guard->listeners);
	guard->works = r == 0;
	if (r < 0)
		log_warning("listeners",
			    "the kernel does not tell of sockets, so ports of the gateway's own "
			    "services are not kept from being mapped: %s "
			    "remedy=\"modprobe -a tcp_diag udp_diag\"",
			    strerror(-r));
	*ret = guard;
	return 0;
}

void guard_free(struct guard *guard)
{
	if (!guard)
		return;
	listeners_close(&guard->listeners);
	free(guard);
}

bool guard_works(const struct guard *guard)
{
	return guard->works;
}

static bool is_new(const struct guard *guard, const struct change *change)
{
	const struct entry *entry;

	if (change->removal || change->force)
		return false;
	entry = ledger_find(guard->ledger, &change->key);
	return !entry || !(entry->flags & ENTRY_DESIRED);
}

static size_t count_new(const struct guard *guard, const struct changeset *changeset)
{
	size_t n = 0;

	for (size_t i = 0; i < changeset->n_changes && n < LIST_MIN; i++)
		n += is_new(guard, &changeset->changes[i]);
	return n;
}

static const char *describe(const struct listener *listener, char reason[GUARD_REASON_MAX])
{
	char who[LISTENER_STRING_MAX];

	(void)snprintf(reason, GUARD_REASON_MAX,
		       "the gateway itself listens there, on %s; choose another port",
		       listener_describe(listener, who));
	return reason;
}

static void on_failed(struct guard *guard, int errnum)
{
	log_warning("listeners", "cannot be read, so a mapping is not checked against them: %s",
		    strerror(-errnum));
	/* Answers may still be under way on this socket. */
	listeners_close(&guard->listeners);
	guard->works = listeners_open(&guard->listeners) == 0;
}

void guard_examine(struct guard *guard, const struct changeset *changeset,
		   bool (*on_taken)(size_t index, const char *reason, void *userdata),
		   void *userdata)
{
	_cleanup_free_ struct listener *list = NULL;
	size_t n_new = count_new(guard, changeset), n_list = 0;
	int r = 0;

	if (!guard->works || n_new == 0)
		return;
	if (n_new >= LIST_MIN)
		r = listeners_list(&guard->listeners, &list, &n_list);
	for (size_t i = 0; r == 0 && i < changeset->n_changes; i++) {
		const struct change *change = &changeset->changes[i];
		const struct listener *found = NULL;
		char reason[GUARD_REASON_MAX];
		struct listener one;
		bool exists = false;

		if (!is_new(guard, change))
			continue;
		if (n_new >= LIST_MIN)
			found = listeners_search(list, n_list, &change->key);
		else
			r = listeners_find(&guard->listeners, &change->key, &exists, &one);
		if (exists)
			found = &one;
		if (found && !on_taken(i, describe(found, reason), userdata))
			return;
	}
	if (r < 0)
		on_failed(guard, r);
}
