/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The sweeper: which mappings' connections have to be looked through after a change, and doing so
 * until it worked. It decides by mapping; conntrack.c decides by connection.
 *
 * The kernel walks all of connection tracking for a listing, which takes milliseconds: a worker
 * asks for it. What it found is judged once more by the mappings as they are by then, shown to the
 * observer, and deleted by the worker.
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
#include "lib/worker.h"

#define RECEIVE_BYTES ((size_t)1 << 20)
#define RETRY_FIRST_MS 100
#define RETRY_MAX_MS 10000
/* A listing that a change interrupted is repeated at once so many times. */
#define REPEATS_MAX 3
/* A packet that was on its way through the kernel during the commit enters its connection a moment
 * later: everything is looked through once more, after one to three of these. */
#define AGAIN_MS 250
/* However many mappings change, connections are looked through for at most one part of the time in
 * so many. */
#define REST_FACTOR 10
#define OUT_OF_MEMORY "out of memory: connections of a changed mapping may go on"

struct sweeper {
	struct worker *worker;
	struct sweep_list noted;    /* by plans that are not done yet */
	struct sweep_list draining; /* the same, of what is removed and drains */
	struct sweep_list pending;  /* to be looked through */
	struct sweep_list again;    /* looked through once, a moment ago */
	struct sweep_list ripe;     /* the same, longer ago */
	struct sweep_list running;  /* being looked through; sorted */
	struct sweep_list spared;   /* those of them that drain since; sorted */
	struct ledger const *ledger;
	struct event first, retry, second;
	bool second_due, runs_second;
	uint64_t rested_us; /* when the next look may be */
	struct backoff backoff;
	const struct sweep_observer *observer; /* NULL: nobody */
	struct sweep_keeper keeper;
	uint64_t deleted;
	int listed;           /* what the listing of the present look came to */
	uint64_t begun, done; /* first looks */
	void (*on_looked)(void *userdata);
	void *userdata;

	/* The worker's while it is busy; it reads running as well. */
	struct netlink netlink;
	struct ct_entries found;
	size_t n_deleted;
	uint64_t took_us;
};

/* ---- lists ---- */

static void list_add(struct sweep_list *list, const struct sweep *sweep)
{
	if (sweep_list_add(list, sweep) < 0)
		log_error("conntrack", OUT_OF_MEMORY);
}

static void list_move(struct sweep_list *to, struct sweep_list *from)
{
	if (sweep_list_move(to, from) < 0)
		log_error("conntrack", OUT_OF_MEMORY);
}

/* ---- what plans do ---- */

static bool drains(const struct entry *entry)
{
	struct shape_label label;

	/* A UDP flow would be led there for as long as its client sends. */
	if (entry->key.protocol == PROTOCOL_UDP)
		return false;
	shape_label_parse(entry->label, &label);
	return label.drain;
}

static void note(struct sweeper *sweeper, const struct sweep *sweep)
{
	const struct sweep_keeper *keeper = &sweeper->keeper;

	list_add(&sweeper->noted, sweep);
	if (keeper->on_sweep)
		keeper->on_sweep(&sweep->key, &sweep->led, keeper->userdata);
}

static void note_draining(struct sweeper *sweeper, const struct mapping_key *key)
{
	const struct sweep_keeper *keeper = &sweeper->keeper;
	const struct sweep sweep = { .key = *key };

	list_add(&sweeper->draining, &sweep);
	if (keeper->on_spare)
		keeper->on_spare(key, keeper->userdata);
}

void sweeper_note(struct sweeper *sweeper, const struct plan *plan)
{
	for (size_t i = 0; i < plan->n_operations; i++) {
		const struct operation *operation = &plan->operations[i];
		const struct entry *entry = operation->entry;
		struct sweep sweep;

		/* New TCP connections start with a SYN, which finds the new mapping by itself. */
		if (!entry ||
		    (entry->key.protocol != PROTOCOL_UDP && operation->kind != OPERATION_DELETE))
			continue;
		if (drains(entry)) {
			note_draining(sweeper, &entry->key);
			continue;
		}
		sweep = (struct sweep){ .key = entry->key,
					.led = entry->flags & ENTRY_INSTALLED ? entry->installed
									      : entry->target };
		note(sweeper, &sweep);
	}
}

void sweeper_note_ended(struct sweeper *sweeper, const struct entry *entry)
{
	const struct sweep sweep = { .key = entry->key, .led = entry->target, .kept = true };

	if (drains(entry))
		note_draining(sweeper, &entry->key);
	else
		note(sweeper, &sweep);
}

