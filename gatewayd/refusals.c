/* SPDX-License-Identifier: GPL-2.0-or-later */
/* How many packets the admission chain has refused: by reason from the table's named counters, and
 * by mapping from the counters of its elements. They are read from the kernel in the background, a
 * part at a time.
 */
#include "gatewayd/refusals.h"

#include <errno.h>

#include "gatewayd/lookup.h"
#include "lib/clock.h"
#include "lib/loop.h"

/* A turn asks for so many elements at most, about 2 µs each, so that a gateway with many limits has
 * none of its requests wait for them. */
#define INTERVAL_MS 500
#define ELEMENTS_PER_TURN 512
#define MEMBERS_PER_TURN (8 * ELEMENTS_PER_TURN)

struct refusals {
	const struct shape *shape;
	struct ledger *ledger;
	struct netlink netlink;
	struct event timer;
	struct member_key last;                  /* the member that was looked at last */
	struct member_key keys[LOOKUP_KEYS_MAX]; /* of one set, to be asked for */
	size_t n_keys;
	uint64_t seen[SHAPE_COUNTER_MAX], total[SHAPE_COUNTER_MAX];
};

static int read_counters(struct refusals *refusals)
{
	uint64_t now[SHAPE_COUNTER_MAX];
	int r;

	r = lookup_counters(&refusals->netlink, now);
	if (r < 0)
		return r;
	for (size_t i = 0; i < SHAPE_COUNTER_MAX; i++) {
		/* One that is less than it was has been made anew. */
		refusals->total[i] +=
			now[i] >= refusals->seen[i] ? now[i] - refusals->seen[i] : now[i];
		refusals->seen[i] = now[i];
	}
	return 0;
}

static void on_element(const struct element *element, void *userdata)
{
	struct refusals *refusals = userdata;
	struct member *member = members_find(&refusals->ledger->members, &element->key);

	if (member && (member->flags & MEMBER_INSTALLED))
		member->packets = element->packets;
}

static int ask(struct refusals *refusals)
{
	int r = 0;

	if (refusals->n_keys > 0)
		r = lookup_keys(&refusals->netlink, refusals->keys, refusals->n_keys, on_element,
				refusals);
	refusals->n_keys = 0;
	return r;
}

static int add_key(struct refusals *refusals, const struct member_key *key)
{
	int r = 0;

	if (refusals->n_keys == LOOKUP_KEYS_MAX ||
	    (refusals->n_keys > 0 && refusals->keys[0].set != key->set))
		r = ask(refusals);
	refusals->keys[refusals->n_keys++] = *key;
	return r;
}

/* What has ended the kernel has dropped by itself: asked for, it would hide those that are asked
 * for behind it. Its clock may be some milliseconds before ours. */
static bool counts(const struct member *member, int64_t now)
{
	return (member->flags & MEMBER_INSTALLED) &&
	       shape_set_statement(member->key.set) != SHAPE_NO_STATEMENT &&
	       (member->installed.expires_at == 0 || member->installed.expires_at > now + 1);
}

/* The members behind those of the last turn. */
static int read_members(struct refusals *refusals)
{
	const struct members *members = &refusals->ledger->members;
	const struct member *last = members_find(members, &refusals->last);
	const struct member *member = last && last->hh.next ? last->hh.next : members->all;
	const int64_t now = clock_unix_seconds();
	size_t seen = 0, asked = 0;
	int r = 0;

	for (; r == 0 && member && seen < MEMBERS_PER_TURN && asked < ELEMENTS_PER_TURN;
	     member = member->hh.next, seen++) {
		refusals->last = member->key;
		if (!counts(member, now))
			continue;
		r = add_key(refusals, &member->key);
		asked++;
	}
	return r == 0 ? ask(refusals) : r;
}

void refusals_read(struct refusals *refusals)
{
	if (shape_counters(ledger_sets(refusals->ledger, refusals->shape)) == 0)
		return;
	if (refusals->netlink.fd < 0 && netlink_open(&refusals->netlink, 0) < 0)
		return;
	if (read_counters(refusals) < 0 || read_members(refusals) < 0)
		netlink_close(&refusals->netlink);
}

static void on_timer(evutil_socket_t fd, short what, void *userdata)
{
	struct refusals *refusals = userdata;

	refusals_read(refusals);
	(void)loop_timer_arm(&refusals->timer, INTERVAL_MS);
}

int refusals_new(struct refusals **ret, struct event_base *base, const struct shape *shape,
		 struct ledger *ledger)
{
	struct refusals *refusals = calloc(1, sizeof(*refusals));

	if (!refusals)
		return -ENOMEM;
	refusals->shape = shape;
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
