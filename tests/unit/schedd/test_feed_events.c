/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Streams of events, with the archive in the test's hand: it answers what it was asked when the
 * test says so, in the order in which it was asked, and is full when the test says so. */
#include <errno.h>

#include "schedd/event_log.h"
#include "tests/unit/schedd/streams.h"

#define QUESTIONS_MAX 16

int __wrap_event_log_read(struct archive *archive, const struct event_query *query,
			  event_log_done done, void *userdata);

static struct question {
	struct event_query query; /* without its texts */
	size_t seen;              /* events of the table, then */
	event_log_done done;
	void *userdata;
} questions[QUESTIONS_MAX];
static unsigned n_asked, n_answered;
static bool is_full;
static json_t *table; /* the events, in the order of their ids */

TestSuite(feed_events, .init = streams_setup, .fini = streams_teardown, .timeout = 60);

int __wrap_event_log_read(struct archive *archive, const struct event_query *query,
			  event_log_done done, void *userdata)
{
	if (is_full)
		return -EAGAIN;
	cr_assert(n_asked < QUESTIONS_MAX);
	questions[n_asked++] = (struct question){ *query, json_array_size(table), done, userdata };
	return 0;
}

static bool is_asked_for(const struct event_query *query, const json_t *event)
{
	return json_integer_value(json_object_get(event, "id")) > query->after &&
	       json_integer_value(json_object_get(event, "revision")) > (json_int_t)query->revision;
}

/* The oldest question; at most so many events of the table at a time. */
static void answer(size_t page)
{
	_cleanup_json_ json_t *items = json_array();
	const struct question *question = &questions[n_answered];
	const struct error none = ERROR_INIT;
	bool more = false;
	json_t *event;
	size_t i;

	cr_assert(n_answered < n_asked, "nothing was asked");
	n_answered++;
	json_array_foreach (table, i, event) {
		if (i == question->seen)
			break;
		if (!is_asked_for(&question->query, event))
			continue;
		more = json_array_size(items) == page;
		if (more)
			break;
		json_array_append(items, event);
	}
	if (!question->query.forward) { /* the newest alone */
		json_array_clear(items);
		if (question->seen > 0)
			json_array_append(items, json_array_get(table, question->seen - 1));
	}
	question->done(question->userdata, &none, items, more);
}

static void answer_all(void)
{
	while (n_answered < n_asked)
		answer(QUESTIONS_MAX);
}

/* A commit and its event. */
static void happen(void)
{
	struct environment_entry *entry = state_environment(&state, "env-a");

	if (!table)
		table = json_array();
	if (!entry)
		entry = load("env-a", "a", "");
	cr_assert(state_edit_environment(&state, entry));
	state_audit(&state, &entry->entry, "test", "x", "%s", "");
	json_array_append_new(table,
			      json_pack("{s:I, s:I}", "id", (json_int_t)json_array_size(table) + 1,
					"revision", (json_int_t)state_open_revision(&state)));
	commit();
}

/* A stream that waits for its first answer. */
static struct watcher *watch_events(uint64_t revision)
{
	unsigned before = feed_count(feed), asked = n_asked;
	struct watcher *watcher;
	char what[40];

	(void)snprintf(what, sizeof(what), "events/%llu", (unsigned long long)revision);
	watcher = watch_later(what, true);
	wait_until(feed_count(feed) == before + 1 && n_asked > asked);
	return watcher;
}

static json_int_t told(const struct watcher *watcher, size_t index)
{
	return json_integer_value(json_object_get(json_array_get(watcher->put, index), "id"));
}

Test(feed_events, a_stream_after_a_revision_is_not_told_of_that_by_news_for_others)
{
	struct watcher *first = watch_events(100), *second;

	answer_all();
	happen(); /* 101: its news are on their way */
	happen(); /* 102: news again, after them */
	second = watch_events(102);
	answer_all();
	happen();
	answer_all();
	wait_until(first->changes == 3 && second->changes == 1);
	cr_assert_eq(told(first, 0), 3);
	cr_assert_eq(first->revision, 103);
	cr_assert_eq(json_array_size(second->put), 1);
	cr_assert_eq(told(second, 0), 3);
}

Test(feed_events, while_too_many_ask_streams_wait_and_are_told_later)
{
	struct watcher *watcher = watch_events(100);

	answer_all();
	wait_until(watcher->bookmarks == 1);
	is_full = true;
	happen();
	wait_until(watcher->bookmarks == 2); /* asked in vain again */
	cr_assert_eq(feed_count(feed), 1);
	cr_assert_eq(watcher->revision, 100, "who goes on from there misses nothing");
	is_full = false;
	wait_until(n_asked > n_answered); /* nothing else happened */
	answer_all();
	wait_until(watcher->changes == 1);
	cr_assert_eq(told(watcher, 0), 1);
	cr_assert_eq(watcher->revision, 101);
	cr_assert_not(watcher->ended);
	cr_assert_eq(feed_ended(feed, FEED_UNREAD), 0);
}

/* Neither by a change, nor by a bookmark while its first answer is on its way. */
Test(feed_events, no_line_says_that_more_was_told_than_was)
{
	struct watcher *early = watch_events(100), *late_one;

	answer_all();
	happen();
	late_one = watch_events(100);
	happen(); /* committed before the answer, and not in it */
	wait_until(early->bookmarks == 2);
	cr_assert_eq(early->revision, 100);
	cr_assert_eq(late_one->bookmarks, 0);
	answer(QUESTIONS_MAX);
	wait_until(early->changes == 1);
	cr_assert_eq(told(early, 0), 1);
	cr_assert_eq(early->revision, 101);
	answer_all();
	wait_until(early->changes == 2 && late_one->changes == 2);
	cr_assert_eq(early->revision, 102);
	cr_assert_eq(late_one->revision, 102);
}

Test(feed_events, a_page_that_cannot_be_asked_for_ends_its_stream_alone)
{
	struct watcher *caught_up = watch_events(100), *behind;

	answer_all();
	happen();
	answer_all();
	happen();
	answer_all();
	wait_until(caught_up->changes == 2);
	behind = watch_events(100);
	is_full = true;
	answer(1);
	wait_until(behind->ended);
	cr_assert_eq(behind->changes, 1);
	cr_assert_eq(told(behind, 0), 1);
	cr_assert_eq(behind->revision, 100, "more of 101 may be on the next page");
	cr_assert(strstr(behind->last_words, "does not answer"), "%s", behind->last_words);
	cr_assert_eq(feed_count(feed), 1);
	cr_assert_not(caught_up->ended);
}