void sweeper_note_kept(struct sweeper *sweeper, struct sweep_list *list)
{
	list_move(&sweeper->noted, list);
}

/* All lists of what is to be looked through. */
enum { LISTS = 5 };

static const struct sweep_list *list_at(const struct sweeper *sweeper, unsigned i)
{
	const struct sweep_list *const lists[LISTS] = { &sweeper->noted, &sweeper->pending,
							&sweeper->running, &sweeper->again,
							&sweeper->ripe };

	return lists[i];
}

int sweeper_each(const struct sweeper *sweeper,
		 int (*on_sweep)(const struct sweep *sweep, void *userdata), void *userdata)
{
	int r = 0;

	for (unsigned l = 0; l < LISTS; l++) {
		const struct sweep_list *list = list_at(sweeper, l);

		for (size_t i = 0; r == 0 && i < list->n; i++)
			if (list != &sweeper->running ||
			    !sweep_list_has(&sweeper->spared, &list->items[i].key))
				r = on_sweep(&list->items[i], userdata);
	}
	return r;
}

size_t sweeper_count(const struct sweeper *sweeper)
{
	size_t n = 0;

	for (unsigned l = 0; l < LISTS; l++)
		n += list_at(sweeper, l)->n;
	return n;
}

/* What is kept was spared too early. */
static int keep_again(const struct sweep *sweep, void *userdata)
{
	const struct sweeper *sweeper = userdata;

	if (sweeper->keeper.on_sweep && sweep_list_has(&sweeper->draining, &sweep->key))
		sweeper->keeper.on_sweep(&sweep->key, &sweep->led, sweeper->keeper.userdata);
	return 0;
}

void sweeper_forget(struct sweeper *sweeper)
{
	sweep_list_sort(&sweeper->noted); /* each once, however often it is tried */
	sweep_list_sort(&sweeper->draining);
	(void)!sweeper_each(sweeper, keep_again, sweeper);
	sweeper->draining.n = 0;
}

/* Whatever is to be looked through for an earlier life of these ports would take the connections
 * that drain for stale ones. */
static void spare_draining(struct sweeper *sweeper)
{
	if (sweeper->draining.n == 0)
		return;
	sweep_list_sort(&sweeper->draining);
	sweep_list_remove(&sweeper->noted, &sweeper->draining);
	sweep_list_remove(&sweeper->pending, &sweeper->draining);
	sweep_list_remove(&sweeper->again, &sweeper->draining);
	sweep_list_remove(&sweeper->ripe, &sweeper->draining);
	if (worker_busy(sweeper->worker)) {
		list_move(&sweeper->spared, &sweeper->draining);
		sweep_list_sort(&sweeper->spared);
	}
	sweeper->draining.n = 0;
}

/* ---- the worker ---- */

static int do_list(void *userdata)
{
	struct sweeper *sweeper = userdata;
	uint64_t begin = clock_monotonic_us();
	int r = -EINTR;

	for (unsigned i = 0; r == -EINTR && i < REPEATS_MAX; i++) {
		sweeper->found.n = 0;
		r = 0;
		if (sweeper->netlink.fd < 0)
			r = netlink_open(&sweeper->netlink, RECEIVE_BYTES);
		if (r == 0)
			r = conntrack_list(&sweeper->netlink, &sweeper->running, &sweeper->found);
		if (r < 0)
			netlink_close(&sweeper->netlink);
	}
	sweeper->took_us = clock_monotonic_us() - begin;
	return r;
}

static int do_delete(void *userdata)
{
	struct sweeper *sweeper = userdata;
	uint64_t begin = clock_monotonic_us();
	int r = 0;

	if (sweeper->netlink.fd < 0)
		r = netlink_open(&sweeper->netlink, RECEIVE_BYTES);
	for (size_t i = 0; r == 0 && i < sweeper->found.n; i++) {
		r = conntrack_delete(&sweeper->netlink, &sweeper->found.items[i]);
		if (r == 0)
			sweeper->n_deleted++;
		else if (r == -ENOENT) /* it ended by itself meanwhile */
			r = 0;
	}
	if (r < 0)
		netlink_close(&sweeper->netlink);
	sweeper->took_us += clock_monotonic_us() - begin;
	return r;
}

/* ---- one look ---- */

static void go_on(struct sweeper *sweeper);

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

/* Whoever waits for a look that failed would wait for long: it is said, and goes on. */
static void looked(struct sweeper *sweeper)
{
	sweeper->done = sweeper->runs_second ? sweeper->done : sweeper->begun;
	if (sweeper->on_looked)
		sweeper->on_looked(sweeper->userdata);
}

