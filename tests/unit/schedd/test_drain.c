/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Which environments of draining hosts are told to move, and when. */
#include "tests/unit/schedd/world.h"

static void begin(void)
{
	world_begin();
}

TestSuite(drain, .init = begin, .fini = world_end);

static void hosts(unsigned n, int cpu_milli)
{
	char name[16];

	for (unsigned i = 1; i <= n; i++) {
		(void)snprintf(name, sizeof(name), "h%u", i);
		world_register_host(name, cpu_milli);
	}
	world_settle();
}

/* Environments PREFIX0, PREFIX1, … on that host, which is the only one that takes any. */
static void fill(const char *host, const char *prefix, unsigned n, bool movable)
{
	struct error err = ERROR_INIT;
	struct host_entry *other;
	char name[32], id[40];

	STATE_FOREACH(&world.scheduler->state, RECORD_HOST, other)
	cr_assert_eq(
		scheduler_set_mode(world.scheduler, other->entry.id,
				   strcmp(other->entry.id, host) == 0 ? HOST_ACTIVE : HOST_CORDONED,
				   "test", world_done, NULL, &err),
		0);
	world_settle();
	for (unsigned i = 0; i < n; i++) {
		(void)snprintf(name, sizeof(name), "%s%u", prefix, i);
		(void)snprintf(id, sizeof(id), "env-%s", name);
		cr_assert_eq(world_create(name, movable, &err), 0, "%s", err.message);
		world_settle();
		cr_assert_str_eq(world_environment(id)->host, host);
	}
}

static void mode(const char *host, enum host_mode wanted)
{
	struct error err = ERROR_INIT;

	cr_assert_eq(
		scheduler_set_mode(world.scheduler, host, wanted, "test", world_done, NULL, &err),
		0);
	world_settle();
}

/* How many of that host's are told to move. */
static unsigned moving(const char *host)
{
	struct environment_entry *entry;
	unsigned n = 0;

	STATE_FOREACH(&world.scheduler->state, RECORD_ENVIRONMENT, entry)
	n += environment_newest(entry)->action == ACTION_MOVE &&
	     strcmp(environment_newest(entry)->host, host) == 0;
	return n;
}

/* The host says that it has received all and that nothing is left of what was taken from it: what
 * is still assigned runs, or has stopped. */
static void empty(const char *name)
{
	struct environment_entry *entry;
	_cleanup_json_ json_t *containers = json_array();
	_cleanup_json_ json_t *json = NULL;
	struct host_report report;
	struct error err = ERROR_INIT;

	STATE_FOREACH(&world.scheduler->state, RECORD_ENVIRONMENT, entry)
	{
		const struct environment *row = environment_newest(entry);

		if (strcmp(row->host, name) == 0 && row->assignment != ASSIGNMENT_NONE)
			json_array_append_new(
				containers,
				json_pack("{s:s, s:I, s:s}", "environment", entry->entry.id,
					  "revision", (json_int_t)row->assignment_revision, "state",
					  row->assignment == ASSIGNMENT_RUNNING ? "creating"
										: "stopped"));
	}
	json = json_pack("{s:I, s:I, s:{s:i, s:i}, s:O}", "epoch", (json_int_t)world.epoch,
			 "revision", (json_int_t)world.revision, "capacity", "cpu_milli", 1,
			 "memory_bytes", 1, "containers", containers);
	cr_assert_eq(host_report_decode(json, &report, &err), 0, "%s", err.message);
	cr_assert_eq(scheduler_report_host(world.scheduler, name, &report, &err), 0);
	host_report_clear(&report);
	world_settle();
}

Test(drain, nothing_moves_while_nobody_drains)
{
	hosts(2, 4000);
	fill("h1", "a", 3, true);
	mode("h2", HOST_ACTIVE);
	drain_run(world.scheduler);
	cr_assert_eq(moving("h1"), 0);
	mode("h1", HOST_CORDONED);
	cr_assert_eq(moving("h1"), 0);
	mode("h1", HOST_MAINTENANCE);
	cr_assert_eq(moving("h1"), 0);
	cr_assert_eq(world.scheduler->state.open.n, 0);
}

Test(drain, a_few_at_a_time_until_it_is_empty)
{
	hosts(2, 4000);
	fill("h1", "a", 6, true);
	mode("h2", HOST_ACTIVE);
	mode("h1", HOST_DRAINING);
	cr_assert_eq(moving("h1"), 4);
	/* the next ones when these have left */
	for (int i = 0; i < 3; i++)
		drain_run(world.scheduler);
	cr_assert_eq(moving("h1"), 4);
	empty("h1");
	cr_assert_eq(moving("h1"), 2);
	empty("h1");
	cr_assert_eq(moving("h1"), 0);
	cr_assert_null(state_host(&world.scheduler->state, "h1")->environments);
	cr_assert_str_eq(world_environment("env-a0")->host, "h2");
	cr_assert_str_eq(world_environment("env-a5")->host, "h2");
}

