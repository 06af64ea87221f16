/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Accounting: keeps the flow table true. It joins the kernel's listings, its events of ended
 * connections and the changes of the mappings, each in the order that makes the counts exact.
 */
#include "gatewayd/accounting.h"

#include <errno.h>
#include <string.h>

#include "gatewayd/ct_events.h"
#include "lib/array.h"
#include "lib/clock.h"
#include "lib/log.h"
#include "lib/loop.h"

/* Events are read together: each wake-up costs more than the reading of one. */
#define EVENT_DELAY_MS 50
/* Batches of one turn of the event loop. */
#define BATCHES_MAX 8

/* A mapping that a plan changes, and where it led before; port 0: nowhere. */
struct note {
	struct mapping_key key;
	struct endpoint led;
};

struct waiter {
	struct waiter *next;
	void (*done)(int error, void *userdata);
	void *userdata;
};

struct accounting {
	struct flow_table table;
	struct ct_events events;
	struct collector *collector;
	struct netlink netlink; /* for requests of our own */
	struct ct_stats conntrack;
	struct event readable, drain;
	struct note *notes; /* owned */
	size_t n_notes, n_notes_allocated;
	struct waiter *waiting; /* for the round that begins next */
	struct waiter *served;  /* by the round that runs */
	struct sweep_observer observer;
	bool started;
};

/* ---- events ---- */

static const struct nlmsghdr *slot_message(const struct flow_store *store, uint32_t place)
{
	const struct nlmsghdr *message =
		(const struct nlmsghdr *)(store->inbox + (size_t)place * INBOX_SLOT_SIZE);

	return message->nlmsg_len >= sizeof(*message) && message->nlmsg_len <= INBOX_SLOT_SIZE
		       ? message
		       : NULL;
}

/* Takes the messages of the inbox from the first that is not done with. */
static void take_inbox(struct accounting *accounting, uint32_t n)
{
	struct flow_store *store = &accounting->table.store;
	int64_t wall = clock_unix_seconds();

	for (uint32_t place = flow_store_inbox_done(store); place < n; place++) {
		const struct nlmsghdr *message = slot_message(store, place);
		struct ct_entry entry;

		if (message && ct_entry_parse(message, &entry) == 0)
			flow_table_end(&accounting->table, &entry, place, wall);
		else
			flow_store_set_inbox_done(store, place + 1);
	}
	flow_store_clear_inbox(store, n);
}

/* Whether there may be more. */
static bool take_batch(struct accounting *accounting)
{
	struct flow_store *store = &accounting->table.store;
	int n = ct_events_read(&accounting->events, store->inbox, INBOX_SLOT_SIZE, INBOX_SLOTS);

	if (n < 0)
		log_warning("conntrack", "cannot read of ended connections: %s", strerror(-n));
	if (n <= 0)
		return false;
	take_inbox(accounting, (uint32_t)n);
	return n == INBOX_SLOTS;
}

static void take_all(struct accounting *accounting)
{
	while (accounting->started && take_batch(accounting))
		;
}

static void on_drain(evutil_socket_t fd, short what, void *userdata)
{
	struct accounting *accounting = userdata;
	bool more = true;

	for (unsigned i = 0; i < BATCHES_MAX && more; i++)
		more = take_batch(accounting);
	if (more)
		(void)loop_timer_arm(&accounting->drain, 0);
	else
		(void)event_add(&accounting->readable, NULL);
}

static void on_event_readable(evutil_socket_t fd, short what, void *userdata)
{
	struct accounting *accounting = userdata;

	(void)loop_timer_arm(&accounting->drain, EVENT_DELAY_MS);
}

/* ---- rounds ---- */

static void answer(struct waiter **waiters, int error)
{
	struct waiter *waiter;

	while ((waiter = *waiters)) {
		*waiters = waiter->next;
		waiter->done(error, waiter->userdata);
		free(waiter);
	}
}

static void on_begin(void *userdata)
{
	struct accounting *accounting = userdata;

	/* What ended before the listing is not in it. One of the same number that is in it is
	 * another connection, as when a client comes again after a reset. */
	take_all(accounting);
	flow_table_begin_round(&accounting->table);
	accounting->served = accounting->waiting;
	accounting->waiting = NULL;
}

