/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Carries out what lifecycle.c decides: for each marked environment it gathers what is known, asks,
 * and edits rows in the open batch until nothing changes any more. Also the ports whose environment
 * is gone. It sends nothing: what it edited is seen once it is committed. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "lib/clock.h"
#include "lib/log.h"
#include "lib/utf8.h"
#include "schedd/careful.h"
#include "schedd/confirm.h"
#include "schedd/report_news.h"
#include "schedd/scheduler_private.h"

#define ENVIRONMENTS_PER_RUN 500
/* A decision that changes nothing ends the steps; this ends a fault in lifecycle.c. */
#define STEPS_MAX 16
#define RETRY_MS 1000
/* What is due by time is looked at together, and not more often than this. */
#define RECHECK_MS 100
/* A wait is written down no more often. */
#define WAIT_STEP_MIN_MS 1000

struct run {
	struct scheduler *scheduler;
	struct lifecycle_gateway *gateways;
	size_t n_gateways;
	int64_t now;
	uint64_t now_ms;
};

/* ---- what is known ---- */

struct lifecycle_gateway scheduler_view_gateway(const struct gateway_entry *entry)
{
	return (struct lifecycle_gateway){
		.name = entry->entry.id,
		.row = gateway_newest(entry),
		.reported = entry->reported,
		.applied = entry->report.revision,
		.failed = entry->report.failed,
		.n_failed = entry->report.n_failed,
	};
}

/* One that is being removed is asked for nothing any more. */
static int gather_gateways(struct run *run)
{
	const struct state *state = &run->scheduler->state;
	struct gateway_entry *entry;

	run->gateways = calloc(state_count(state, RECORD_GATEWAY) + 1, sizeof(*run->gateways));
	if (!run->gateways)
		return -ENOMEM;
	STATE_FOREACH(state, RECORD_GATEWAY, entry)
	{
		if (!gateway_newest(entry)->record.gone)
			run->gateways[run->n_gateways++] = scheduler_view_gateway(entry);
	}
	return 0;
}

uint64_t scheduler_lease_left_ms(const struct scheduler *scheduler, const struct host_entry *host,
				 uint64_t now_ms)
{
	const struct scheduler_config *config = &scheduler->config;
	uint64_t over = host->lease_from_ms + config->lease_ms + config->lease_margin_ms;

	if (config->lease_ms == 0)
		return UINT64_MAX;
	return over > now_ms ? over - now_ms : 0;
}

static void gather_host(const struct run *run, const struct environment_entry *entry,
			struct lifecycle_host *ret)
{
	const struct host_entry *host = entry->host;
	const struct host_report *report = &host->report;

	*ret = (struct lifecycle_host){
		.name = host->entry.id,
		.mode = host_newest(host)->mode,
		.online = host_newest(host)->online,
		.status_since = host_newest(host)->status_since,
		.lease_left_ms = scheduler_lease_left_ms(run->scheduler, host, run->now_ms),
		.reported = host->reported,
		.revision = report->revision,
		.engine_error = report->engine_error,
		.container = report_container(report, entry->entry.id),
	};
}

/* By the row and the span since this leader saw it first: no time of the day, which may be set. */
static uint64_t withdrawing_ms(const struct run *run, struct port_entry *entry)
{
	const struct port *port = port_newest(entry);

	if (port->state != PORT_WITHDRAWING) {
		entry->withdrawing_since_ms = 0;
		return 0;
	}
	if (entry->withdrawing_since_ms == 0) {
		entry->withdrawing_since_ms = run->now_ms;
		entry->waited_ms = port->waited_ms;
	}
	return entry->waited_ms + run->now_ms - entry->withdrawing_since_ms;
}

static void decide(const struct run *run, const struct environment_entry *entry,
		   struct lifecycle_decision *ret)
{
	const struct port *ports[ENVIRONMENT_SERVICES_MAX];
	struct lifecycle_host host;
	struct lifecycle_input input = {
		.environment = environment_newest(entry),
		.ports = ports,
		.n_ports = entry->n_ports,
		.gateways = run->gateways,
		.n_gateways = run->n_gateways,
		.limits = &run->scheduler->config.limits,
		.now = run->now,
		.no_room = entry->no_room,
	};

