/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Every row of the table of transitions, on its way through whole lives, with a leader that is
 * killed at each commit: each life is lived once undisturbed, then once for each of its commits
 * with a kill there, before and after it has happened, and once with a kill at every commit.
 * Nothing runs twice on the way, and the end is that of the undisturbed life. */
#include "tests/unit/schedd/course.h"
#include "tests/unit/schedd/transition_match.h"

void __real_lifecycle_decide(const struct lifecycle_input *input, struct lifecycle_decision *ret);
void __wrap_lifecycle_decide(const struct lifecycle_input *input, struct lifecycle_decision *ret);

static bool passed[ARRAY_SIZE(transitions)];

void __wrap_lifecycle_decide(const struct lifecycle_input *input, struct lifecycle_decision *ret)
{
	__real_lifecycle_decide(input, ret);
	if (course.plan.at > 0 || course.plan.every)
		return;
	for (size_t i = 0; i < ARRAY_SIZE(transitions); i++)
		passed[i] |= is_transition(&transitions[i].is, &transitions[i].then, input, ret);
}

/* ---- lives ---- */

static const struct wanted movable = { .name = "a" }, local = { .name = "a", .local = true };

static void come_up(const struct wanted *wanted)
{
	add_host(0);
	create(wanted);
	live_until(phase_is(PHASE_RUNNING));
	add_host(1);
}

static void life_of_waiting(void)
{
	create(&movable);
	live_for(1000);
	add_host(0);
	live_until(phase_is(PHASE_RUNNING));
	delete_one();
}

static void life_without_host(void)
{
	create(&movable);
	ask_for(SCHEDULER_STOP);
	live_until(phase_is(PHASE_STOPPED));
	ask_for(SCHEDULER_START);
	live_until(phase_is(PHASE_PENDING));
	delete_one();
}

static void life_of_services(void)
{
	come_up(&movable);
	course.mood = RE_POINTED;
	live_until(phase_is(PHASE_CREATING));
	live_until(phase_is(PHASE_RUNNING));
	course.mood = SILENT_SERVICE;
	live_for(500);
	course.mood = WELL;
	live_for(1000);
	course.mood = SILENT_SERVICE;
	live_until(phase_is(PHASE_CREATING));
	course.mood = WELL;
	live_until(phase_is(PHASE_RUNNING));
	course.mood = RESTARTS;
	live_until(phase_is(PHASE_CREATING));
}

static void life_of_one_that_is_given_up(void)
{
	come_up(&movable);
	course.mood = GIVEN_UP;
	live_until(phase_is(PHASE_FAILED));
	ask_for(SCHEDULER_START);
}

static void life_that_ends_well(void)
{
	come_up(&movable);
	course.mood = ENDED_WELL;
	live_until(phase_is(PHASE_STOPPED));
	ask_for(SCHEDULER_START);
}

static void life_that_ends_badly(void)
{
	come_up(&movable);
	course.mood = ENDED_BADLY;
	live_until(phase_is(PHASE_FAILED));
}

/* Elsewhere it would begin anew, and nobody has asked for that. */
static void lose_and_move_what_has_ended(enum mood mood, enum environment_phase phase)
{
	come_up(&movable);
	course.mood = mood;
	live_until(phase_is(phase));
	live_for(1000);
	go_away(0);
	live_for(WORLD_LEASE_MS + WORLD_MARGIN_MS + 1000);
	require(phase_is(phase) && one()->host[0], "it is %s", phase_name(one()->phase));
	come_back(0);
	live_for(1000);
	ask_for(SCHEDULER_MOVE);
	live_until(!one()->host[0]);
	live_for(1000);
	require(phase_is(phase), "it is %s", phase_name(one()->phase));
}

static void life_that_ends_well_and_is_moved(void)
{
	lose_and_move_what_has_ended(ENDED_WELL, PHASE_STOPPED);
	course.mood = WELL;
	ask_for(SCHEDULER_START);
	live_until(phase_is(PHASE_RUNNING));
}

static void life_that_ends_badly_and_is_moved(void)
{
	lose_and_move_what_has_ended(ENDED_BADLY, PHASE_FAILED);
}

static bool lease_is_over(void)
{
	return scheduler_lease_left_ms(world.scheduler,
				       state_host(&world.scheduler->state, "host1"), world.ms) == 0;
}

