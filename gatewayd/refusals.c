/* SPDX-License-Identifier: GPL-2.0-or-later */
/* How many packets the admission chain has refused: by reason from the table's named counters, and
 * by mapping from the counters of its elements. They are read from the kernel in the background, a
 * set at a time.
 */
#include "gatewayd/refusals.h"

#include <errno.h>

#include "gatewayd/dump.h"
#include "lib/loop.h"

/* A turn reads one set; sets that nobody uses take no turn. */
#define INTERVAL_MS 2000

struct refusals {
	struct ledger *ledger;
	struct netlink netlink;
	struct event timer;
	enum shape_set next; /* whose turn it is */
	uint64_t seen[SHAPE_COUNTER_MAX], total[SHAPE_COUNTER_MAX];
};

static void read_counters(struct refusals *refusals)
{
	uint64_t now[SHAPE_COUNTER_MAX];

	if (dump_counters(&refusals->netlink, now) < 0) {
		netlink_close(&refusals->netlink);
		return;
	}
	for (size_t i = 0; i < SHAPE_COUNTER_MAX; i++) {
		/* One that is less than it was has been made anew. */
		refusals->total[i] +=
			now[i] >= refusals->seen[i] ? now[i] - refusals->seen[i] : now[i];
		refusals->seen[i] = now[i];
	}
}

static void on_element(const struct element *element, void *userdata)
{
	struct refusals *refusals = userdata;
	struct member *member = members_find(&refusals->ledger->members, &element->key);

	if (member && (member->flags & MEMBER_INSTALLED))
		member->packets = element->packets;
}

/* The next set with elements that count, in turn; SHAPE_SET_INVALID: there is none. */
static enum shape_set take_turn(struct refusals *refusals)
{
	for (int i = 0; i < SHAPE_SET_MAX; i++) {
		enum shape_set set = refusals->next;

		refusals->next = (refusals->next + 1) % SHAPE_SET_MAX;
		if (shape_set_statement(set) != SHAPE_NO_STATEMENT &&
		    refusals->ledger->members.n_desired[set] > 0)
			return set;
	}
	return SHAPE_SET_INVALID;
}

void refusals_read(struct refusals *refusals)
{
	enum shape_set set = take_turn(refusals);

	if (refusals->netlink.fd < 0 && netlink_open(&refusals->netlink, 0) < 0)
		return;
	read_counters(refusals);
	if (set != SHAPE_SET_INVALID && refusals->netlink.fd >= 0 &&
	    dump_elements(&refusals->netlink, set, on_element, refusals) < 0)
		netlink_close(&refusals->netlink);
}

static void on_timer(evutil_socket_t fd, short what, void *userdata)
{
	struct refusals *refusals = userdata;

	refusals_read(refusals);
	(void)loop_timer_arm(&refusals->timer, INTERVAL_MS);
}

int refusals_new(struct refusals **ret, struct event_base *base, struct ledger *ledger)
{
	struct refusals *refusals = calloc(1, sizeof(*refusals));

	if (!refusals)
		return -ENOMEM;
	refusals->ledger = ledger;
	refusals->netlink = NETLINK_INIT;
	(void)evtimer_assign(&refusals->timer, base, on_timer, refusals);
	(void)loop_timer_arm(&refusals->timer, INTERVAL_MS);
	*ret = refusals;
	return 0;
}

void refusals_free(struct refusals *refusals)
{
	if (!refusals)
		return;
	evtimer_del(&refusals->timer);
	netlink_close(&refusals->netlink);
	free(refusals);
}

uint64_t refusals_total(const struct refusals *refusals, enum shape_counter counter)
{
	return refusals->total[counter];
}