	for (size_t i = 0; i < entry->n_ports; i++) {
		ports[i] = port_newest(entry->ports[i]);
		input.withdrawing_ms[i] = withdrawing_ms(run, entry->ports[i]);
	}
	if (entry->host) {
		gather_host(run, entry, &host);
		input.host = &host;
	}
	if (entry->unready_since_ms > 0)
		input.unready_ms = run->now_ms - entry->unready_since_ms;
	lifecycle_decide(&input, ret);
}

/* ---- edits ---- */

static bool port_differs(const struct port *port, const struct lifecycle_port *next)
{
	return port->state != next->state || port->has_target != next->has_target ||
	       port->expires_at != next->expires_at ||
	       (next->has_target && endpoint_compare(&port->target, &next->target) != 0);
}

static void quarantine(const struct run *run, struct port *port)
{
	const struct scheduler *scheduler = run->scheduler;

	port->quarantined_until = run->now + scheduler->config.limits.quarantine_s;
}

/* What the row is to say of its wait: now and then, so that leaders that follow each other quickly
 * come to the end of it. */
static uint64_t written_wait_ms(const struct run *run, struct port_entry *entry,
				const struct lifecycle_port *next)
{
	uint64_t longest = (uint64_t)run->scheduler->config.limits.withdraw_timeout_s * 1000;
	uint64_t step = MAX(longest / 4, (uint64_t)WAIT_STEP_MIN_MS);
	uint64_t waited;

	if (next->state != PORT_WITHDRAWING)
		return 0;
	waited = MIN(withdrawing_ms(run, entry), longest);
	return waited - waited % step;
}

/* 1 where the row was edited, 0 where it is as decided. */
static int edit_port(const struct run *run, struct port_entry *entry,
		     const struct lifecycle_port *next)
{
	struct state *state = &run->scheduler->state;
	const struct port before = *port_newest(entry);
	uint64_t waited_ms = written_wait_ms(run, entry, next);
	bool differs = port_differs(&before, next);
	struct port *port;

	if (!differs && before.waited_ms == waited_ms)
		return 0;
	port = differs ? state_edit_port(state, entry) : state_edit_port_quietly(state, entry);
	if (!port)
		return -ENOMEM;
	if (port->state != next->state)
		port->since = run->now;
	port->state = next->state;
	port->has_target = next->has_target;
	port->target = next->has_target ? next->target : (struct endpoint){ 0 };
	port->expires_at = next->has_target ? next->expires_at : 0;
	port->quarantined_until = 0;
	port->waited_ms = waited_ms;
	if (port->state == PORT_QUARANTINED)
		quarantine(run, port);
	if (port_is_mapped(&before) != port_is_mapped(port) ||
	    (port_is_mapped(port) && (endpoint_compare(&before.target, &port->target) != 0 ||
				      before.expires_at != port->expires_at)))
		port->mapping_revision = state_open_revision(state);
	return 1;
}

static void audit_phase(const struct run *run, const struct environment_entry *entry,
			const struct lifecycle_decision *decision)
{
	state_audit(&run->scheduler->state, &entry->entry, "schedd", phase_name(decision->phase),
		    "%s", decision->reason);
}

static int end_environment(struct environment *environment)
{
	int r = environment_drop_secrets(environment);

	if (r < 0)
		return r;
	environment->record.gone = true;
	return 0;
}

static bool environment_differs(const struct environment *row,
				const struct lifecycle_decision *decision)
{
	return row->phase != decision->phase || row->stage != decision->stage ||
	       row->assignment != decision->assignment || row->action != decision->action ||
	       row->power != decision->power || row->exit_code != decision->exit_code ||
	       row->crashes != decision->crashes || row->next_try != decision->next_try ||
	       strcmp(row->reason, decision->reason) != 0;
}

