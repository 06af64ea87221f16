/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The lifecycle as a table (transitions.h), and then every combination of all that may be known,
 * carried out until it rests: what must never happen does not. */
#include <errno.h>

#include "schedd/lifecycle.h"
#include "tests/unit/schedd/rows.h"
#include "tests/unit/schedd/transitions.h"

#define NOW (ROW_TIME + 1000)
#define REVISION 50

/* ---- from a situation to the input ---- */

struct scene {
	struct environment *environment;
	struct port *port;
	struct gateway *gateway;
	struct lifecycle_host host;
	struct lifecycle_gateway gateway_seen;
	struct container_report container;
	struct service_endpoint service;
	const struct port *ports[1];
	struct lifecycle_limits limits;
	struct lifecycle_input input;
};

static void set_environment(struct scene *scene, const struct situation *situation)
{
	struct environment *environment = row_environment("env-1", "demo");

	environment->phase = situation->phase;
	environment->power = !situation->off;
	environment->exit_code = situation->exit_code;
	environment->action = situation->action;
	environment->assignment = situation->assignment;
	environment->assignment_revision = REVISION;
	if (situation->phase == PHASE_FAILED && situation->host == NO_HOST)
		(void)snprintf(environment->reason, sizeof(environment->reason), "what happened");
	if (situation->host != NO_HOST)
		(void)snprintf(environment->host, sizeof(environment->host), "host1");
	if (!situation->local)
		json_object_set_new(environment->origin->spec.volumes, "code",
				    json_string("shared"));
	environment->origin->spec.on_expiry =
		situation->delete_at_deadline ? EXPIRY_DELETE : EXPIRY_STOP;
	environment->expires_at = (int64_t[]){
		[NEVER] = 0, [PASSED] = NOW - 1, [NEAR] = NOW + 60, [FAR] = NOW + 86400
	}[situation->deadline];
	scene->environment = environment;
}

static void set_port(struct scene *scene, const struct situation *situation)
{
	static const enum port_state states[] = {
		[HELD] = PORT_RESERVED,       [MAPPED] = PORT_RESERVED,
		[PUBLISHED] = PORT_PUBLISHED, [WITHDRAWING] = PORT_WITHDRAWING,
		[OVERDUE] = PORT_WITHDRAWING, [WITHDRAWN] = PORT_WITHDRAWING,
	};
	bool confirmed = situation->port == PUBLISHED || situation->port == WITHDRAWN;

	scene->port = row_port("env-1", "ssh", "203.0.113.10:30001");
	scene->port->state = states[situation->port];
	scene->port->has_target = situation->port != HELD;
	scene->port->target =
		row_endpoint(situation->elsewhere ? "10.0.1.9:41000" : "10.0.1.2:41000");
	scene->port->mapping_revision = REVISION;
	scene->port->since = NOW - 1;
	scene->gateway = row_gateway("gw1", "203.0.113.10");
	scene->gateway_seen = (struct lifecycle_gateway){ .name = "gw1",
							  .row = scene->gateway,
							  .reported = true,
							  .applied = confirmed ? REVISION : 1 };
}

static void set_host(struct scene *scene, const struct situation *situation)
{
	scene->service = (struct service_endpoint){ .service = (char *)"ssh",
						    .protocol = PROTOCOL_TCP,
						    .endpoint = row_endpoint("10.0.1.2:41000") };
	scene->container = (struct container_report){ .environment = (char *)"env-1",
						      .state = situation->container,
						      .services = &scene->service,
						      .n_services = 1,
						      .exit_code = situation->exit_code,
						      .crashes = situation->crashes };
	scene->host = (struct lifecycle_host){
		.name = "host1",
		.mode = situation->mode,
		.online = situation->host == CURRENT || situation->host == STALE ||
			  situation->host == SILENT,
		.status_since = NOW - 100,
		.lease_left_ms = situation->host == LOST ? 0 : 60000,
		.reported = situation->host == CURRENT || situation->host == STALE,
		.revision = situation->host == STALE ? REVISION - 1 : REVISION,
		.container = situation->container == NO_CONTAINER ? NULL : &scene->container,
	};
}