static void life_that_has_ended_on_a_host_that_is_removed(void)
{
	come_up(&movable);
	course.mood = ENDED_WELL;
	live_until(phase_is(PHASE_STOPPED));
	go_away(0);
	while (state_host(&world.scheduler->state, "host1")) { /* a new leader waits anew */
		live_until(lease_is_over());
		ask(remove_request, "host1");
	}
	course.machines[0] = (struct machine){ .name = "host1" };
	live_for(1000);
	require(phase_is(PHASE_STOPPED) && !one()->host[0], "it is %s", phase_name(one()->phase));
	course.mood = WELL;
	ask_for(SCHEDULER_START);
	live_until(phase_is(PHASE_RUNNING));
}

static bool crash_loops(void)
{
	return one()->stage == STAGE_CRASH_LOOP &&
	       port_newest(state_environment(&world.scheduler->state, "env-a")->ports[0])->state ==
		       PORT_RESERVED;
}

static void life_in_a_crash_loop(void)
{
	come_up(&movable);
	course.mood = CRASHES;
	live_until(crash_loops());
	course.mood = CRASHES_UP;
	live_for(1000);
	course.mood = CRASHES;
	live_for(1000);
	course.mood = CRASHES_UP;
	live_for(1000);
	course.mood = RECOVERED;
	live_until(phase_is(PHASE_RUNNING));
}

static void life_that_is_stopped_in_a_crash_loop(void)
{
	come_up(&movable);
	course.mood = CRASHES;
	live_until(crash_loops());
	ask_for(SCHEDULER_STOP);
	live_until(phase_is(PHASE_STOPPED));
}

static void life_with_stop_and_start(void)
{
	come_up(&movable);
	ask_for(SCHEDULER_STOP);
	live_until(phase_is(PHASE_STOPPED));
	go_away(0);
	live_for(1000);
	come_back(0);
	ask_for(SCHEDULER_START);
	live_until(phase_is(PHASE_RUNNING));
	ask_for(SCHEDULER_RESTART);
}

static void life_with_a_gateway_that_is_away(void)
{
	come_up(&movable);
	course.gateway_away = true;
	ask_for(SCHEDULER_STOP);
	live_until(phase_is(PHASE_STOPPED));
	course.gateway_away = false;
}

/* The time of the day neither ends a wait for gateways nor lengthens it. */
static void life_while_the_clock_is_set(void)
{
	uint64_t from;

	come_up(&movable);
	course.gateway_away = true;
	ask_for(SCHEDULER_STOP);
	live_until(phase_is(PHASE_STOPPING));
	world.step = 3600;
	live_for(1000);
	require(one()->assignment == ASSIGNMENT_RUNNING, "%s", "stopped before it was withdrawn");
	world.step = -3600;
	from = world.ms;
	live_until(phase_is(PHASE_STOPPED));
	require(world.ms - from < 30000, "%s", "it takes too long");
	course.gateway_away = false;
	world.step = 0;
}

static void life_that_is_stopped_while_its_host_is_away(void)
{
	come_up(&local);
	course.machines[0].slow = true;
	ask_for(SCHEDULER_STOP);
	live_until(one()->assignment == ASSIGNMENT_STOPPED);
	go_away(0);
	live_for(1000);
	course.machines[0].slow = false;
	come_back(0);
	live_until(phase_is(PHASE_STOPPED));
}

/* The same where it could run elsewhere: the lease is what is waited for, where its host is away
 * for long. */
static void life_that_is_stopped_for_a_moment_of_absence(void)
{
	come_up(&movable);
	course.machines[0].slow = true;
	ask_for(SCHEDULER_STOP);
	live_until(one()->assignment == ASSIGNMENT_STOPPED);
	go_away(0);
	live_for(500);
	course.machines[0].slow = false;
	come_back(0);
	live_until(phase_is(PHASE_STOPPED));
}

static void life_on_a_host_that_comes_back(void)
{
	come_up(&movable);
	go_away(0);
	kill_leader(true);
	come_back(0);
	live_until(phase_is(PHASE_RUNNING));
	kill_leader(true);
	live_until(phase_is(PHASE_RUNNING));
}