static int edit_environment(const struct run *run, struct environment_entry *entry,
			    const struct lifecycle_decision *decision)
{
	const struct environment *before = environment_newest(entry);
	struct state *state = &run->scheduler->state;
	struct environment *environment;

	if (!environment_differs(before, decision))
		return 0;
	if (before->phase != decision->phase)
		audit_phase(run, entry, decision);
	environment = state_edit_environment(state, entry);
	if (!environment)
		return -ENOMEM;
	if (environment->phase != decision->phase)
		environment->phase_since = run->now;
	/* What was restarted may move now; what has moved makes room for the next. */
	if (environment->action != ACTION_NONE && decision->action == ACTION_NONE)
		run->scheduler->drain_changed = true;
	if (environment->assignment != decision->assignment)
		environment->assignment_revision = state_open_revision(state);
	environment->phase = decision->phase;
	environment->stage = decision->stage;
	environment->assignment = decision->assignment;
	environment->action = decision->action;
	if (decision->action != ACTION_MOVE)
		environment->move_to[0] = '\0';
	environment->power = decision->power;
	environment->exit_code = decision->exit_code;
	environment->crashes = decision->crashes;
	environment->next_try = decision->next_try;
	(void)snprintf(environment->reason, sizeof(environment->reason), "%s", decision->reason);
	if (decision->phase == PHASE_DELETED && end_environment(environment) < 0)
		return -ENOMEM;
	return 1;
}

static int release(const struct run *run, struct environment_entry *entry)
{
	int r = state_release(&run->scheduler->state, entry);

	if (r < 0)
		return r;
	drain_forget(run->scheduler, entry);
	run->scheduler->capacity_changed = true;
	return 0;
}

/* Its host, or the phase and reason of one that waits. left is the host that it leaves, NULL for
 * none: home again only where nothing else has room. */
static int place(const struct run *run, struct environment_entry *entry,
		 const struct host_entry *left, struct lifecycle_decision *decision)
{
	const struct candidates_wish wish = {
		.avoid = left,
		.prefer = state_host(&run->scheduler->state, environment_newest(entry)->move_to),
	};
	int r = candidates_place(run->scheduler, entry, &wish, decision->reason);

	if (r == -ENOSPC) {
		decision->stage = STAGE_PLACING;
		return 0;
	}
	if (r < 0)
		return r;
	decision->phase = PHASE_CREATING;
	decision->stage = STAGE_PLACING;
	(void)snprintf(decision->reason, sizeof(decision->reason), "placed on %s",
		       environment_newest(entry)->host);
	return 0;
}

static void note_time(const struct run *run, struct environment_entry *entry,
		      const struct lifecycle_decision *decision)
{
	if (!decision->watch_ready)
		entry->unready_since_ms = 0;
	else if (entry->unready_since_ms == 0)
		entry->unready_since_ms = run->now_ms;
	state_set_due(&run->scheduler->state, entry,
		      decision->recheck_ms ? run->now_ms + decision->recheck_ms : 0);
}

/* One decision carried out: 1 where it changed something. */
static int step(const struct run *run, struct environment_entry *entry)
{
	struct host_entry *left = entry->host;
	struct lifecycle_decision decision;
	int r, changed = 0;

	decide(run, entry, &decision);
	note_time(run, entry, &decision);
	if (decision.release && left) {
		r = release(run, entry);
		if (r < 0)
			return r;
		if (!host_newest(left)->online)
			left->lost_revision = state_open_revision(&run->scheduler->state);
		changed = 1;
	}
	if (decision.place) {
		r = place(run, entry, left, &decision);
		if (r < 0)
			return r;
	}
	utf8_mend(decision.reason); /* others' words, cut to what a row takes */
	for (size_t i = 0; i < entry->n_ports; i++) {
		r = edit_port(run, entry->ports[i], &decision.ports[i]);
		if (r < 0)
			return r;
		changed |= r;
	}
	r = edit_environment(run, entry, &decision);
	if (r < 0)
		return r;
	return changed | r;
}

/* Only a port on its way in or out waits for a gateway. */
static bool waits_for_gateway(const struct environment_entry *entry)
{
	for (size_t i = 0; i < entry->n_ports; i++) {
		const struct port *port = port_newest(entry->ports[i]);

		if (port->state == PORT_WITHDRAWING ||
		    (port->state == PORT_RESERVED && port->has_target))
			return true;
	}
	return false;
}

static int take_steps(const struct run *run, struct environment_entry *entry)
{
	int r = 1;

	for (int i = 0; i < STEPS_MAX && r > 0; i++) {
		if (environment_newest(entry)->record.gone) {
			run->scheduler->ports_changed = true;
			return 0;
		}
		r = step(run, entry);
	}
	return r;
}

