/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The collector lists the kernel's translated connections again and again, a part in each turn of
 * the event loop. It hands the entries on and keeps none.
 */
#include "gatewayd/collector.h"

#include <errno.h>
#include <libmnl/libmnl.h>
#include <string.h>
#include <time.h>

#include "gatewayd/netlink.h"
#include "lib/clock.h"
#include "lib/log.h"
#include "lib/loop.h"

/* The kernel fills one such buffer in about 0.2 ms, in which nothing else is served. */
#define PART_BYTES ((size_t)16 << 10)
#define INTERVAL_MIN_MS 2000
#define INTERVAL_MAX_MS 10000
/* A round that costs so much CPU is followed by a pause a hundred times as long: 1 % of a core. */
#define INTERVAL_PER_COST 100
#define PART_TIMEOUT_S 10
/* The kernel walks its whole table for the first part, some 10 ms. */
#define START_DELAY_MS 50

struct collector {
	struct collector_hooks hooks;
	struct event_base *base;
	struct netlink netlink;
	struct event readable, pause;
	bool runs;
	bool again; /* another round right after this one */
	uint32_t sequence;
	uint64_t began_ms;
	double cost; /* CPU seconds of this round */
	struct collector_stats stats;
	uint8_t *part; /* owned; PART_BYTES */
};

static double cpu_now(void)
{
	struct timespec now = { 0 };

	(void)clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
	return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static void on_readable(evutil_socket_t fd, short what, void *userdata);

static int wait_for_part(struct collector *collector)
{
	const struct timeval limit = { .tv_sec = PART_TIMEOUT_S };

	return event_add(&collector->readable, &limit) < 0 ? -ENOMEM : 0;
}

static int open_socket(struct collector *collector)
{
	int r;

	if (collector->netlink.fd >= 0)
		return 0;
	r = netlink_open(&collector->netlink, 0);
	if (r < 0)
		return r;
	(void)event_assign(&collector->readable, collector->base, collector->netlink.fd, EV_READ,
			   on_readable, collector);
	return 0;
}

static void close_socket(struct collector *collector)
{
	if (collector->netlink.fd >= 0)
		event_del(&collector->readable);
	netlink_close(&collector->netlink);
}

static int ask(struct collector *collector)
{
	_Alignas(struct nlmsghdr) uint8_t buffer[CT_REQUEST_MAX] = { 0 };
	struct nlmsghdr *request;
	int r;

	r = open_socket(collector);
	if (r < 0)
		return r;
	request = ct_request_translated(buffer);
	collector->sequence = request->nlmsg_seq = netlink_sequences(&collector->netlink, 1);
	r = netlink_send(&collector->netlink, request, request->nlmsg_len, NULL);
	return r < 0 ? r : wait_for_part(collector);
}

/* ---- rounds ---- */

static void end_round(struct collector *collector, int error)
{
	struct collector_stats *stats = &collector->stats;
	uint64_t elapsed = clock_monotonic_ms() - collector->began_ms;
	double wanted = collector->cost * 1000 * INTERVAL_PER_COST;

	collector->runs = false;
	stats->cpu_seconds += collector->cost;
	stats->rounds++;
	if (error < 0) {
		stats->failures++;
		close_socket(collector);
		log_warning("conntrack", "cannot list connections: %s", strerror(-error));
		wanted = INTERVAL_MAX_MS;
	} else {
		stats->fresh_ms = collector->began_ms;
	}
	stats->interval_ms =
		(uint64_t)MAX(MIN(wanted, (double)INTERVAL_MAX_MS), (double)INTERVAL_MIN_MS);
	collector->hooks.on_end(error == 0, collector->hooks.userdata);
	(void)loop_timer_arm(&collector->pause, collector->again ? 0
						: stats->interval_ms > elapsed
							? stats->interval_ms - elapsed
							: 1);
}

static void begin_round(struct collector *collector)
{
	double start = cpu_now();
	int r;

	collector->runs = true;
	collector->again = false;
	collector->began_ms = clock_monotonic_ms();
	collector->hooks.on_begin(collector->hooks.userdata);
	r = ask(collector);
	collector->cost = cpu_now() - start;
	if (r < 0)
		end_round(collector, r);
}

/* 1: more to come, 0: complete, or an error. */
static int take_message(struct collector *collector, const struct nlmsghdr *message)
{
	struct ct_entry entry;

	if (message->nlmsg_seq != collector->sequence)
		return 1;
	if (message->nlmsg_type == NLMSG_DONE)
		return 0;
	if (message->nlmsg_type == NLMSG_ERROR) {
		const struct nlmsgerr *error = mnl_nlmsg_get_payload(message);

		return mnl_nlmsg_get_payload_len(message) < sizeof(*error) ? -EBADMSG
									   : error->error;
	}
	if (ct_entry_parse(message, &entry) == 0)
		collector->hooks.on_entry(&entry, collector->hooks.userdata);
	return 1;
}

static int take_part(struct collector *collector)
{
	const struct nlmsghdr *message = (const struct nlmsghdr *)collector->part;
	size_t length;
	int left, r;

	r = netlink_receive(&collector->netlink, collector->part, PART_BYTES, clock_monotonic_ms(),
			    &length);
	if (r < 0)
		return r == -ETIMEDOUT ? 1 : r;
	collector->hooks.on_part(collector->hooks.userdata);
	for (left = (int)length; netlink_message_ok(message, left);
	     message = mnl_nlmsg_next(message, &left)) {
		r = take_message(collector, message);
		if (r <= 0)
			return r;
	}
	return 1;
}

static void on_readable(evutil_socket_t fd, short what, void *userdata)
{
	struct collector *collector = userdata;
	double start = cpu_now();
	int r;

	r = what & EV_TIMEOUT ? -ETIMEDOUT : take_part(collector);
	if (r == 1 && wait_for_part(collector) < 0)
		r = -ENOMEM;
	collector->cost += cpu_now() - start;
	if (r <= 0)
		end_round(collector, r);
}

static void on_pause(evutil_socket_t fd, short what, void *userdata)
{
	begin_round(userdata);
}

void collector_start(struct collector *collector)
{
	(void)loop_timer_arm(&collector->pause, START_DELAY_MS);
}

void collector_hurry(struct collector *collector)
{
	collector->again = true;
	if (!collector->runs)
		(void)loop_timer_arm(&collector->pause, 0);
}

int collector_new(struct collector **ret, struct event_base *base,
		  const struct collector_hooks *hooks)
{
	_cleanup_(cleanup_collector) struct collector *collector = calloc(1, sizeof(*collector));
	int r;

	if (!collector)
		return -ENOMEM;
	collector->hooks = *hooks;
	collector->base = base;
	collector->netlink = NETLINK_INIT;
	collector->stats.interval_ms = INTERVAL_MIN_MS;
	(void)evtimer_assign(&collector->pause, base, on_pause, collector);
	collector->part = malloc(PART_BYTES);
	if (!collector->part)
		return -ENOMEM;
	r = open_socket(collector);
	if (r < 0)
		return r;
	*ret = TAKE_PTR(collector);
	return 0;
}

void collector_free(struct collector *collector)
{
	if (!collector)
		return;
	evtimer_del(&collector->pause);
	close_socket(collector);
	free(collector->part);
	free(collector);
}

const struct collector_stats *collector_stats(const struct collector *collector)
{
	return &collector->stats;
}
