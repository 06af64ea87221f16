/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The sweeper: which mappings' connections have to be looked through after a change, and doing so
 * until it worked. It decides by mapping; conntrack.c decides by connection.
 */
#include "gatewayd/sweeper.h"

#include <errno.h>
#include <string.h>

#include "gatewayd/conntrack.h"
#include "gatewayd/shape.h"
#include "lib/backoff.h"
#include "lib/clock.h"
#include "lib/log.h"
#include "lib/loop.h"

#define RECEIVE_BYTES ((size_t)1 << 20)
#define RETRY_FIRST_MS 100
#define RETRY_MAX_MS 10000
/* A listing that a change interrupted is repeated at once so many times. */
#define REPEATS_MAX 3
/* A packet that was on its way through the kernel during the commit enters its connection a moment
 * later: everything is looked through once more. */
#define AGAIN_MS 500
/* Looking through all connections may take milliseconds, and holds up the loop: however many
 * mappings change, it is done for at most one part of the time in so many. */
#define REST_FACTOR 10
#define OUT_OF_MEMORY "out of memory: connections of a changed mapping may go on"

struct sweep_list {
	struct sweep *items;
	size_t n, allocated;
};

struct sweeper {
	struct netlink netlink;
	struct sweep_list noted;   /* by plans that are not done yet */
	struct sweep_list pending; /* to be looked through */
	struct sweep_list again;   /* looked through once */
	struct ledger const *ledger;
	struct event first, retry, second;
	uint64_t rested_us; /* when the next look may be */
	struct backoff backoff;
	const struct sweep_observer *observer; /* NULL: nobody */
	uint64_t deleted;
};

static void list_clear(struct sweep_list *list)
{
	free(list->items);
	memset(list, 0, sizeof(*list));
}

static int list_add(struct sweep_list *list, const struct mapping_key *key)
{
	if (list->n == list->allocated) {
		size_t wanted = list->allocated ? 2 * list->allocated : 16;
		struct sweep *grown = reallocarray(list->items, wanted, sizeof(*grown));

		if (!grown)
			return -ENOMEM;
		list->items = grown;
		list->allocated = wanted;
	}
	list->items[list->n++] = (struct sweep){ .key = *key };
	return 0;
}

/* Moves all of from behind to's. */
static int list_move(struct sweep_list *to, struct sweep_list *from)
{
	if (to->n == 0) {
		struct sweep_list empty = *to;

		*to = *from;
		*from = empty;
		return 0;
	}
	while (from->n > 0) {
		int r = list_add(to, &from->items[from->n - 1].key);

		if (r < 0)
			return r;
		from->n--;
	}
	return 0;
}

static bool needs_sweep(const struct operation *operation)
{
	const struct entry *entry = operation->entry;
	struct shape_label label;

	if (entry->key.protocol == PROTOCOL_UDP)
		return true;
	/* New TCP connections start with a SYN, which finds the new mapping by itself. */
	if (operation->kind != OPERATION_DELETE)
		return false;
	shape_label_parse(entry->label, &label);
	return !label.drain;
}

void sweeper_note(struct sweeper *sweeper, const struct plan *plan)
{
	for (size_t i = 0; i < plan->n_operations; i++) {
		const struct operation *operation = &plan->operations[i];

		if (!operation->entry)
			continue;
		if (needs_sweep(operation)) {
			if (list_add(&sweeper->noted, &operation->entry->key) < 0)
				log_error("conntrack", OUT_OF_MEMORY);
		} else if (operation->kind == OPERATION_DELETE) {
			/* It drains. Whatever was to be looked through a second time might hold
			 * this very port, and to end one connection too many is worse than one too
			 * few. */
			sweeper->again.n = 0;
		}
	}
}

void sweeper_forget(struct sweeper *sweeper)
{
	sweeper->noted.n = 0;
}

/* Where connections of these mappings should lead now. */
static void fill_targets(struct sweep_list *list, const struct ledger *ledger)
{
	for (size_t i = 0; i < list->n; i++) {
		const struct entry *entry = ledger_find(ledger, &list->items[i].key);

		list->items[i].mapped = entry && (entry->flags & ENTRY_INSTALLED);
		if (list->items[i].mapped)
			list->items[i].target = entry->installed;
	}
}