static void reconcile(const struct run *run, struct environment_entry *entry)
{
	int r;

	if (careful_waits(run->scheduler, entry, run->now_ms))
		return;
	r = take_steps(run, entry);
	careful_decided(run->scheduler, entry);
	state_set_waiting(&run->scheduler->state, entry, waits_for_gateway(entry));
	if (r == 0)
		return;
	/* Out of memory, or a decision that contradicts itself: later again, not at once. */
	state_set_due(&run->scheduler->state, entry, run->now_ms + RETRY_MS);
	log_error(entry->entry.id, "%s",
		  r < 0 ? "cannot reconcile: out of memory"
			: "its reconciliation does not come to rest");
}

/* ---- ports without an environment ---- */

static bool orphan_step(const struct run *run, struct port_entry *entry)
{
	struct state *state = &run->scheduler->state;
	enum port_fate fate =
		lifecycle_orphan(port_newest(entry), run->gateways, run->n_gateways, run->now);
	struct port *port;

	if (fate == PORT_STAYS)
		return true;
	port = state_edit_port(state, entry);
	if (!port)
		return false;
	if (fate == PORT_FREE) {
		port->record.gone = true;
		return true;
	}
	port->state = PORT_QUARANTINED;
	port->since = run->now;
	port->waited_ms = 0;
	quarantine(run, port);
	return true;
}

static void run_orphans(const struct run *run)
{
	struct scheduler *scheduler = run->scheduler;
	struct port_entry *entry;

	scheduler->ports_due = 0;
	scheduler->ports_wait = false;
	STATE_FOREACH(&scheduler->state, RECORD_PORT, entry)
	{
		const struct port *port;

		if (entry->environment && !environment_newest(entry->environment)->record.gone)
			continue;
		if (port_newest(entry)->record.gone)
			continue;
		if (!orphan_step(run, entry))
			scheduler->ports_due = run->now + 1;
		port = port_newest(entry);
		if (port->state != PORT_QUARANTINED && !port->record.gone)
			scheduler->ports_wait = true;
		if (port->state == PORT_QUARANTINED && !port->record.gone &&
		    (scheduler->ports_due == 0 || port->quarantined_until < scheduler->ports_due))
			scheduler->ports_due = port->quarantined_until;
	}
}

/* ---- a run ---- */

static bool time_is_due(const struct scheduler *scheduler, uint64_t now_ms)
{
	uint64_t due = reconciler_due_ms(scheduler);

	return due > 0 && due <= now_ms;
}

bool reconciler_run(struct scheduler *scheduler)
{
	struct run run = {
		.scheduler = scheduler,
		.now = clock_unix_seconds(),
		.now_ms = clock_monotonic_ms(),
	};
	struct environment_entry *entry;

	scheduler->drain_changed |= scheduler->capacity_changed;
	if (scheduler->capacity_changed)
		state_mark_homeless(&scheduler->state);
	scheduler->capacity_changed = false;
	if (time_is_due(scheduler, run.now_ms)) {
		state_mark_due(&scheduler->state, run.now_ms);
		scheduler->rechecked_ms = run.now_ms;
	}
	if (gather_gateways(&run) < 0)
		return true;
	for (int i = 0; i < ENVIRONMENTS_PER_RUN && (entry = scheduler->state.dirty) &&
			careful_may_decide(scheduler);
	     i++) {
		state_unmark(&scheduler->state, entry);
		reconcile(&run, entry);
	}
	if (careful_may_decide(scheduler) &&
	    (scheduler->ports_changed ||
	     (scheduler->ports_due > 0 && scheduler->ports_due <= run.now))) {
		scheduler->ports_changed = false;
		run_orphans(&run);
	}
	free(run.gateways);
	/* Else the end of the commit that is on its way wakes us. */
	return (scheduler->state.dirty || scheduler->capacity_changed) &&
	       (!scheduler->state.in_flight || careful_may_decide(scheduler));
}

uint64_t reconciler_due_ms(const struct scheduler *scheduler)
{
	uint64_t due = state_next_due_ms(&scheduler->state);

	if (scheduler->state.in_flight && !careful_may_decide(scheduler))
		return 0; /* its end wakes us */
	if (due > 0)
		due = MAX(due, scheduler->rechecked_ms + RECHECK_MS);
	if (scheduler->ports_due > 0) {
		int64_t left = MAX(scheduler->ports_due - clock_unix_seconds(), 0);
		uint64_t ports = clock_monotonic_ms() + (uint64_t)left * 1000;

		if (due == 0 || ports < due)
			due = ports;
	}
	return due;
}
