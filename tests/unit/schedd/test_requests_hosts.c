/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The removal of hosts by force: what may still run there by a lease, who is heard of meanwhile,
 * and what becomes of what was lost. */
#include "tests/unit/schedd/world.h"

static void begin(void)
{
	world_begin();
	world_register_host("h1", 1000);
	world_settle();
}

TestSuite(requests_hosts, .init = begin, .fini = world_end);

static void create(bool movable)
{
	struct error err = ERROR_INIT;

	cr_assert_eq(world_create("a", movable, &err), 0, "%s", err.message);
	world_settle();
	cr_assert_str_eq(world_environment("env-a")->host, "h1");
}

/* h1 is silent for so long, while the leader looks. */
static void pass(uint64_t ms)
{
	for (uint64_t left = ms; left > 0; left -= MIN(left, WORLD_OFFLINE_MS / 4)) {
		world.ms += MIN(left, WORLD_OFFLINE_MS / 4);
		world_settle();
	}
}

static int ask(enum scheduler_verb verb)
{
	struct scheduler_action action = { .verb = verb };
	struct error err = ERROR_INIT;

	return scheduler_act(world.scheduler, "env-a", &action, "test", world_done, NULL, &err);
}

static int remove_by_force(struct error *err)
{
	return scheduler_delete_host(world.scheduler, "h1", true, "test", world_done, NULL, err);
}

static int report(uint64_t revision, struct error *err)
{
	_cleanup_json_ json_t *json =
		json_pack("{s:I, s:I, s:{s:i, s:I}, s:[]}", "epoch", (json_int_t)world.epoch,
			  "revision", (json_int_t)revision, "capacity", "cpu_milli", 1000,
			  "memory_bytes", (json_int_t)8 << 30, "containers");
	struct host_report decoded;
	int r;

	cr_assert_eq(host_report_decode(json, &decoded, err), 0, "%s", err->message);
	r = scheduler_report_host(world.scheduler, "h1", &decoded, err);
	host_report_clear(&decoded);
	return r;
}

static void require_lease_is_waited_for(void)
{
	struct error err = ERROR_INIT;

	pass(WORLD_OFFLINE_MS);
	cr_assert_not(host_newest(state_host(&world.scheduler->state, "h1"))->online);
	cr_assert_eq(remove_by_force(&err), -EBUSY);
	cr_assert_str_eq(err.code, "in_use");
	cr_assert(strstr(err.message, "may still run a, by a lease"), "%s", err.message);
	pass(WORLD_LEASE_MS + WORLD_MARGIN_MS - WORLD_OFFLINE_MS - 1);
	cr_assert_eq(remove_by_force(&err), -EBUSY);
	pass(1);
	cr_assert_eq(remove_by_force(&err), 0, "%s", err.message);
	world_settle();
	cr_assert_null(state_host(&world.scheduler->state, "h1"));
}

Test(requests_hosts, what_may_run_by_a_lease_is_waited_for)
{
	create(true);
	require_lease_is_waited_for();
	cr_assert_eq(world_environment("env-a")->phase, PHASE_PENDING);
}

Test(requests_hosts, what_is_stopping_may_run_by_a_lease)
{
	create(true);
	cr_assert_eq(ask(SCHEDULER_STOP), 0);
	world_settle();
	cr_assert_eq(world_environment("env-a")->phase, PHASE_STOPPING);
	require_lease_is_waited_for();
	cr_assert_eq(world_environment("env-a")->phase, PHASE_STOPPED);
}

Test(requests_hosts, what_is_being_deleted_may_run_by_a_lease)
{
	struct error err = ERROR_INIT;

	create(true);
	cr_assert_eq(scheduler_delete(world.scheduler, "env-a", "test", world_done, NULL, &err), 0);
	world_settle();
	cr_assert_eq(world_environment("env-a")->phase, PHASE_DELETING);
	require_lease_is_waited_for();
	cr_assert_null(world_environment("env-a"));
}

Test(requests_hosts, what_is_stopped_is_not_waited_for)
{
	struct error err = ERROR_INIT;

	create(true);
	cr_assert_eq(ask(SCHEDULER_STOP), 0);
	world_settle();
	cr_assert_eq(report(world.revision, &err), 0);
	world_settle();
	cr_assert_eq(world_environment("env-a")->phase, PHASE_STOPPED);
	pass(WORLD_OFFLINE_MS);
	cr_assert_eq(remove_by_force(&err), 0, "%s", err.message);
	world_settle();
	cr_assert_eq(world_environment("env-a")->phase, PHASE_STOPPED);
}

Test(requests_hosts, who_is_heard_of_while_it_is_removed_is_refused)
{
	struct error err = ERROR_INIT;
	struct host_entry *host;

	create(false);
	pass(WORLD_OFFLINE_MS);
	cr_assert_eq(remove_by_force(&err), 0, "%s", err.message);
	world_turn();
	host = state_host(&world.scheduler->state, "h1");
	cr_assert(host->entry.flight->gone);
	cr_assert_eq(report(world.revision, &err), -EAGAIN);
	cr_assert_str_eq(err.message, "host h1 is being removed");
	world_turn();
	cr_assert_null(host->entry.draft);
	world_settle();
	cr_assert_null(state_host(&world.scheduler->state, "h1"));
	cr_assert_eq(report(world.revision, &err), -ENOENT);
}

/* It may follow what the removed one was told, until it has received what it is told. */
Test(requests_hosts, one_that_comes_back_gets_a_lease_once_it_knows_what_it_has_lost)
{
	struct error err = ERROR_INIT;
	uint64_t before, lease_ms;

	create(true);
	before = world.revision;
	pass(WORLD_LEASE_MS + WORLD_MARGIN_MS);
	cr_assert_eq(remove_by_force(&err), 0, "%s", err.message);
	world_settle();
	world_register_host("h1", 1000);
	world_settle();
	cr_assert_eq(report(before, &err), 0, "%s", err.message);
	cr_assert_not(scheduler_grants_lease(world.scheduler, "h1", &lease_ms));
	cr_assert_eq(report(world.revision, &err), 0);
	cr_assert(scheduler_grants_lease(world.scheduler, "h1", &lease_ms));
	cr_assert_eq(lease_ms, WORLD_LEASE_MS);
}

static void require_made_anew(enum scheduler_verb verb)
{
	struct error err = ERROR_INIT;

	create(false);
	pass(WORLD_OFFLINE_MS);
	cr_assert_eq(remove_by_force(&err), 0, "%s", err.message);
	world_settle();
	cr_assert_eq(world_environment("env-a")->phase, PHASE_FAILED);
	world_register_host("h2", 1000);
	world_settle();
	cr_assert_eq(world_environment("env-a")->phase, PHASE_FAILED);
	cr_assert_eq(ask(verb), 0);
	world_settle();
	cr_assert_str_eq(world_environment("env-a")->host, "h2");
	cr_assert_eq(world_environment("env-a")->phase, PHASE_CREATING);
	cr_assert_eq(world_environment("env-a")->action, ACTION_NONE);
}

Test(requests_hosts, what_was_lost_is_made_anew_when_it_is_started)
{
	require_made_anew(SCHEDULER_START);
}

Test(requests_hosts, what_was_lost_is_made_anew_when_it_is_restarted)
{
	require_made_anew(SCHEDULER_RESTART);
}