static void scene_make(struct scene *scene, const struct situation *situation)
{
	*scene = (struct scene){ .limits = { .quarantine_s = 600,
					     .withdraw_timeout_s = 30,
					     .unready_grace_ms = 5000,
					     .expiry_warning_s = 3600 } };
	set_environment(scene, situation);
	set_port(scene, situation);
	set_host(scene, situation);
	scene->ports[0] = scene->port;
	scene->input = (struct lifecycle_input){
		.environment = scene->environment,
		.ports = scene->ports,
		.n_ports = 1,
		.host = situation->host == NO_HOST ? NULL : &scene->host,
		.gateways = &scene->gateway_seen,
		.n_gateways = 1,
		.limits = &scene->limits,
		.now = NOW,
		.unready_ms = situation->unready ? 6000 : 0,
		.withdrawing_ms = { situation->port == OVERDUE ? 31000 : 1000 },
		.no_room = situation->no_room ? "no host can take demo" : NULL,
	};
}

static void scene_clear(struct scene *scene)
{
	record_free(&scene->environment->record);
	record_free(&scene->port->record);
	record_free(&scene->gateway->record);
}

/* ---- the table ---- */

static void check_row(const char *name, const struct lifecycle_decision *is,
		      const struct outcome *then)
{
	cr_expect_eq(is->phase, then->phase, "%s: phase %s", name, phase_name(is->phase));
	cr_expect_eq(is->stage, then->stage, "%s: stage %s", name, stage_name(is->stage));
	cr_expect_eq(is->assignment, then->assignment, "%s: assignment %s", name,
		     assignment_name(is->assignment));
	cr_expect_eq(is->action, then->action, "%s: action %s", name,
		     environment_action_name(is->action));
	cr_expect_eq(is->power, !then->off, "%s: power %d", name, is->power);
	cr_expect_eq(is->release, then->release, "%s: release %d", name, is->release);
	cr_expect_eq(is->place, then->place, "%s: place %d", name, is->place);
	cr_expect_eq(is->ports[0].state, then->port, "%s: port %s", name,
		     port_state_name(is->ports[0].state));
	if (*then->reason)
		cr_expect(strstr(is->reason, then->reason), "%s: reason \"%s\"", name, is->reason);
	else
		cr_expect_str_eq(is->reason, "", "%s: reason \"%s\"", name, is->reason);
}

Test(lifecycle, each_transition_of_the_table)
{
	for (size_t i = 0; i < ARRAY_SIZE(transitions); i++) {
		struct lifecycle_decision decision;
		struct scene scene;

		scene_make(&scene, &transitions[i].is);
		lifecycle_decide(&scene.input, &decision);
		check_row(transitions[i].name, &decision, &transitions[i].then);
		scene_clear(&scene);
	}
}

/* The kernel ends the mapping at the environment's deadline; an extension changes it where it is.
 */
Test(lifecycle, a_mapping_ends_with_its_environment)
{
	struct situation is = { RUNS, READY, .deadline = FAR };
	struct lifecycle_decision decision;
	struct scene scene;

	scene_make(&scene, &is);
	scene.port->expires_at = NOW + 100;
	lifecycle_decide(&scene.input, &decision);
	cr_expect_eq(decision.phase, PHASE_RUNNING);
	cr_expect_eq(decision.ports[0].state, PORT_PUBLISHED);
	cr_expect_eq(decision.ports[0].expires_at, NOW + 86400);
	scene.environment->expires_at = 0;
	lifecycle_decide(&scene.input, &decision);
	cr_expect_eq(decision.ports[0].expires_at, 0);
	scene_clear(&scene);
}

/* It is asked again in time for the warning, and then for the end. */
Test(lifecycle, a_deadline_is_not_slept_through)
{
	struct situation far = { RUNS, READY, .deadline = FAR };
	struct situation near = { RUNS, READY, .deadline = NEAR };
	struct lifecycle_decision decision;
	struct scene scene;

	scene_make(&scene, &far);
	scene.environment->expires_at = NOW + 3600 + 100; /* 100 s before the warning */
	lifecycle_decide(&scene.input, &decision);
	cr_expect_eq(decision.recheck_ms, 100000);
	scene_clear(&scene);
	scene_make(&scene, &near);
	lifecycle_decide(&scene.input, &decision);
	cr_expect_eq(decision.recheck_ms, 60000);
	scene_clear(&scene);
}

