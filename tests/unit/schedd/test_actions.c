/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Where an environment is asked to move to, and why it may not; and that nothing is done unseen. */
#include "tests/unit/schedd/world.h"

static void begin(void)
{
	world_begin();
	world_register_host("h1", 1000);
	world_settle();
}

TestSuite(actions, .init = begin, .fini = world_end);

static void create(const char *name, bool movable)
{
	struct error err = ERROR_INIT;

	cr_assert_eq(world_create(name, movable, &err), 0, "%s", err.message);
	world_settle();
}

static void add_host(const char *name, int cpu_milli)
{
	world_register_host(name, cpu_milli);
	world_settle();
}

static void mode(const char *host, enum host_mode wanted)
{
	struct error err = ERROR_INIT;

	cr_assert_eq(
		scheduler_set_mode(world.scheduler, host, wanted, "test", world_done, NULL, &err),
		0);
	world_settle();
}

static int move(const char *host, struct error *err)
{
	struct scheduler_action action = { .verb = SCHEDULER_MOVE, .host = host };

	*err = (struct error)ERROR_INIT;
	return scheduler_act(world.scheduler, "env-a", &action, "test", world_done, NULL, err);
}

static void expect_refusal(const char *host, int error, const char *code, const char *message)
{
	struct error err;

	cr_assert_eq(move(host, &err), error, "%s", err.message);
	cr_expect_str_eq(err.code, code);
	cr_expect_str_eq(err.message, message);
	cr_expect_eq(world_environment("env-a")->action, ACTION_NONE);
}

static void remove_host(const char *name, bool force)
{
	struct error err = ERROR_INIT;

	cr_assert_eq(
		scheduler_delete_host(world.scheduler, name, force, "test", world_done, NULL, &err),
		0, "%s", err.message);
}

Test(actions, a_host_whose_removal_is_on_its_way_is_no_host_to_move_to)
{
	create("a", true);
	add_host("h2", 1000);
	remove_host("h2", false);
	expect_refusal("h2", -ENOENT, "not_found", "host: there is no host h2");
	world_turn();
	cr_assert(world.flight);
	expect_refusal("h2", -ENOENT, "not_found", "host: there is no host h2");
	world_settle();
	expect_refusal("h2", -ENOENT, "not_found", "host: there is no host h2");
}

/* It waits for another host: that it has left is the reason, and not that there is no room. */
Test(actions, what_its_removed_host_has_lost_is_nowhere_to_move_from)
{
	create("a", true);
	for (int i = 0; i < 12; i++) {
		world.ms += (WORLD_LEASE_MS + WORLD_MARGIN_MS) / 12;
		world_settle();
	}
	remove_host("h1", true);
	expect_refusal(NULL, -EEXIST, "conflict", "a is on no host: there is nothing to move");
	expect_refusal("h1", -ENOENT, "not_found", "host: there is no host h1");
	world_settle();
	expect_refusal(NULL, -EEXIST, "conflict", "a is on no host: there is nothing to move");
}

Test(actions, a_host_that_takes_nothing_is_not_one_without_room)
{
	create("a", true);
	add_host("h2", 1000);
	mode("h2", HOST_CORDONED);
	expect_refusal("h2", -EEXIST, "conflict", "host: h2 is draining");
	mode("h2", HOST_MAINTENANCE);
	expect_refusal("h2", -EEXIST, "conflict", "host: h2 is in maintenance");
	mode("h2", HOST_ACTIVE);
	for (int i = 0; i < 5; i++) {
		world.ms += WORLD_OFFLINE_MS / 4;
		world_register_host("h1", 1000);
		world_settle();
	}
	expect_refusal("h2", -EEXIST, "conflict", "host: h2 is offline");
}

/* However many other hosts there are. */
Test(actions, the_host_that_was_asked_for_says_what_it_lacks)
{
	char name[16];

	create("a", true);
	for (unsigned i = 2; i < 60; i++) {
		(void)snprintf(name, sizeof(name), "h%u", i);
		add_host(name, 100);
	}
	expect_refusal("h59", -ENOSPC, "no_capacity",
		       "host: h59 cannot take a: needs 400 milli CPU, 100 free");
}

Test(actions, without_a_host_every_host_says_why_not)
{
	create("a", true);
	add_host("h2", 100);
	expect_refusal(NULL, -ENOSPC, "no_capacity",
		       "no host can take a: h1: is the host that it leaves; h2: needs 400 milli "
		       "CPU, 100 free");
}

Test(actions, what_is_on_its_way_may_be_sent_elsewhere)
{
	struct error err;

	create("a", true);
	add_host("h2", 1000);
	add_host("h3", 1000);
	cr_assert_eq(move("h2", &err), 0, "%s", err.message);
	world_settle();
	cr_assert_eq(world_environment("env-a")->action, ACTION_MOVE);
	cr_assert_str_eq(world_environment("env-a")->move_to, "h2");
	cr_assert_eq(move(NULL, &err), 0, "%s", err.message);
	world_settle();
	cr_assert_str_eq(world_environment("env-a")->move_to, "h2");
	cr_assert_eq(move("h3", &err), 0, "%s", err.message);
	world_settle();
	cr_assert_eq(world_environment("env-a")->action, ACTION_MOVE);
	cr_assert_str_eq(world_environment("env-a")->move_to, "h3");
}

static struct error answer;

static void on_answer(void *userdata, const struct error *err, const char *id)
{
	answer = *err;
}

static bool stop(void)
{
	struct scheduler_action action = { .verb = SCHEDULER_STOP };
	struct error err = ERROR_INIT;

	answer = (struct error){ .errnum = 1 };
	cr_assert_eq(
		scheduler_act(world.scheduler, "env-a", &action, "test", on_answer, NULL, &err), 0,
		"%s", err.message);
	world_settle();
	return answer.errnum == 0;
}

Test(actions, what_cannot_be_written_down_as_an_event_is_not_done)
{
	uint64_t revision;

	create("a", false);
	revision = world.revision;
	world.no_memory = true;
	cr_assert_not(stop());
	cr_expect_eq(answer.errnum, -ENOMEM);
	cr_expect_str_eq(answer.message, "out of memory");
	cr_expect(world_environment("env-a")->power);
	cr_expect_eq(world.revision, revision, "nothing was committed");

	world.no_memory = false;
	while (world.scheduler->paused)
		(void)event_base_loop(world.base, EVLOOP_ONCE);
	cr_expect(stop());
	cr_expect_not(world_environment("env-a")->power);
	cr_expect_gt(world.revision, revision);
}