Test(drain, what_is_local_stays)
{
	hosts(2, 4000);
	fill("h1", "local", 2, false);
	fill("h1", "shared", 1, true);
	mode("h2", HOST_ACTIVE);
	mode("h1", HOST_DRAINING);
	cr_assert_eq(moving("h1"), 1);
	empty("h1");
	cr_assert_eq(moving("h1"), 0);
	cr_assert_str_eq(world_environment("env-shared0")->host, "h2");
	cr_assert_str_eq(world_environment("env-local0")->host, "h1");
	cr_assert_str_eq(world_environment("env-local1")->host, "h1");
}

Test(drain, without_room_elsewhere_nothing_moves_until_there_is)
{
	const char *reason;

	hosts(2, 1000);
	fill("h2", "other", 2, false);
	fill("h1", "a", 2, true);
	mode("h2", HOST_ACTIVE);
	mode("h1", HOST_DRAINING);
	cr_assert_eq(moving("h1"), 0);
	cr_assert_str_eq(world_environment("env-a0")->host, "h1");
	reason = state_environment(&world.scheduler->state, "env-a0")->no_room;
	cr_assert(reason && strstr(reason, "h2: needs 400 milli CPU, 200 free"), "%s", reason);
	world_register_host("h3", 1000);
	world_settle();
	cr_assert_eq(moving("h1"), 2);
	cr_assert_null(state_environment(&world.scheduler->state, "env-a0")->no_room);
	empty("h1");
	cr_assert_str_eq(world_environment("env-a0")->host, "h3");
}

static const char *no_room(const char *id)
{
	return state_environment(&world.scheduler->state, id)->no_room;
}

/* h1 is drained, with two for which h2 has no room. */
static void drain_without_room(void)
{
	hosts(2, 1000);
	fill("h2", "other", 2, false);
	fill("h1", "a", 2, true);
	mode("h2", HOST_ACTIVE);
	mode("h1", HOST_DRAINING);
	cr_assert(no_room("env-a0") && no_room("env-a1"));
}

Test(drain, the_reason_ends_with_the_drain_and_is_found_anew_for_the_next)
{
	struct error err = ERROR_INIT;

	drain_without_room();
	mode("h1", HOST_ACTIVE);
	cr_expect_null(no_room("env-a0"));
	mode("h2", HOST_CORDONED);
	cr_assert_eq(scheduler_set_mode(world.scheduler, "h1", HOST_DRAINING, "test", world_done,
					NULL, &err),
		     0);
	cr_expect_null(no_room("env-a0"), "nobody has looked");
	world_settle();
	cr_expect(strstr(no_room("env-a0"), "h2: is draining"), "%s", no_room("env-a0"));
}

/* There is room by now, and it is the owner who finds it. */
Test(drain, the_reason_ends_with_a_move_that_its_owner_asks_for)
{
	struct scheduler_action move = { .verb = SCHEDULER_MOVE };
	struct error err = ERROR_INIT;

	drain_without_room();
	world_register_host("h3", 1000);
	cr_assert_eq(
		scheduler_act(world.scheduler, "env-a0", &move, "test", world_done, NULL, &err), 0,
		"%s", err.message);
	cr_expect_null(no_room("env-a0"));
	world_settle();
	empty("h1");
	cr_expect_str_eq(world_environment("env-a0")->host, "h3");
	cr_expect_null(no_room("env-a0"));
}

/* It goes on waiting, and says why. */
Test(drain, the_reason_is_found_again_after_something_else_was_asked_for)
{
	struct scheduler_action extend = { .verb = SCHEDULER_EXTEND, .seconds = 3600 };
	struct error err = ERROR_INIT;

	drain_without_room();
	cr_assert_eq(
		scheduler_act(world.scheduler, "env-a0", &extend, "test", world_done, NULL, &err),
		0, "%s", err.message);
	world_settle();
	cr_expect(no_room("env-a0"));
}

Test(drain, what_was_restarted_meanwhile_moves_after_that)
{
	struct scheduler_action restart = { .verb = SCHEDULER_RESTART };
	struct error err = ERROR_INIT;

	hosts(2, 4000);
	fill("h1", "a", 1, true);
	cr_assert_eq(
		scheduler_act(world.scheduler, "env-a0", &restart, "test", world_done, NULL, &err),
		0);
	world_settle();
	mode("h2", HOST_ACTIVE);
	mode("h1", HOST_DRAINING);
	cr_assert_eq(world_environment("env-a0")->action, ACTION_RESTART);
	empty("h1");
	cr_expect_eq(world_environment("env-a0")->action, ACTION_MOVE);
}

Test(drain, what_is_stopped_leaves_without_room)
{
	struct scheduler_action stop = { .verb = SCHEDULER_STOP };
	struct error err = ERROR_INIT;

	hosts(1, 1000);
	fill("h1", "a", 1, true);
	cr_assert_eq(
		scheduler_act(world.scheduler, "env-a0", &stop, "test", world_done, NULL, &err), 0,
		"%s", err.message);
	world_settle();
	mode("h1", HOST_DRAINING);
	cr_assert_eq(moving("h1"), 1);
}