/* What ended before this part was made is counted first, so that a connection that has taken the
 * place of an ended one is not mistaken for it. */
static void on_part(void *userdata)
{
	take_all(userdata);
}

static void on_entry(const struct ct_entry *entry, void *userdata)
{
	struct accounting *accounting = userdata;

	flow_table_see(&accounting->table, entry, clock_unix_seconds());
}

static void on_end(bool complete, void *userdata)
{
	struct accounting *accounting = userdata;

	flow_table_end_round(&accounting->table, complete, clock_monotonic_ms());
	if (accounting->netlink.fd >= 0 || netlink_open(&accounting->netlink, 0) == 0)
		ct_stats_read(&accounting->netlink, &accounting->conntrack);
	answer(&accounting->served, complete ? 0 : -EIO);
}

int accounting_refresh(struct accounting *accounting, void (*done)(int error, void *userdata),
		       void *userdata)
{
	struct waiter *waiter = malloc(sizeof(*waiter));

	if (!waiter)
		return -ENOMEM;
	*waiter = (struct waiter){ accounting->waiting, done, userdata };
	accounting->waiting = waiter;
	collector_hurry(accounting->collector);
	return 0;
}

/* ---- the reconciler's hooks ---- */

static void add_note(struct accounting *accounting, const struct entry *entry)
{
	struct note note = { .key = entry->key };
	struct note *grown = array_grow(accounting->notes, sizeof(*grown), accounting->n_notes,
					&accounting->n_notes_allocated);

	if (!grown) {
		log_error("counters", "out of memory: a removed mapping goes on counting");
		return;
	}
	accounting->notes = grown;
	if (entry->flags & ENTRY_INSTALLED)
		note.led = entry->installed;
	accounting->notes[accounting->n_notes++] = note;
}

void accounting_note(struct accounting *accounting, const struct plan *plan)
{
	if (!accounting || !accounting->started)
		return;
	take_all(accounting);
	for (size_t i = 0; i < plan->n_operations; i++) {
		const struct entry *entry = plan->operations[i].entry;
		bool repointed;

		if (!entry)
			continue; /* it is no mapping's element */
		repointed = (entry->flags & ENTRY_INSTALLED) && (entry->flags & ENTRY_DESIRED) &&
			    endpoint_compare(&entry->target, &entry->installed) != 0;
		if (repointed || flow_table_has_account(&accounting->table, &entry->key))
			add_note(accounting, entry);
	}
}

static int compare_notes(const void *a, const void *b)
{
	const struct note *left = a, *right = b;
	int order = mapping_key_compare(&left->key, &right->key);

	return order != 0 ? order : endpoint_compare(&left->led, &right->led);
}

/* Each once, however often it is tried. */
void accounting_forget(struct accounting *accounting)
{
	size_t kept = 0;

	if (!accounting || accounting->n_notes == 0)
		return;
	qsort(accounting->notes, accounting->n_notes, sizeof(*accounting->notes), compare_notes);
	for (size_t i = 0; i < accounting->n_notes; i++)
		if (i == 0 ||
		    compare_notes(&accounting->notes[kept - 1], &accounting->notes[i]) != 0)
			accounting->notes[kept++] = accounting->notes[i];
	accounting->n_notes = kept;
}

static bool leads_elsewhere(const struct ledger *ledger, const struct note *note)
{
	const struct entry *entry = ledger_find(ledger, &note->key);

	return note->led.port > 0 && entry && (entry->flags & ENTRY_INSTALLED) &&
	       endpoint_compare(&entry->installed, &note->led) != 0;
}

static void start(struct accounting *accounting, const struct ledger *ledger)
{
	flow_table_start(&accounting->table, ledger, clock_monotonic_ms());
	accounting->started = true;
	/* What a killed process had received and not counted yet. */
	take_inbox(accounting, INBOX_SLOTS);
	take_all(accounting);
	ct_events_set_reliable(&accounting->events, true);
	(void)event_add(&accounting->readable, NULL);
	collector_start(accounting->collector);
}

void accounting_run(struct accounting *accounting, const struct ledger *ledger)
{
	if (!accounting)
		return;
	if (!accounting->started)
		start(accounting, ledger);
	for (size_t i = 0; i < accounting->n_notes; i++)
		flow_table_mapping_changed(&accounting->table, &accounting->notes[i].key,
					   leads_elsewhere(ledger, &accounting->notes[i]));
	accounting->n_notes = 0;
}

