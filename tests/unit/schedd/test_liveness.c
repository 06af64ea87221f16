/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Who is online: missed heartbeats, pauses of our own, a time of the day that is set, and who comes
 * back. */
#include "tests/unit/schedd/world.h"

static struct host_entry *host(void)
{
	return state_host(&world.scheduler->state, "h1");
}

static struct gateway_entry *gateway(void)
{
	return state_gateway(&world.scheduler->state, "g1");
}

static void begin(void)
{
	world_begin();
	world_register_host("h1", 1000);
	world_register_gateway("g1");
	world_settle();
}

TestSuite(liveness, .init = begin, .fini = world_end);

/* As a leader that looks in time. */
static void pass(uint64_t ms)
{
	for (uint64_t left = ms; left > 0;) {
		uint64_t now = MIN(left, (uint64_t)WORLD_OFFLINE_MS / 4);

		world.ms += now;
		left -= now;
		liveness_run(world.scheduler);
	}
}

static void hear(void)
{
	host()->last_seen_ms = gateway()->last_seen_ms = world.ms;
}

static size_t audits(const char *action)
{
	const struct batch *open = &world.scheduler->state.open;
	size_t n = 0;

	for (size_t i = 0; i < open->n_audits; i++)
		n += strcmp(open->audits[i].action, action) == 0;
	return n;
}

Test(liveness, heartbeats_cost_no_commit)
{
	for (int i = 0; i < 20; i++) {
		pass(WORLD_OFFLINE_MS / 2 - 1);
		hear();
		liveness_run(world.scheduler);
	}
	cr_assert(host_newest(host())->online);
	cr_assert(gateway_newest(gateway())->online);
	cr_assert_eq(world.scheduler->state.open.n, 0);
}

Test(liveness, who_is_not_heard_of_in_time_is_offline)
{
	struct error err = ERROR_INIT;
	int64_t since;

	cr_assert_eq(world_create("a", true, &err), 0);
	world_settle();
	cr_assert_str_eq(world_environment("env-a")->host, "h1");
	hear();
	liveness_run(world.scheduler);
	pass(WORLD_OFFLINE_MS - 1);
	cr_assert(host_newest(host())->online);
	cr_assert_null(world.scheduler->state.dirty);
	since = clock_unix_seconds();
	world.ms++;
	world.scheduler->capacity_changed = world.scheduler->ports_changed = false;
	liveness_run(world.scheduler);
	cr_assert_not(host_newest(host())->online);
	cr_assert_not(gateway_newest(gateway())->online);
	cr_assert_geq(host_newest(host())->status_since, since);
	cr_assert_eq(audits("offline"), 2);
	/* what follows from it is looked at */
	cr_assert(state_environment(&world.scheduler->state, "env-a")->dirty);
	cr_assert(world.scheduler->capacity_changed);
	cr_assert(world.scheduler->ports_changed);
	/* once */
	pass(10 * WORLD_OFFLINE_MS);
	cr_assert_eq(audits("offline"), 2);
}

Test(liveness, who_comes_back_is_online_at_once)
{
	pass(WORLD_OFFLINE_MS);
	cr_assert_not(host_newest(host())->online);
	hear();
	world.scheduler->capacity_changed = false;
	liveness_run(world.scheduler);
	cr_assert(host_newest(host())->online);
	cr_assert(gateway_newest(gateway())->online);
	cr_assert_eq(audits("online"), 2);
	cr_assert(world.scheduler->capacity_changed);
	/* with its full time */
	pass(WORLD_OFFLINE_MS - 1);
	cr_assert(host_newest(host())->online);
}

Test(liveness, nobody_is_blamed_for_a_pause_of_our_own)
{
	hear();
	liveness_run(world.scheduler);
	pass(WORLD_OFFLINE_MS / 2);
	world.ms += 10 * WORLD_OFFLINE_MS; /* SIGSTOP, or a machine that stood still */
	liveness_run(world.scheduler);
	cr_assert(host_newest(host())->online);
	cr_assert(gateway_newest(gateway())->online);
	/* It has the time that it had left, and no more. */
	pass(WORLD_OFFLINE_MS / 2 - 1);
	cr_assert(host_newest(host())->online);
	pass(WORLD_OFFLINE_MS / 4);
	cr_assert_not(host_newest(host())->online);
}

Test(liveness, who_was_offline_before_a_pause_is_so_after_it)
{
	pass(WORLD_OFFLINE_MS);
	world.ms += 10 * WORLD_OFFLINE_MS;
	liveness_run(world.scheduler);
	cr_assert_not(host_newest(host())->online);
	cr_assert_not(gateway_newest(gateway())->online);
}

/* Who is found offline in a batch that is dropped is online in the rows again, and is looked at
 * though nobody was online when it was looked last. */
Test(liveness, who_goes_offline_in_a_dropped_flight_does_so_again)
{
	for (int i = 0; i < 4; i++) {
		world.ms += WORLD_OFFLINE_MS / 4;
		world_turn();
	}
	cr_assert_not(host_newest(host())->online);
	cr_assert_not(gateway_newest(gateway())->online);
	cr_assert(world.flight);
	world_lose_database();
	world_find_database(false);
	cr_assert(host_newest(host())->online);
	world_settle();
	cr_assert_not(host_committed(host())->online);
	cr_assert_not(gateway_committed(gateway())->online);
}