static void finish(struct sweeper *sweeper, int r)
{
	uint32_t delay;

	sweeper->rested_us = clock_monotonic_us() + REST_FACTOR * sweeper->took_us;
	sweeper->deleted += sweeper->n_deleted;
	if (sweeper->n_deleted > 0)
		log_info("conntrack", "connections ended mappings=%zu connections=%zu",
			 sweeper->running.n, sweeper->n_deleted);
	if (r < 0) {
		sweep_list_remove(&sweeper->running, &sweeper->spared);
		list_move(&sweeper->pending, &sweeper->running);
		delay = backoff_next_ms(&sweeper->backoff);
		log_warning("conntrack",
			    "cannot look through connections: %s; trying again retry_ms=%u",
			    strerror(-r), delay);
		(void)loop_timer_arm(&sweeper->retry, delay);
		looked(sweeper);
		return;
	}
	backoff_reset(&sweeper->backoff);
	if (!sweeper->runs_second) {
		sweep_list_remove(&sweeper->running, &sweeper->spared);
		list_move(&sweeper->again, &sweeper->running);
	}
	sweeper->running.n = 0;
	looked(sweeper);
	if (sweeper->again.n > 0 && !evtimer_pending(&sweeper->second, NULL))
		(void)loop_timer_arm(&sweeper->second, AGAIN_MS);
	go_on(sweeper);
	/* Everything has been looked through, and for the second time. */
	if (sweeper_count(sweeper) == 0 && sweeper->keeper.on_swept)
		sweeper->keeper.on_swept(sweeper->keeper.userdata);
}

static void on_deleted(int r, void *userdata)
{
	struct sweeper *sweeper = userdata;

	finish(sweeper, sweeper->listed < 0 ? sweeper->listed : r);
}

/* The listing took its time: a mapping may have come back meanwhile, with connections of its own.
 */
static void judge(struct sweeper *sweeper)
{
	struct ct_entries *found = &sweeper->found;
	size_t kept = 0;

	fill_targets(&sweeper->running, sweeper->ledger);
	for (size_t i = 0; i < found->n; i++) {
		const struct mapping_key key = ct_entry_key(&found->items[i]);

		if (sweep_list_hits(&sweeper->running, &found->items[i]) &&
		    !sweep_list_has(&sweeper->spared, &key))
			found->items[kept++] = found->items[i];
	}
	found->n = kept;
}

static void tell(const struct sweeper *sweeper)
{
	for (size_t i = 0; sweeper->observer && i < sweeper->found.n; i++)
		sweeper->observer->on_victim(&sweeper->found.items[i], sweeper->observer->userdata);
}

static void on_listed(int r, void *userdata)
{
	struct sweeper *sweeper = userdata;

	sweeper->listed = r;
	judge(sweeper);
	tell(sweeper);
	if (sweeper->found.n == 0)
		finish(sweeper, r);
	else
		(void)!worker_submit(sweeper->worker, do_delete, on_deleted, sweeper);
}

static void take_up(struct sweeper *sweeper, struct sweep_list *list)
{
	list_move(&sweeper->running, list);
	sweep_list_sort(&sweeper->running);
	fill_targets(&sweeper->running, sweeper->ledger);
}

static void look_through(struct sweeper *sweeper, struct sweep_list *list, bool second)
{
	sweeper->running.n = 0;
	take_up(sweeper, list);
	sweeper->spared.n = 0;
	sweeper->n_deleted = 0;
	sweeper->runs_second = second;
	sweeper->begun += !second;
	(void)!worker_submit(sweeper->worker, do_list, on_listed, sweeper);
}

/* ---- when ---- */

static bool has_udp(const struct sweep_list *list)
{
	for (size_t i = 0; i < list->n; i++)
		if (list->items[i].key.protocol == PROTOCOL_UDP)
			return true;
	return false;
}

/* A UDP flow goes on to the old target until it is ended, so that this does not wait. */
static uint64_t rest_ms(const struct sweeper *sweeper)
{
	uint64_t now = clock_monotonic_us();

	if (has_udp(&sweeper->pending))
		return 0;
	return sweeper->rested_us > now ? (sweeper->rested_us - now + 999) / 1000 : 0;
}