static void life_that_waits_for_its_host(void)
{
	come_up(&local);
	go_away(0);
	live_until(lease_is_over());
	course.gateway_away = true; /* it is looked at again */
	live_for(WORLD_OFFLINE_MS + 1000);
	course.gateway_away = false;
	come_back(0);
	live_until(phase_is(PHASE_RUNNING));
}

static void life_in_maintenance(void)
{
	come_up(&movable);
	set_mode("host1", HOST_MAINTENANCE);
	live_for(1000);
	go_away(0);
	live_until(lease_is_over());
	live_for(1000);
	come_back(0);
	live_until(phase_is(PHASE_RUNNING));
	set_mode("host1", HOST_ACTIVE);
}

static void life_that_loses_its_host(void)
{
	come_up(&movable);
	go_away(0);
	live_until(phase_is(PHASE_RUNNING) && strcmp(one()->host, "host2") == 0);
	come_back(0);
}

static void life_that_moves(void)
{
	come_up(&movable);
	ask_for(SCHEDULER_MOVE);
	live_until(phase_is(PHASE_RUNNING) && strcmp(one()->host, "host2") == 0);
	ask_for(SCHEDULER_STOP);
	live_until(phase_is(PHASE_STOPPED));
	ask_for(SCHEDULER_MOVE);
	live_until(!one()->host[0]);
	ask_for(SCHEDULER_START);
}

static void life_that_moves_from_a_lost_host(void)
{
	come_up(&movable);
	course.machines[0].slow = true;
	ask_for(SCHEDULER_MOVE);
	live_until(one()->action == ACTION_MOVE && one()->assignment == ASSIGNMENT_NONE);
	go_away(0);
	live_until(phase_is(PHASE_RUNNING));
	course.machines[0].slow = false;
	come_back(0);
}

/* host2 is emptied first, and its b takes its time; then comes host1's turn, for which host3 has no
 * room before another is gone. */
static void life_on_a_draining_host(void)
{
	come_up(&movable);
	set_mode("host1", HOST_CORDONED);
	create(&(struct wanted){ .name = "b" });
	live_until(world_environment("env-b")->phase == PHASE_RUNNING);
	add_host(2);
	set_mode("host2", HOST_DRAINING);
	course.machines[1].slow = true;
	live_until(world_environment("env-b")->action == ACTION_MOVE);
	set_mode("host1", HOST_DRAINING);
	live_for(2000);
	course.machines[1].slow = false;
	live_until(phase_is(PHASE_RUNNING) && strcmp(one()->host, "host3") == 0);
}

static void life_that_finds_no_room(void)
{
	add_host(0);
	create(&movable);
	live_until(phase_is(PHASE_RUNNING));
	set_mode("host1", HOST_DRAINING);
	live_for(1000);
	add_host(1);
	live_until(phase_is(PHASE_RUNNING) && strcmp(one()->host, "host2") == 0);
}

static void life_that_cannot_move(void)
{
	come_up(&local);
	set_mode("host1", HOST_DRAINING);
	live_for(1000);
	delete_one();
}

static void life_with_a_deadline(void)
{
	come_up(&movable);
	extend(3600);
	live_for(1000);
	extend(30);
	live_for(1000);
	extend(3);
	live_until(phase_is(PHASE_STOPPED));
	live_for(1000);
	extend(3600);
	ask_for(SCHEDULER_START);
	live_until(phase_is(PHASE_RUNNING));
	extend(0);
}

static void life_that_is_deleted_at_its_deadline(void)
{
	come_up(&(struct wanted){ .name = "a", .delete_at_deadline = true });
	extend(3);
	live_until(!one());
}

static void life_that_is_lost_with_its_host(void)
{
	come_up(&local);
	go_away(0);
	ask(remove_request, "host1");
	course.machines[0] = (struct machine){ .name = "host1" };
	live_until(phase_is(PHASE_FAILED));
	live_for(1000);
	ask_for(SCHEDULER_START);
	live_until(phase_is(PHASE_RUNNING));
}

static void life_that_is_deleted(void)
{
	come_up(&movable);
	course.machines[0].slow = true;
	delete_one();
	live_until(one()->assignment == ASSIGNMENT_NONE);
	go_away(0);
	live_for(500);
	course.machines[0].slow = false;
	come_back(0);
	live_until(!one());
}

