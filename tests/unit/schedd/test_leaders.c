/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Leaders that follow each other, each before any wait is over: what waits for a time comes to its
 * end all the same, and no sooner than under one leader. */
#include "tests/unit/schedd/course.h"

#define STAYS_MS 3000 /* a leader: less than any wait, and more than half of the short ones */
#define AT_MOST_MS 60000

static void begin(void)
{
	course_begin("leaders that follow each other", (struct plan){ 0 });
}

TestSuite(leaders, .init = begin, .fini = world_end);

#define change_leaders_until(condition)                                    \
	do {                                                               \
		uint64_t _from = world.ms;                                 \
		for (uint64_t _led = world.ms; !(condition);) {            \
			if (world.ms - _from > AT_MOST_MS)                 \
				fail_to_see(#condition);                   \
			live();                                            \
			if (world.ms - _led >= STAYS_MS && !(condition)) { \
				kill_leader(true);                         \
				_led = world.ms;                           \
			}                                                  \
		}                                                          \
	} while (0)

static void come_up(void)
{
	static const struct wanted movable = { .name = "a" };

	add_host(0);
	create(&movable);
	live_until(phase_is(PHASE_RUNNING));
	add_host(1);
	live();
}

static const struct host *host1(void)
{
	return host_newest(state_host(&world.scheduler->state, "host1"));
}

Test(leaders, a_host_that_is_gone_is_found_offline)
{
	add_host(0);
	live();
	course.machines[0].away = true;
	change_leaders_until(!is_online(0));
	cr_assert_gt(world.epoch, 1);
}

Test(leaders, one_that_is_there_stays_online)
{
	add_host(0);
	for (int i = 0; i < 5; i++) {
		live_for(STAYS_MS);
		cr_assert(is_online(0));
		cr_assert_eq(host1()->silent_ms, 0);
		kill_leader(true);
	}
}

Test(leaders, a_lost_host_is_given_up_once_its_lease_is_over)
{
	uint64_t from;

	come_up();
	from = world.ms;
	course.machines[0].away = true;
	change_leaders_until(phase_is(PHASE_RUNNING) && strcmp(one()->host, "host2") == 0);
	cr_assert_geq(world.ms - from, WORLD_LEASE_MS + WORLD_MARGIN_MS);
}

/* Its lease is nearly over when it is heard of again. Nobody wrote that down, and the next leader
 * counts on: so it must not have been given another. */
Test(leaders, one_that_came_back_unwritten_gets_no_lease)
{
	struct machine *machine = &course.machines[0];

	come_up();
	machine->away = true;
	live_until(host1()->silent_ms + WORLD_OFFLINE_MS / 2 >= WORLD_LEASE_MS + WORLD_MARGIN_MS);
	cr_assert_str_eq(one()->host, "host1");
	report(machine);
	act(machine);
	kill_leader(false);
	live_until(strcmp(one()->host, "host2") == 0); /* never two copies: see live */
	live_for(WORLD_LEASE_MS);
}

Test(leaders, one_that_came_back_and_was_written_gets_its_lease)
{
	come_up();
	go_away(0);
	come_back(0);
	live();
	cr_assert(is_online(0));
	cr_assert_eq(host1()->silent_ms, 0);
	live();
	cr_assert_gt(course.machines[0].lease_until, world.ms);
}

Test(leaders, a_stop_waits_for_a_silent_gateway_no_longer)
{
	uint64_t from;

	come_up();
	course.gateway_away = true;
	from = world.ms;
	ask_for(SCHEDULER_STOP);
	change_leaders_until(phase_is(PHASE_STOPPED));
	cr_assert_geq(world.ms - from, 5000);
	cr_assert_gt(world.epoch, 2);
}

static const struct port *port(void)
{
	return port_newest(state_environment(&world.scheduler->state, "env-a")->ports[0]);
}

Test(leaders, how_long_a_port_waits_is_written_down_and_is_no_news)
{
	uint64_t revision;

	come_up();
	course.gateway_away = true;
	ask_for(SCHEDULER_STOP);
	live_until(port()->state == PORT_WITHDRAWING);
	live();
	revision = port()->record.revision;
	live_until(port()->waited_ms > 0);
	cr_assert_eq(port()->state, PORT_WITHDRAWING);
	cr_assert_eq(port()->record.revision, revision);
}

Test(leaders, a_deadline_is_kept)
{
	come_up();
	extend(20);
	change_leaders_until(phase_is(PHASE_STOPPED));
	cr_assert_geq(clock_unix_seconds(), one()->expires_at);
	cr_assert_gt(world.epoch, 5);
}

/* ---- at random ---- */

static uint64_t random_state;

static uint64_t next(uint64_t below)
{
	random_state ^= random_state << 13;
	random_state ^= random_state >> 7;
	random_state ^= random_state << 17;
	return random_state % below;
}

static bool one_in(uint64_t n)
{
	return next(n) == 0;
}

/* Hosts come and go, and leaders die at any commit, whether it happened or not: more often when a
 * host has just come back, which then may not stay. */
static void live_at_random(bool back[HOSTS])
{
	bool any_back = false;

	for (size_t i = 0; i < HOSTS; i++) {
		struct machine *machine = &course.machines[i];
		bool changes = one_in(back[i] ? 2 : 60);

		back[i] = changes && machine->away;
		machine->away ^= changes;
		any_back |= back[i];
	}
	course.plan.at = one_in(any_back ? 2 : 30) ? course.commits + 1 : 0;
	course.plan.happened = one_in(2);
	live();
}

Test(leaders, never_two_copies_whoever_leads)
{
	char last[RECORD_ID_MAX] = "";
	bool back[HOSTS] = { false };
	unsigned moves = 0;

	come_up();
	add_host(2);
	random_state = 0x9e3779b97f4a7c15;
	for (int i = 0; i < 40000; i++) {
		live_at_random(back); /* which looks for copies */
		if (!one()->host[0] || strcmp(one()->host, last) == 0)
			continue;
		(void)snprintf(last, sizeof(last), "%s", one()->host);
		moves++;
	}
	cr_assert_gt(moves, 100, "it moved %u times only", moves);
	cr_assert_gt(world.epoch, 100);
}

static void change_anything(void)
{
	static const enum scheduler_verb verbs[] = { SCHEDULER_START, SCHEDULER_STOP,
						     SCHEDULER_RESTART };
	struct scheduler_action asked = { .verb = verbs[next(ARRAY_SIZE(verbs))] };
	struct error err = ERROR_INIT;

	if (one_in(15))
		course.mood = (enum mood)next(RE_POINTED + 1);
	if (one_in(60))
		course.gateway_away = !course.gateway_away;
	if (one_in(30))
		course.gateway_slow = !course.gateway_slow;
	if (one_in(40) &&
	    scheduler_act(world.scheduler, one()->origin->id, &asked, "test", NULL, NULL, &err) < 0)
		cr_log_info("%s", err.message);
}

/* What is decided of a report's news alone is what a look at everything decides. A look may find
 * only what has a time to be looked at, and how long a port has waited. */
Test(leaders, news_are_enough)
{
	bool back[HOSTS] = { false };

	come_up();
	add_host(2);
	random_state = 0x9e3779b97f4a7c15;
	for (int i = 0; i < 20000; i++) {
		const struct environment_entry *entry;

		change_anything();
		live_at_random(back);
		entry = state_environment(&world.scheduler->state, one()->origin->id);
		if (entry->recheck_ms == 0) {
			state_mark_all(&world.scheduler->state);
			world_turn();
			cr_assert_null(entry->entry.flight, "round %d: %s", i,
				       environment_newest(entry)->reason);
		}
		turn();
	}
}
