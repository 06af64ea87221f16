/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What has changed and waits for somebody to look at it: lists through the entries. */
#include "schedd/state_private.h"

/* ---- environments, for the reconciler ---- */

void state_mark(struct state *state, struct environment_entry *environment)
{
	if (environment->dirty)
		return;
	environment->dirty = true;
	DL_APPEND2(state->dirty, environment, dirty_prev, dirty_next);
}

void state_unmark(struct state *state, struct environment_entry *environment)
{
	if (!environment->dirty)
		return;
	environment->dirty = false;
	DL_DELETE2(state->dirty, environment, dirty_prev, dirty_next);
}

void state_set_waiting(struct state *state, struct environment_entry *environment, bool waiting)
{
	if (environment->waiting == waiting)
		return;
	environment->waiting = waiting;
	if (waiting)
		DL_APPEND2(state->waiting, environment, waiting_prev, waiting_next);
	else
		DL_DELETE2(state->waiting, environment, waiting_prev, waiting_next);
}

void state_mark_waiting(struct state *state)
{
	struct environment_entry *environment;

	DL_FOREACH2(state->waiting, environment, waiting_next)
	state_mark(state, environment);
}

void state_set_homeless(struct state *state, struct environment_entry *environment, bool homeless)
{
	if (environment->homeless == homeless)
		return;
	environment->homeless = homeless;
	if (homeless)
		DL_APPEND2(state->homeless, environment, homeless_prev, homeless_next);
	else
		DL_DELETE2(state->homeless, environment, homeless_prev, homeless_next);
}

void state_mark_homeless(struct state *state)
{
	struct environment_entry *environment;

	DL_FOREACH2(state->homeless, environment, homeless_next)
	state_mark(state, environment);
}

void state_set_due(struct state *state, struct environment_entry *environment, uint64_t ms)
{
	if (environment->recheck_ms > 0)
		min_heap_remove(&state->due, &environment->by_recheck);
	environment->recheck_ms = ms;
	if (ms > 0)
		min_heap_add(&state->due, &environment->by_recheck, (int64_t)ms);
}

uint64_t state_next_due_ms(const struct state *state)
{
	return state->due.first ? (uint64_t)state->due.first->order : 0;
}

void state_mark_due(struct state *state, uint64_t now_ms)
{
	struct min_heap_node *first;

	while ((first = state->due.first) && (uint64_t)first->order <= now_ms) {
		struct environment_entry *environment =
			CONTAINER_OF(first, struct environment_entry, by_recheck);

		state_set_due(state, environment, 0);
		state_mark(state, environment);
	}
}

void state_mark_all(struct state *state)
{
	struct environment_entry *environment;

	STATE_FOREACH(state, RECORD_ENVIRONMENT, environment)
	state_mark(state, environment);
}

/* ---- hosts, for placement ---- */

void state_host_changed(struct state *state, struct host_entry *host)
{
	if (host->changed)
		return;
	host->changed = true;
	DL_APPEND2(state->changed_hosts, host, changed_prev, changed_next);
}

void state_forget_changed(struct state *state, struct host_entry *host)
{
	if (!host->changed)
		return;
	host->changed = false;
	DL_DELETE2(state->changed_hosts, host, changed_prev, changed_next);
}

struct host_entry *state_take_changed_host(struct state *state)
{
	struct host_entry *host = state->changed_hosts;

	if (host)
		state_forget_changed(state, host);
	return host;
}
