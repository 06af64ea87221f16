/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A database that refuses what one environment is to become: the others go on, whoever asks for
 * something else has it, and the one is tried again now and then, alone. */
#include "schedd/careful.h"
#include "tests/unit/schedd/world.h"

static struct error answer;
static bool takes_bad; /* what the database takes by now */
static unsigned n_refused, n_refused_with_others;

TestSuite(careful, .init = world_begin, .fini = world_end);

static bool places_bad(const struct entry *entry)
{
	return strcmp(entry->id, "env-bad") == 0 &&
	       ((const struct environment *)entry->flight)->host[0];
}

/* The commit on its way, by a database that refuses a place for env-bad. */
static void end_commit(void)
{
	const struct batch *batch = world.flight;
	bool refused = false, others = false;

	for (size_t i = 0; i < batch->n; i++) {
		const struct entry *entry = batch->changes[i].entry;

		if (!takes_bad && places_bad(entry))
			refused = true;
		else if (entry->kind != RECORD_PORT)
			others = true;
	}
	if (!refused) {
		world_commit();
		return;
	}
	n_refused++;
	n_refused_with_others += others;
	world.flight = NULL;
	world.events->on_commit(world.userdata, -EIO, "refused");
}

static void settle(void)
{
	for (int i = 0; i < 200; i++) {
		world_turn();
		if (world.flight)
			end_commit();
		else if (world.scheduler->paused)
			(void)event_base_loop(world.base, EVLOOP_ONCE);
		else
			return;
	}
	cr_assert_fail("it does not come to rest");
}

static void create(const char *name)
{
	struct error err = ERROR_INIT;

	cr_assert_eq(world_create(name, false, &err), 0, "%s", err.message);
}

static const char *host_of(const char *id)
{
	return world_environment(id)->host;
}

/* Three that wait for a host, with the one amid them; then there is a host. */
static void begin(void)
{
	takes_bad = false;
	n_refused = n_refused_with_others = 0;
	create("a");
	create("bad");
	create("b");
	settle();
	world_register_host("h1", 4000);
	settle();
	cr_assert_eq(n_refused, 1, "with all that came with it, the host as well");
	cr_assert_null(state_host(&world.scheduler->state, "h1"));
	world_register_host("h1", 4000); /* it comes again */
	settle();
}

Test(careful, the_others_go_on)
{
	begin();
	cr_assert_str_eq(host_of("env-a"), "h1");
	cr_assert_str_eq(host_of("env-b"), "h1");
	cr_assert_str_eq(host_of("env-bad"), "");
	cr_assert_eq(n_refused_with_others, 1, "the first time, when nobody knew");
	create("c");
	settle();
	cr_assert_str_eq(host_of("env-c"), "h1");
	cr_assert_eq(n_refused_with_others, 1);
}

Test(careful, it_is_tried_alone_at_growing_intervals_and_goes_on_once_it_is_taken)
{
	unsigned before;

	begin();
	before = n_refused;
	world.ms += 4999;
	settle();
	cr_assert_eq(n_refused, before);
	create("c");
	world.ms += 1;
	settle();
	cr_assert_eq(n_refused, before + 1);
	cr_assert_eq(n_refused_with_others, 1, "also where others are decided about");
	cr_assert_str_eq(host_of("env-c"), "h1");
	world.ms += 9999;
	settle();
	cr_assert_eq(n_refused, before + 1);
	takes_bad = true;
	world.ms += 1;
	settle();
	cr_assert_str_eq(host_of("env-bad"), "h1");
	cr_assert_eq(state_environment(&world.scheduler->state, "env-bad")->refused_delay_ms, 0);
}

Test(careful, what_is_asked_for_it_meanwhile_is_done)
{
	struct error err = ERROR_INIT;

	begin();
	cr_assert_eq(scheduler_delete(world.scheduler, "env-bad", "test", world_done, NULL, &err),
		     0);
	settle();
	cr_assert_eq(world_environment("env-bad")->phase, PHASE_DELETING);
	world.ms += 5000;
	settle();
	cr_assert_null(world_environment("env-bad"));
}

Test(careful, a_commit_that_was_lost_with_its_connection_is_nobodys_fault)
{
	begin();
	world.ms += 5000;
	world_turn();
	cr_assert(world.flight && strcmp(world.scheduler->suspect, "env-bad") == 0);
	world_lose_database();
	world_find_database(false);
	cr_assert_str_eq(world.scheduler->suspect, "");
	takes_bad = true;
	world.ms += 5000;
	settle();
	cr_assert_str_eq(host_of("env-bad"), "h1");
}

static void on_answer(void *userdata, const struct error *err, const char *id)
{
	answer = *err;
}

Test(careful, what_is_asked_for_while_it_is_refused_is_asked_for_again)
{
	struct error err = ERROR_INIT;

	begin();
	world.ms += 5000;
	world_turn();
	cr_assert(world.flight && strcmp(world.scheduler->suspect, "env-bad") == 0);
	cr_assert_eq(scheduler_delete(world.scheduler, "env-a", "test", on_answer, NULL, &err), 0);
	end_commit();
	cr_assert_eq(answer.errnum, -EAGAIN);
	cr_assert_str_eq(answer.code, "unavailable");
	cr_assert_neq(world_environment("env-a")->phase, PHASE_DELETING);
	settle();
	cr_assert_eq(scheduler_delete(world.scheduler, "env-a", "test", on_answer, NULL, &err), 0);
	settle();
	cr_assert_eq(answer.errnum, 0);
	cr_assert_eq(world_environment("env-a")->phase, PHASE_DELETING);
}