static void life_that_is_deleted_on_its_way(void)
{
	come_up(&movable);
	course.machines[0].slow = true;
	ask_for(SCHEDULER_MOVE);
	live_until(one()->assignment == ASSIGNMENT_NONE);
	delete_one();
	live_for(1000);
	course.machines[0].slow = false;
	live_until(!one());
}

static void life_that_is_stopped_on_its_way(void)
{
	come_up(&movable);
	course.machines[0].slow = true;
	ask_for(SCHEDULER_MOVE);
	live_until(one()->assignment == ASSIGNMENT_NONE);
	ask_for(SCHEDULER_STOP);
	live_for(1000);
	course.machines[0].slow = false;
	live_until(phase_is(PHASE_STOPPED));
	ask_for(SCHEDULER_START);
}

#define LIFE(name)          \
	{                   \
#name, name \
	}

static const struct {
	const char *name;
	void (*live)(void);
} lives[] = {
	LIFE(life_of_waiting),
	LIFE(life_without_host),
	LIFE(life_of_services),
	LIFE(life_of_one_that_is_given_up),
	LIFE(life_that_ends_well),
	LIFE(life_that_ends_badly),
	LIFE(life_that_ends_well_and_is_moved),
	LIFE(life_that_ends_badly_and_is_moved),
	LIFE(life_that_has_ended_on_a_host_that_is_removed),
	LIFE(life_in_a_crash_loop),
	LIFE(life_that_is_stopped_in_a_crash_loop),
	LIFE(life_with_stop_and_start),
	LIFE(life_with_a_gateway_that_is_away),
	LIFE(life_while_the_clock_is_set),
	LIFE(life_that_is_stopped_while_its_host_is_away),
	LIFE(life_that_is_stopped_for_a_moment_of_absence),
	LIFE(life_on_a_host_that_comes_back),
	LIFE(life_that_waits_for_its_host),
	LIFE(life_in_maintenance),
	LIFE(life_that_loses_its_host),
	LIFE(life_that_moves),
	LIFE(life_that_moves_from_a_lost_host),
	LIFE(life_on_a_draining_host),
	LIFE(life_that_finds_no_room),
	LIFE(life_that_cannot_move),
	LIFE(life_with_a_deadline),
	LIFE(life_that_is_deleted_at_its_deadline),
	LIFE(life_that_is_lost_with_its_host),
	LIFE(life_that_is_deleted),
	LIFE(life_that_is_deleted_on_its_way),
	LIFE(life_that_is_stopped_on_its_way),
};

/* How it ends; ret_commits is how many there were before it rested. */
static char *live_once(size_t i, struct plan plan, unsigned *ret_commits)
{
	char *end;

	course_begin(lives[i].name, plan);
	lives[i].live();
	*ret_commits = course.commits;
	end = rest();
	world_end();
	return end;
}

static void compare(const char *undisturbed, char *end)
{
	require(strcmp(undisturbed, end) == 0, "it ends otherwise:\n%s\nand not as\n%s", end,
		undisturbed);
	free(end);
}

Test(kills, a_leader_that_is_killed_at_any_commit_leads_to_the_same_end)
{
	unsigned kills = 0, commits, ignored;

	for (size_t i = 0; i < ARRAY_SIZE(lives); i++) {
		_cleanup_free_ char *undisturbed = live_once(i, (struct plan){ 0 }, &commits);

		for (unsigned at = 1; at <= commits; at++, kills += 2) {
			compare(undisturbed, live_once(i, (struct plan){ .at = at }, &ignored));
			compare(undisturbed,
				live_once(i, (struct plan){ .at = at, .happened = true },
					  &ignored));
		}
		compare(undisturbed, live_once(i, (struct plan){ .every = true }, &ignored));
		cr_assert_gt(ignored, 0);
	}
	cr_expect_gt(kills, 400);
}

/* Each row of the table is a step of one of these lives. What is deleted is asked for no more. */
Test(kills, the_lives_pass_every_row_of_the_table)
{
	unsigned ignored;

	for (size_t i = 0; i < ARRAY_SIZE(lives); i++)
		free(live_once(i, (struct plan){ 0 }, &ignored));
	for (size_t i = 0; i < ARRAY_SIZE(transitions); i++)
		cr_expect(passed[i] || transitions[i].is.phase == PHASE_DELETED,
			  "no life passes row %s", transitions[i].name);
}