Test(liveness, who_goes_offline_in_a_dropped_batch_does_so_again)
{
	pass(WORLD_OFFLINE_MS);
	cr_assert_not(host_newest(host())->online);
	scheduler_abandon_open(world.scheduler, -ENOMEM, "internal", "out of memory");
	cr_assert(host_newest(host())->online);
	world_settle();
	cr_assert_not(host_committed(host())->online);
	cr_assert_not(gateway_committed(gateway())->online);
}

Test(liveness, who_is_being_removed_is_left_alone)
{
	struct error err = ERROR_INIT;

	cr_assert_eq(
		scheduler_delete_host(world.scheduler, "h1", false, "test", world_done, NULL, &err),
		0);
	cr_assert_eq(scheduler_delete_gateway(world.scheduler, "g1", false, "test", world_done,
					      NULL, &err),
		     0);
	world_turn();
	cr_assert(host()->entry.flight->gone);
	cr_assert(gateway()->entry.flight->gone);
	pass(WORLD_OFFLINE_MS);
	cr_assert_null(host()->entry.draft);
	cr_assert_null(gateway()->entry.draft);
	cr_assert_eq(audits("offline"), 0);
	world_settle();
	cr_assert_null(host());
	cr_assert_null(gateway());
	/* nor is it what is waited for */
	cr_assert_eq(liveness_due_ms(world.scheduler), 0);
}

Test(liveness, the_time_of_the_day_may_be_set)
{
	const int64_t steps[] = { 365 * 86400, -2 * 365 * 86400, 3600, -7200 };

	for (size_t i = 0; i < ARRAY_SIZE(steps); i++) {
		hear();
		liveness_run(world.scheduler);
		world.step += steps[i];
		pass(WORLD_OFFLINE_MS - 1);
		cr_assert(host_newest(host())->online, "%zu", i);
		pass(1);
		cr_assert_not(host_newest(host())->online, "%zu", i);
		hear();
		liveness_run(world.scheduler);
		cr_assert(host_newest(host())->online, "%zu", i);
	}
}

Test(liveness, it_is_due_when_the_first_may_be_missed)
{
	hear();
	liveness_run(world.scheduler);
	cr_assert_eq(liveness_due_ms(world.scheduler), world.ms + WORLD_OFFLINE_MS / 4);
	/* while nobody is online there is nobody to miss, once the last lease is over */
	pass(WORLD_OFFLINE_MS);
	cr_assert_eq(liveness_due_ms(world.scheduler), world.ms + WORLD_OFFLINE_MS / 4);
	pass(WORLD_LEASE_MS + WORLD_MARGIN_MS - WORLD_OFFLINE_MS);
	cr_assert_eq(liveness_due_ms(world.scheduler), 0);
	cr_assert_eq(host_newest(host())->silent_ms, WORLD_LEASE_MS + WORLD_MARGIN_MS);
}

Test(liveness, silence_is_written_down_and_is_no_news)
{
	uint64_t written, revision = host_committed(host())->record.revision;

	pass(WORLD_OFFLINE_MS / 2);
	world_settle();
	cr_assert_eq(host_committed(host())->silent_ms, WORLD_OFFLINE_MS / 2);
	cr_assert_eq(host_committed(host())->record.revision, revision);
	pass(WORLD_OFFLINE_MS / 2);
	world_settle();
	cr_assert_gt(host_committed(host())->record.revision, revision, "it is offline");
	revision = host_committed(host())->record.revision;
	written = host_committed(host())->silent_ms;
	pass(WORLD_OFFLINE_MS);
	world_settle();
	cr_assert_geq(host_committed(host())->silent_ms, written + WORLD_OFFLINE_MS / 2);
	cr_assert_eq(host_committed(host())->record.revision, revision);
	/* The next leader has it. */
	written = host_committed(host())->silent_ms;
	world_crash(false);
	cr_assert_eq(host_committed(host())->silent_ms, written);
	hear();
	world.scheduler->followers_changed = true;
	world_settle();
	cr_assert_gt(host_committed(host())->record.revision, revision, "it is online");
}

Test(liveness, a_new_leader_gives_everybody_the_full_time)
{
	world_settle();
	pass(WORLD_OFFLINE_MS - 1);
	world_crash(false);
	pass(WORLD_OFFLINE_MS - 1);
	cr_assert(host_newest(host())->online);
	pass(1);
	cr_assert_not(host_newest(host())->online);
}

Test(liveness, two_reports_may_be_lost)
{
	struct scheduler_config *config = &world.scheduler->config;

	cr_assert_eq(scheduler_heartbeat_ms(world.scheduler), WORLD_OFFLINE_MS / 3);
	config->lease_ms = 600; /* over before it is offline */
	cr_assert_eq(scheduler_heartbeat_ms(world.scheduler), 200);
	config->lease_ms = 0; /* none */
	cr_assert_eq(scheduler_heartbeat_ms(world.scheduler), WORLD_OFFLINE_MS / 3);
	config->offline_after_ms = 2;
	cr_assert_eq(scheduler_heartbeat_ms(world.scheduler), 1);
}
