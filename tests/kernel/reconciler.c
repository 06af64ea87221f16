/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A reconciler in a namespace of its own, and short ways to ask it for changes. */
#include "tests/kernel/reconciler.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

#include "lib/clock.h"
#include "tests/kernel/kernel.h"

struct event_base *base;
struct address public_address;
struct reconciler *reconciler;

static struct metrics *metrics;

void open_reconciler(uint64_t audit_ms)
{
	struct reconciler_config config = {
		.shape = { .map_size = 1000 },
		.addresses = &public_address,
		.n_addresses = 1,
		.audit_ms = audit_ms,
	};
	struct error err = ERROR_INIT;

	cr_assert_eq(metrics_new(&metrics), 0);
	cr_assert_eq(reconciler_new(&reconciler, base, &config, metrics, &err), 0, "%s",
		     err.message);
}

void close_reconciler(void)
{
	reconciler_free(reconciler);
	metrics_free(metrics);
}

void begin_reconciler(void)
{
	enter_namespace();
	do_ip("address add 203.0.113.10/32 dev lo");
	do_ip("address add 10.0.0.5/32 dev lo");
	do_ip("address add 10.0.0.6/32 dev lo");
	cr_assert_eq(address_parse(PUBLIC, &public_address), 0);
	base = event_base_new();
	open_reconciler(NO_AUDIT_MS);
}

void end_reconciler(void)
{
	close_reconciler();
	event_base_free(base);
}

static void on_done(struct changeset *changeset, void *userdata)
{
	struct told *told = userdata;

	cr_assert_not(told->done, "told twice");
	told->done = true;
	told->errnum = changeset->error.errnum;
	told->revision = changeset->revision;
	told->n_refusals = changeset->n_refusals;
	for (size_t i = 0; i < changeset->n_refusals; i++)
		mapping_key_format(&changeset->refusals[i].key, told->refused);
	(void)snprintf(told->message, sizeof(told->message), "%s", changeset->error.message);
}

struct changeset *new_changeset(size_t n, bool atomic, struct told *told)
{
	struct changeset *changeset;

	cr_assert_eq(changeset_new(&changeset, n), 0);
	memset(told, 0, sizeof(*told));
	changeset->atomic = atomic;
	changeset->on_done = on_done;
	changeset->userdata = told;
	return changeset;
}

struct changeset *fill(struct changeset *changeset, size_t index, uint16_t port, const char *target,
		       bool drain)
{
	struct mapping mapping = {
		.key = { .address = public_address, .port = port, .protocol = PROTOCOL_TCP },
		.target = endpoint_of(target),
		.on_remove = drain ? ON_REMOVE_DRAIN : ON_REMOVE_REVOKE,
	};
	struct error err = ERROR_INIT;

	cr_assert_eq(change_put(&changeset->changes[index], &mapping, "", &err), 0);
	return changeset;
}

struct changeset *fill_removal(struct changeset *changeset, size_t index, uint16_t port)
{
	const struct mapping_key key = { .address = public_address,
					 .port = port,
					 .protocol = PROTOCOL_TCP };

	change_remove(&changeset->changes[index], &key);
	return changeset;
}

void turn_until(const bool *done)
{
	uint64_t deadline = clock_monotonic_ms() + PATIENCE_MS;

	while (!*done && clock_monotonic_ms() < deadline)
		(void)event_base_loop(base, EVLOOP_ONCE);
	cr_assert(*done, "no answer");
}

void turn_until_looked_through(void)
{
	uint64_t deadline = clock_monotonic_ms() + PATIENCE_MS;
	struct reconciler_status status;

	for (;;) {
		reconciler_status(reconciler, &status);
		if (status.conntrack_pending == 0)
			return;
		cr_assert_lt(clock_monotonic_ms(), deadline,
			     "connections wait to be looked through");
		(void)event_base_loop(base, EVLOOP_ONCE);
	}
}

void answer_put(uint16_t port, const char *target, bool drain)
{
	struct told told;

	reconciler_submit(reconciler, fill(new_changeset(1, true, &told), 0, port, target, drain));
	turn_until(&told.done);
	cr_assert_eq(told.errnum, 0, "%s", told.message);
}

void answer_removal(uint16_t port)
{
	struct told told;

	reconciler_submit(reconciler, fill_removal(new_changeset(1, true, &told), 0, port));
	turn_until(&told.done);
	cr_assert_eq(told.errnum, 0, "%s", told.message);
}

void put_one(uint16_t port, const char *target, bool drain)
{
	answer_put(port, target, drain);
	turn_until_looked_through();
}

void remove_one(uint16_t port)
{
	answer_removal(port);
	turn_until_looked_through();
}

bool kernel_has(const char *element)
{
	_cleanup_free_ char *text = nft("list table inet portico");

	return strstr(text, element) != NULL;
}

uint64_t committed(void)
{
	struct reconciler_status status;

	reconciler_status(reconciler, &status);
	return status.applier.transactions[APPLIER_COMMITTED];
}