Test(drain, what_was_told_to_move_in_a_dropped_batch_is_told_again)
{
	struct error err = ERROR_INIT;

	hosts(2, 4000);
	fill("h1", "a", 2, true);
	mode("h2", HOST_ACTIVE);
	cr_assert_eq(scheduler_set_mode(world.scheduler, "h1", HOST_DRAINING, "test", world_done,
					NULL, &err),
		     0);
	for (int i = 0; i < 3; i++)
		world_turn(); /* while the new mode is on its way */
	cr_assert_eq(moving("h1"), 2);
	world_lose_database();
	cr_assert_eq(moving("h1"), 0);
	world_find_database(true);
	world_settle();
	cr_assert_eq(moving("h1"), 2);
}

Test(drain, hosts_are_emptied_in_the_order_in_which_they_began)
{
	hosts(3, 4000);
	fill("h1", "a", 2, true);
	fill("h2", "b", 2, true);
	mode("h3", HOST_ACTIVE);
	mode("h1", HOST_CORDONED);
	mode("h2", HOST_DRAINING);
	world.ms += 2000;
	mode("h1", HOST_DRAINING);
	cr_assert_eq(moving("h2"), 2);
	cr_assert_eq(moving("h1"), 0);
	empty("h2");
	cr_assert_eq(moving("h1"), 2);
}

Test(drain, the_next_host_has_its_turn_where_none_of_the_first_can_move)
{
	hosts(3, 4000);
	fill("h1", "local", 2, false);
	fill("h2", "b", 1, true);
	mode("h3", HOST_ACTIVE);
	mode("h1", HOST_DRAINING);
	world.ms += 2000;
	mode("h2", HOST_DRAINING);
	cr_assert_eq(moving("h1"), 0);
	cr_assert_eq(moving("h2"), 1);
}

/* Those are heard of, and h1 is not, until it is offline. */
static void h1_goes_away(unsigned n_others, int cpu_milli)
{
	for (int i = 0; i < 5; i++) {
		world.ms += WORLD_OFFLINE_MS / 4;
		for (unsigned j = 0; j < n_others; j++) {
			char name[16];

			(void)snprintf(name, sizeof(name), "h%u", j + 2);
			world_register_host(name, cpu_milli);
		}
		world_settle();
	}
	cr_assert_not(host_newest(state_host(&world.scheduler->state, "h1"))->online);
}

/* h1 is away, with one that was told to move; h2 is drained. */
static void drain_while_h1_is_away(void)
{
	h1_goes_away(2, 4000);
	mode("h1", HOST_MAINTENANCE); /* its lease ends nothing */
	mode("h2", HOST_DRAINING);
	cr_assert_eq(moving("h1"), 1);
	cr_assert_eq(moving("h2"), 2);
}

Test(drain, what_waits_for_a_host_that_is_away_holds_nobody_up)
{
	struct scheduler_action move = { .verb = SCHEDULER_MOVE };
	struct error err = ERROR_INIT;

	hosts(3, 4000);
	fill("h2", "b", 2, true);
	fill("h1", "a", 1, true);
	mode("h3", HOST_ACTIVE);
	cr_assert_eq(
		scheduler_act(world.scheduler, "env-a0", &move, "test", world_done, NULL, &err), 0,
		"%s", err.message);
	world_settle();
	drain_while_h1_is_away();
}

Test(drain, what_is_deleted_on_its_way_holds_nobody_up)
{
	struct scheduler_action move = { .verb = SCHEDULER_MOVE };
	struct error err = ERROR_INIT;

	hosts(3, 4000);
	fill("h2", "b", 2, true);
	fill("h1", "a", 1, true);
	mode("h3", HOST_ACTIVE);
	cr_assert_eq(
		scheduler_act(world.scheduler, "env-a0", &move, "test", world_done, NULL, &err), 0,
		"%s", err.message);
	world_settle();
	cr_assert_eq(scheduler_delete(world.scheduler, "env-a0", "test", world_done, NULL, &err),
		     0);
	world_settle();
	mode("h2", HOST_DRAINING);
	cr_assert_eq(moving("h2"), 2);
}

Test(drain, a_host_that_is_away_is_left_alone)
{
	hosts(2, 4000);
	fill("h1", "a", 1, true);
	h1_goes_away(1, 4000);
	mode("h2", HOST_ACTIVE);
	mode("h1", HOST_DRAINING);
	cr_assert_eq(moving("h1"), 0);
}

Test(drain, what_is_being_deleted_or_restarted_is_not_told_to_move)
{
	struct scheduler_action restart = { .verb = SCHEDULER_RESTART };
	struct error err = ERROR_INIT;

	hosts(2, 4000);
	fill("h1", "a", 3, true);
	mode("h2", HOST_ACTIVE);
	cr_assert_eq(scheduler_delete(world.scheduler, "env-a0", "test", world_done, NULL, &err),
		     0);
	cr_assert_eq(
		scheduler_act(world.scheduler, "env-a1", &restart, "test", world_done, NULL, &err),
		0);
	mode("h1", HOST_DRAINING);
	cr_assert_eq(world_environment("env-a0")->action, ACTION_NONE);
	cr_assert_eq(world_environment("env-a1")->action, ACTION_RESTART);
	cr_assert_eq(world_environment("env-a2")->action, ACTION_MOVE);
}