/* It ended while nobody looked: what is not known is not told. */
Test(lifecycle, a_crash_loop_without_a_status_says_none)
{
	struct situation is = { RUNS, .container = CONTAINER_STARTING, .exit_code = EXIT_CODE_NONE,
				.crashes = 4, .port = PUBLISHED };
	struct lifecycle_decision decision;
	struct scene scene;

	scene_make(&scene, &is);
	lifecycle_decide(&scene.input, &decision);
	cr_expect_eq(decision.stage, STAGE_CRASH_LOOP);
	cr_expect(strstr(decision.reason, "ended 4 times in a row; it runs again"), "%s",
		  decision.reason);
	scene_clear(&scene);
}

/* ---- every combination ---- */

static bool proven_stopped(const struct situation *is)
{
	if (is->host == NO_HOST)
		return true;
	if (is->host == LOST)
		return !is->local && is->mode != HOST_MAINTENANCE;
	return is->host == CURRENT &&
	       (is->container == NO_CONTAINER || is->container == CONTAINER_STOPPED);
}

/* A port still leads to the container, or may. */
static bool may_lead_there(const struct situation *is)
{
	return is->port == MAPPED || is->port == PUBLISHED || is->port == WITHDRAWING;
}

static bool decided_to_end(const struct situation *is, const struct lifecycle_decision *decision)
{
	return is->assignment == ASSIGNMENT_RUNNING && decision->assignment != ASSIGNMENT_RUNNING;
}

static bool leads_there(const struct lifecycle_port *port)
{
	return port->has_target && (port->state == PORT_RESERVED || port->state == PORT_PUBLISHED);
}

/* The promises that hold whatever happens. */
static const char *broken(const struct situation *is, const struct lifecycle_decision *decision)
{
	bool reachable = is->container == CONTAINER_READY || is->container == CONTAINER_STARTING;

	if (decided_to_end(is, decision) && may_lead_there(is) && is->host == CURRENT)
		return "stopped before it was withdrawn";
	if (decision->release && is->assignment != ASSIGNMENT_NONE && is->host != NO_HOST &&
	    !(is->host == LOST && proven_stopped(is)))
		return "left a host that still has it";
	if (decision->release && !proven_stopped(is))
		return "left a host that may still run it";
	if (decision->place && is->host != NO_HOST && !decision->release)
		return "placed while it has a host";
	if (decision->place && decision->assignment != ASSIGNMENT_NONE)
		return "placed with an assignment";
	if (is->port == HELD && leads_there(&decision->ports[0]) &&
	    is->container != CONTAINER_READY)
		return "published before it was ready";
	if (is->host == CURRENT && leads_there(&decision->ports[0]) && !reachable &&
	    decision->power && decision->phase != PHASE_DELETING &&
	    is->assignment == ASSIGNMENT_RUNNING && is->deadline == NEVER)
		return "leads to what does not run";
	if (decision->phase == PHASE_RUNNING && decision->assignment != ASSIGNMENT_RUNNING)
		return "runs without an assignment";
	if (decision->phase == PHASE_DELETED &&
	    (decision->assignment != ASSIGNMENT_NONE || decision->action != ACTION_NONE))
		return "deleted with something left";
	return NULL;
}

static void check_all_of(struct situation *is, unsigned *n)
{
	struct lifecycle_decision decision;
	struct scene scene;
	const char *fault;

	scene_make(&scene, is);
	lifecycle_decide(&scene.input, &decision);
	fault = broken(is, &decision);
	cr_assert_null(fault,
		       "%s: phase %s power %d action \"%s\" assignment %s local %d host %d mode %s "
		       "container %d port %d deadline %d -> phase %s assignment %s",
		       fault, phase_name(is->phase), !is->off, environment_action_name(is->action),
		       assignment_name(is->assignment), is->local, is->host,
		       host_mode_name(is->mode), is->container, is->port, is->deadline,
		       phase_name(decision.phase), assignment_name(decision.assignment));
	scene_clear(&scene);
	(*n)++;
}

static bool can_be(const struct situation *is)
{
	/* The database refuses these rows. */
	if (is->assignment != ASSIGNMENT_NONE && is->host == NO_HOST)
		return false;
	if (is->phase == PHASE_RUNNING && is->assignment != ASSIGNMENT_RUNNING)
		return false;
	return !(is->phase == PHASE_DELETED && (is->host != NO_HOST || is->action != ACTION_NONE));
}