static int sweep(struct sweeper *sweeper, struct sweep_list *list)
{
	uint64_t begin = clock_monotonic_us(), end;
	int r = -EINTR;

	for (unsigned i = 0; r == -EINTR && i < REPEATS_MAX; i++) {
		size_t deleted = 0;

		r = 0;
		if (sweeper->netlink.fd < 0)
			r = netlink_open(&sweeper->netlink, RECEIVE_BYTES);
		if (r == 0)
			r = conntrack_sweep(&sweeper->netlink, list->items, list->n,
					    sweeper->observer, &deleted);
		sweeper->deleted += deleted;
		if (deleted > 0)
			log_info("conntrack", "connections ended mappings=%zu connections=%zu",
				 list->n, deleted);
		if (r < 0)
			netlink_close(&sweeper->netlink);
	}
	end = clock_monotonic_us();
	sweeper->rested_us = end + REST_FACTOR * (end - begin);
	return r;
}

static void run_pending(struct sweeper *sweeper)
{
	uint32_t delay;
	int r;

	if (sweeper->pending.n == 0)
		return;
	fill_targets(&sweeper->pending, sweeper->ledger);
	r = sweep(sweeper, &sweeper->pending);
	if (r == 0) {
		if (list_move(&sweeper->again, &sweeper->pending) < 0)
			sweeper->pending.n = 0;
		backoff_reset(&sweeper->backoff);
		(void)loop_timer_arm(&sweeper->second, AGAIN_MS);
		return;
	}
	delay = backoff_next_ms(&sweeper->backoff);
	log_warning("conntrack", "cannot look through connections: %s; trying again retry_ms=%u",
		    strerror(-r), delay);
	(void)loop_timer_arm(&sweeper->retry, delay);
}

/* A UDP flow goes on to the old target until it is ended, so that this does not wait. */
static uint64_t rest_ms(const struct sweeper *sweeper)
{
	uint64_t now = clock_monotonic_us();

	for (size_t i = 0; i < sweeper->pending.n; i++)
		if (sweeper->pending.items[i].key.protocol == PROTOCOL_UDP)
			return 0;
	return sweeper->rested_us > now ? (sweeper->rested_us - now + 999) / 1000 : 0;
}

void sweeper_run(struct sweeper *sweeper, const struct ledger *ledger)
{
	sweeper->ledger = ledger;
	if (sweeper->noted.n == 0)
		return;
	if (list_move(&sweeper->pending, &sweeper->noted) < 0)
		log_error("conntrack", OUT_OF_MEMORY);
	if (rest_ms(sweeper) == 0)
		run_pending(sweeper);
	else if (!evtimer_pending(&sweeper->first, NULL))
		(void)loop_timer_arm(&sweeper->first, rest_ms(sweeper));
}

static void on_first(evutil_socket_t fd, short what, void *userdata)
{
	run_pending(userdata);
}

static void on_retry(evutil_socket_t fd, short what, void *userdata)
{
	run_pending(userdata);
}

static void on_second(evutil_socket_t fd, short what, void *userdata)
{
	struct sweeper *sweeper = userdata;

	fill_targets(&sweeper->again, sweeper->ledger);
	if (sweep(sweeper, &sweeper->again) < 0)
		(void)!list_move(&sweeper->pending, &sweeper->again);
	sweeper->again.n = 0;
	if (sweeper->pending.n > 0)
		run_pending(sweeper);
}

int sweeper_new(struct sweeper **ret, struct event_base *base)
{
	struct sweeper *sweeper = calloc(1, sizeof(*sweeper));
	int r;

	if (!sweeper)
		return -ENOMEM;
	(void)evtimer_assign(&sweeper->first, base, on_first, sweeper);
	(void)evtimer_assign(&sweeper->retry, base, on_retry, sweeper);
	(void)evtimer_assign(&sweeper->second, base, on_second, sweeper);
	sweeper->backoff = (struct backoff){ .first_ms = RETRY_FIRST_MS, .max_ms = RETRY_MAX_MS };
	r = netlink_open(&sweeper->netlink, RECEIVE_BYTES);
	if (r < 0) {
		free(sweeper);
		return r;
	}
	*ret = sweeper;
	return 0;
}

void sweeper_free(struct sweeper *sweeper)
{
	if (!sweeper)
		return;
	evtimer_del(&sweeper->first);
	evtimer_del(&sweeper->retry);
	evtimer_del(&sweeper->second);
	netlink_close(&sweeper->netlink);
	list_clear(&sweeper->noted);
	list_clear(&sweeper->pending);
	list_clear(&sweeper->again);
	free(sweeper);
}

void sweeper_observe(struct sweeper *sweeper, const struct sweep_observer *observer)
{
	sweeper->observer = observer;
}

uint64_t sweeper_deleted(const struct sweeper *sweeper)
{
	return sweeper->deleted;
}

size_t sweeper_pending(const struct sweeper *sweeper)
{
	return sweeper->pending.n;
}