static void go_on(struct sweeper *sweeper)
{
	uint64_t rest;

	if (worker_busy(sweeper->worker))
		return;
	if (sweeper->second_due) {
		sweeper->second_due = false;
		look_through(sweeper, &sweeper->ripe, true);
		return;
	}
	if (sweeper->pending.n == 0)
		return;
	rest = rest_ms(sweeper);
	if (rest == 0)
		look_through(sweeper, &sweeper->pending, false);
	else if (!evtimer_pending(&sweeper->first, NULL))
		(void)loop_timer_arm(&sweeper->first, rest);
}

uint64_t sweeper_run(struct sweeper *sweeper, const struct ledger *ledger)
{
	bool any = sweeper->noted.n > 0;
	uint64_t look = has_udp(&sweeper->noted) ? sweeper->begun + 1 : 0;

	sweeper->ledger = ledger;
	spare_draining(sweeper);
	list_move(&sweeper->pending, &sweeper->noted);
	if (any)
		go_on(sweeper);
	return look;
}

static void on_first(evutil_socket_t fd, short what, void *userdata)
{
	go_on(userdata);
}

static void on_second(evutil_socket_t fd, short what, void *userdata)
{
	struct sweeper *sweeper = userdata;

	if (!sweeper->second_due) {
		sweeper->second_due = sweeper->ripe.n > 0;
		if (!sweeper->second_due)
			list_move(&sweeper->ripe, &sweeper->again);
	}
	if (sweeper->ripe.n > 0 || sweeper->again.n > 0)
		(void)loop_timer_arm(&sweeper->second, AGAIN_MS);
	go_on(sweeper);
}

int sweeper_new(struct sweeper **ret, struct event_base *base)
{
	struct sweeper *sweeper = calloc(1, sizeof(*sweeper));
	int r;

	if (!sweeper)
		return -ENOMEM;
	(void)evtimer_assign(&sweeper->first, base, on_first, sweeper);
	(void)evtimer_assign(&sweeper->retry, base, on_first, sweeper);
	(void)evtimer_assign(&sweeper->second, base, on_second, sweeper);
	sweeper->backoff = (struct backoff){ .first_ms = RETRY_FIRST_MS, .max_ms = RETRY_MAX_MS };
	sweeper->netlink = NETLINK_INIT;
	r = netlink_open(&sweeper->netlink, RECEIVE_BYTES);
	if (r == 0)
		r = worker_new(&sweeper->worker, base);
	if (r < 0) {
		sweeper_free(sweeper);
		return r;
	}
	*ret = sweeper;
	return 0;
}

/* What has been answered is kept: nobody looks after these connections once we are gone. */
static void look_last(struct sweeper *sweeper)
{
	list_move(&sweeper->pending, &sweeper->ripe);
	list_move(&sweeper->pending, &sweeper->again);
	sweep_list_remove(&sweeper->running, &sweeper->spared);
	take_up(sweeper, &sweeper->pending);
	if (sweeper->running.n == 0 || do_list(sweeper) < 0)
		return;
	judge(sweeper);
	tell(sweeper);
	(void)do_delete(sweeper);
}

void sweeper_free(struct sweeper *sweeper)
{
	if (!sweeper)
		return;
	worker_free(sweeper->worker);
	if (sweeper->ledger)
		look_last(sweeper);
	evtimer_del(&sweeper->first);
	evtimer_del(&sweeper->retry);
	evtimer_del(&sweeper->second);
	netlink_close(&sweeper->netlink);
	ct_entries_clear(&sweeper->found);
	sweep_list_clear(&sweeper->noted);
	sweep_list_clear(&sweeper->draining);
	sweep_list_clear(&sweeper->pending);
	sweep_list_clear(&sweeper->again);
	sweep_list_clear(&sweeper->ripe);
	sweep_list_clear(&sweeper->running);
	sweep_list_clear(&sweeper->spared);
	free(sweeper);
}

void sweeper_observe(struct sweeper *sweeper, const struct sweep_observer *observer)
{
	sweeper->observer = observer;
}

void sweeper_on_looked(struct sweeper *sweeper, void (*on_looked)(void *userdata), void *userdata)
{
	sweeper->on_looked = on_looked;
	sweeper->userdata = userdata;
}

void sweeper_keep(struct sweeper *sweeper, const struct sweep_keeper *keeper)
{
	sweeper->keeper = *keeper;
}

uint64_t sweeper_looks(const struct sweeper *sweeper)
{
	return sweeper->done;
}

uint64_t sweeper_deleted(const struct sweeper *sweeper)
{
	return sweeper->deleted;
}

size_t sweeper_pending(const struct sweeper *sweeper)
{
	return sweeper->pending.n + (sweeper->runs_second ? 0 : sweeper->running.n);
}