static void vary_rows(struct situation *is, unsigned *n)
{
	for (int phase = 0; phase < PHASE_MAX; phase++)
		for (int off = 0; off < 2; off++)
			for (int action = 0; action < ACTION_MAX; action++)
				for (int assignment = 0; assignment < ASSIGNMENT_MAX;
				     assignment++) {
					is->phase = (enum environment_phase)phase;
					is->off = off;
					is->action = (enum environment_action)action;
					is->assignment = (enum assignment_state)assignment;
					if (can_be(is))
						check_all_of(is, n);
				}
}

static void vary_host(struct situation *is, unsigned *n)
{
	for (int host = 0; host < HOST_KINDS; host++)
		for (int container = NO_CONTAINER; container < CONTAINER_STATE_MAX; container++) {
			is->host = (enum host_kind)host;
			is->container = (enum container_state)container;
			if (host == NO_HOST && container != NO_CONTAINER)
				continue;
			vary_rows(is, n);
		}
}

Test(lifecycle, no_combination_breaks_a_promise)
{
	struct situation is = { 0 };
	unsigned n = 0;

	for (int port = 0; port < PORT_KINDS; port++)
		for (int local = 0; local < 2; local++)
			for (int deadline = NEVER; deadline <= PASSED; deadline++) {
				is.port = (enum port_kind)port;
				is.local = local;
				is.deadline = (enum deadline)deadline;
				is.mode = port % 2 ? HOST_ACTIVE : HOST_MAINTENANCE;
				vary_host(&is, &n);
			}
	cr_expect_gt(n, 50000);
}

/* ---- it comes to rest ---- */

/* What the reconciler does with a decision; the host and the gateway do not move meanwhile. */
static bool carry_out(struct scene *scene, const struct lifecycle_decision *decision)
{
	struct environment *row = scene->environment;
	struct lifecycle_port *next = (struct lifecycle_port *)&decision->ports[0];
	bool changed =
		row->phase != decision->phase || row->stage != decision->stage ||
		row->assignment != decision->assignment || row->action != decision->action ||
		row->power != decision->power || strcmp(row->reason, decision->reason) != 0 ||
		scene->port->state != next->state || scene->port->has_target != next->has_target;

	if (row->assignment != decision->assignment)
		row->assignment_revision = REVISION + 1;
	if (scene->port->state != next->state || scene->port->has_target != next->has_target)
		scene->port->mapping_revision = REVISION + 1;
	row->phase = decision->phase;
	row->stage = decision->stage;
	row->assignment = decision->assignment;
	row->action = decision->action;
	row->power = decision->power;
	memcpy(row->reason, decision->reason, sizeof(row->reason));
	scene->port->state = next->state;
	scene->port->has_target = next->has_target;
	scene->port->target = next->target;
	if (decision->release) {
		row->host[0] = '\0';
		scene->input.host = NULL;
	}
	return changed;
}

Test(lifecycle, every_row_of_the_table_comes_to_rest)
{
	for (size_t i = 0; i < ARRAY_SIZE(transitions); i++) {
		struct lifecycle_decision decision;
		struct scene scene;
		bool changed = true;
		int steps = 0;

		scene_make(&scene, &transitions[i].is);
		for (; changed && steps < 16; steps++) {
			lifecycle_decide(&scene.input, &decision);
			changed = carry_out(&scene, &decision);
		}
		cr_expect_not(changed, "%s: still changes after %d steps", transitions[i].name,
			      steps);
		scene_clear(&scene);
	}
}

/* ---- ports without an environment ---- */

Test(lifecycle, a_port_rests_before_it_is_free)
{
	struct gateway *gateway = row_gateway("gw1", "203.0.113.10");
	struct port *port = row_port("env-1", "ssh", "203.0.113.10:30001");
	struct lifecycle_gateway seen = { .name = "gw1", .row = gateway, .reported = true };

	port->state = PORT_WITHDRAWING;
	port->mapping_revision = REVISION;
	cr_expect_eq(lifecycle_orphan(port, &seen, 1, NOW), PORT_STAYS);
	seen.applied = REVISION;
	cr_expect_eq(lifecycle_orphan(port, &seen, 1, NOW), PORT_RESTS);
	port->state = PORT_QUARANTINED;
	port->quarantined_until = NOW + 10;
	cr_expect_eq(lifecycle_orphan(port, &seen, 1, NOW + 9), PORT_STAYS);
	cr_expect_eq(lifecycle_orphan(port, &seen, 1, NOW + 10), PORT_FREE);
	record_free(&gateway->record);
	record_free(&port->record);
}
