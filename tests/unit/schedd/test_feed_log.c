/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The ring of changes: what is known, newest first, and what falls out of it. */
#include "schedd/feed_log.h"

#include "tests/unit/schedd/rows.h"

static struct state state;
static struct feed_log feed_log;

static void setup(void)
{
	row_state(&state);
	row_load(&state, row_environment("env-a", "a"));
	row_load(&state, row_environment("env-b", "b"));
	row_load(&state, row_port("env-b", "ssh", "203.0.113.10:30001"));
}

static void teardown(void)
{
	feed_log_clear(&feed_log);
	state_clear(&state);
}

TestSuite(feed_log, .init = setup, .fini = teardown);

static void commit(const char *id)
{
	cr_assert(state_edit_environment(&state, state_environment(&state, id)));
	cr_assert(state_close_batch(&state));
	state_commit_batch(&state);
	feed_log_commit(&feed_log, &state.flight);
	state_finish_batch(&state);
}

Test(feed_log, before_the_first_commit_only_now_is_known)
{
	cr_assert(feed_log_knows(&feed_log, 100, 100));
	cr_assert_not(feed_log_knows(&feed_log, 99, 100));
	cr_assert_not(feed_log_knows(&feed_log, 101, 100));
}

Test(feed_log, changes_come_newest_first_down_to_the_revision)
{
	size_t position = 0;

	commit("env-a"); /* 101 */
	commit("env-b"); /* 102 */
	cr_assert(feed_log_knows(&feed_log, 100, state.revision));
	cr_assert_not(feed_log_knows(&feed_log, 99, state.revision));
	cr_assert_str_eq(feed_log_next(&feed_log, 100, &position)->id, "env-b");
	cr_assert_str_eq(feed_log_next(&feed_log, 100, &position)->id, "env-a");
	cr_assert_null(feed_log_next(&feed_log, 100, &position));
	position = 0;
	cr_assert_str_eq(feed_log_next(&feed_log, 101, &position)->id, "env-b");
	cr_assert_null(feed_log_next(&feed_log, 101, &position));
}

Test(feed_log, a_port_is_a_change_of_its_environment)
{
	struct mapping_key key = { .protocol = PROTOCOL_TCP, .port = 30001 };
	const struct feed_log_change *change;
	size_t position = 0;

	key.address = row_endpoint("203.0.113.10:1").address;
	cr_assert(state_edit_port(&state, state_port(&state, &key)));
	cr_assert(state_close_batch(&state));
	state_commit_batch(&state);
	feed_log_commit(&feed_log, &state.flight);
	state_finish_batch(&state);
	change = feed_log_next(&feed_log, 100, &position);
	cr_assert_eq(change->kind, RECORD_ENVIRONMENT);
	cr_assert_str_eq(change->id, "env-b");
	change = feed_log_next(&feed_log, 100, &position);
	cr_assert_eq(change->kind, RECORD_PORT);
	cr_assert_eq(mapping_key_compare(&change->key, &key), 0);
}

Test(feed_log, what_is_edited_quietly_is_no_change)
{
	struct mapping_key key = { .protocol = PROTOCOL_TCP, .port = 30001 };
	size_t position = 0;

	key.address = row_endpoint("203.0.113.10:1").address;
	cr_assert(state_edit_port_quietly(&state, state_port(&state, &key)));
	cr_assert(state_close_batch(&state));
	state_commit_batch(&state);
	feed_log_commit(&feed_log, &state.flight);
	state_finish_batch(&state);
	cr_assert(feed_log_knows(&feed_log, 100, state.revision));
	cr_assert_null(feed_log_next(&feed_log, 100, &position));
}

Test(feed_log, what_falls_out_is_not_known_any_more)
{
	size_t position = 0, n = 0;

	for (int i = 0; i < FEED_LOG_MAX + 10; i++)
		commit("env-a");
	cr_assert_not(feed_log_knows(&feed_log, 109, state.revision));
	cr_assert(feed_log_knows(&feed_log, 110, state.revision));
	while (feed_log_next(&feed_log, 110, &position))
		n++;
	cr_assert_eq(n, FEED_LOG_MAX);
}

Test(feed_log, another_state_is_another_log)
{
	size_t position = 0;

	commit("env-a");
	feed_log_reset(&feed_log);
	cr_assert_not(feed_log_knows(&feed_log, 100, 101));
	cr_assert(feed_log_knows(&feed_log, 101, 101));
	cr_assert_null(feed_log_next(&feed_log, 0, &position));
}