static void on_victim(const struct ct_entry *entry, void *userdata)
{
	struct accounting *accounting = userdata;

	flow_table_claim(&accounting->table, entry, clock_unix_seconds());
}

const struct sweep_observer *accounting_observer(const struct accounting *accounting)
{
	return accounting ? &accounting->observer : NULL;
}

/* ---- making ---- */

static int open_table(struct accounting *accounting, const char *path, struct error *err)
{
	struct error reason = ERROR_INIT;

	if (flow_table_open(&accounting->table, path, &reason) == 0)
		return 0;
	log_warning("counters", "%s; counters begin at 0 with each start",
		    error_text(&reason, -EIO));
	return flow_table_open(&accounting->table, NULL, err);
}

int accounting_new(struct accounting **ret, struct event_base *base, const char *path,
		   size_t event_buffer, struct error *err)
{
	_cleanup_(cleanup_accounting) struct accounting *accounting =
		calloc(1, sizeof(*accounting));
	const struct collector_hooks hooks = { on_begin, on_part, on_entry, on_end, accounting };
	int r;

	if (!accounting)
		return error_set(err, -ENOMEM, "internal", NULL, "out of memory");
	accounting->events = CT_EVENTS_INIT;
	accounting->netlink = NETLINK_INIT;
	accounting->observer = (struct sweep_observer){ on_victim, accounting };
	r = open_table(accounting, path, err);
	if (r == 0)
		r = ct_events_open(&accounting->events, event_buffer, err);
	if (r < 0)
		return r;
	(void)event_assign(&accounting->readable, base, accounting->events.fd, EV_READ,
			   on_event_readable, accounting);
	(void)evtimer_assign(&accounting->drain, base, on_drain, accounting);
	r = collector_new(&accounting->collector, base, &hooks);
	if (r == 0)
		r = netlink_open(&accounting->netlink, 0);
	if (r < 0)
		return error_set(err, r, "kernel", NULL, "cannot open a conntrack socket: %s",
				 strerror(-r));
	ct_stats_read(&accounting->netlink, &accounting->conntrack);
	*ret = TAKE_PTR(accounting);
	return 0;
}

void accounting_free(struct accounting *accounting)
{
	if (!accounting)
		return;
	answer(&accounting->waiting, -ECANCELED);
	answer(&accounting->served, -ECANCELED);
	if (accounting->collector) {
		event_del(&accounting->readable);
		evtimer_del(&accounting->drain);
	}
	collector_free(accounting->collector);
	ct_events_close(&accounting->events);
	netlink_close(&accounting->netlink);
	flow_table_close(&accounting->table);
	free(accounting->notes);
	free(accounting);
}

/* ---- looking ---- */

const struct flow_table *accounting_table(const struct accounting *accounting)
{
	return &accounting->table;
}

int accounting_end_session(struct accounting *accounting, uint64_t id)
{
	uint32_t flow = flow_table_find(&accounting->table, id);
	struct ct_entry entry;
	int r;

	if (flow == FLOW_STORE_NONE)
		return -ENOENT;
	entry = flow_table_entry(&accounting->table, flow);
	if (accounting->netlink.fd < 0) {
		r = netlink_open(&accounting->netlink, 0);
		if (r < 0)
			return r;
	}
	r = conntrack_delete(&accounting->netlink, &entry);
	if (r < 0 && r != -ENOENT)
		netlink_close(&accounting->netlink);
	return r;
}

void accounting_status(const struct accounting *accounting, struct accounting_status *ret)
{
	const struct flow_table *table = &accounting->table;
	const struct collector_stats *stats = collector_stats(accounting->collector);

	*ret = (struct accounting_status){
		.totals = *flow_store_totals(&table->store),
		.sessions = table->n_live,
		.age_seconds = stats->fresh_ms == 0
				       ? -1
				       : (double)(clock_monotonic_ms() - stats->fresh_ms) / 1000.0,
		.window_seconds = table->window_seconds,
		.collector = *stats,
		.conntrack = accounting->conntrack,
		.event_overruns = accounting->events.overruns,
		.untracked = table->untracked,
		.persistent = table->store.fd >= 0,
	};
}
