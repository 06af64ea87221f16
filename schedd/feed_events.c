/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Streams of events. A commit says only that there are some: what they are, with their ids, is read
 * from the database, once for all streams that have caught up. The archive answers in the order in
 * which it was asked, so each answer knows at least what those before it knew, and a stream that
 * has had all there was misses nothing of what is read after that. The revision of a line is that
 * of the last commit of which the stream was told all, which may be an earlier one than other
 * streams'. */
#include <errno.h>
#include <string.h>

#include "proto/watch.h"
#include "schedd/feed_private.h"

enum { TEXT_KIND, TEXT_SUBJECT, TEXT_ACTOR, TEXT_ACTION, TEXT_CUSTOMER, TEXT_MAX };

static const char *const text_fields[TEXT_MAX] = { "kind", "subject", "actor", "action",
						   "customer" };

struct event_stream {
	char *text[TEXT_MAX]; /* what is asked for; NULL: any */
	int64_t last;         /* id of the last event that it was told */
	uint64_t revision;    /* only later ones */
	unsigned limit;       /* of the snapshot */
	bool resumes;         /* no snapshot */
	uint64_t told;        /* all events up to this commit; 0: unknown */
	bool begun, caught_up;
	struct feed_question *question; /* on its way for it; NULL: none */
};

static int64_t id_of(const json_t *event)
{
	return json_integer_value(json_object_get(event, "id"));
}

static uint64_t revision_of(const json_t *event)
{
	return (uint64_t)json_integer_value(json_object_get(event, "revision"));
}

static int64_t last_of(const json_t *items)
{
	return id_of(json_array_get(items, json_array_size(items) - 1));
}

/* ---- asking ---- */

static void on_answer(void *userdata, const struct error *err, json_t *items, bool more);

static int ask(struct feed *feed, struct stream *stream, int about, const struct event_query *query)
{
	struct feed_question *question = calloc(1, sizeof(*question));
	int r;

	if (!question)
		return -ENOMEM;
	question->feed = feed;
	question->stream = stream;
	question->about = about;
	question->revision = feed->revision;
	r = event_log_read(feed->archive, query, on_answer, question);
	if (r < 0) {
		free(question);
		return r;
	}
	LIST_INSERT_HEAD(&feed->tail.questions, question, entry);
	if (stream)
		stream->events->question = question;
	return 0;
}

/* What is missing to catch up, or the newest for a snapshot. */
static int ask_for(struct stream *stream)
{
	const struct event_stream *events = stream->events;
	const struct event_query query = {
		.after = events->last,
		.revision = events->revision,
		.kind = events->text[TEXT_KIND],
		.subject = events->text[TEXT_SUBJECT],
		.actor = events->text[TEXT_ACTOR],
		.action = events->text[TEXT_ACTION],
		.customer = events->text[TEXT_CUSTOMER],
		.forward = events->resumes,
		.limit = events->resumes ? EVENT_LOG_PAGE_MAX : events->limit,
	};

	return ask(stream->feed, stream, QUESTION_STREAM, &query);
}

static void end_unread(struct feed *feed)
{
	struct stream *stream;

	while ((stream = feed_watchers(feed, FEED_EVENTS, "")))
		feed_stream_end(stream, FEED_UNREAD);
}

/* Those whose next page could not be asked for. */
static void end_unasked(struct feed *feed)
{
	struct stream *stream, *next;

	DL_FOREACH_SAFE2(feed_watchers(feed, FEED_EVENTS, ""), stream, next, topic_next)
	{
		if (!stream->events->caught_up && !stream->events->question)
			feed_stream_end(stream, FEED_UNREAD);
	}
}

static void ask_news(struct feed *feed)
{
	const struct event_query query = { .after = feed->tail.last,
					   .forward = true,
					   .limit = EVENT_LOG_PAGE_MAX };
	int r = ask(feed, NULL, QUESTION_NEWS, &query);

	feed->tail.asked = r == 0;
	feed->tail.again = r == -EAGAIN;
	if (r < 0 && r != -EAGAIN)
		end_unread(feed);
}

void feed_events_news(struct feed *feed)
{
	if (feed->of_kind[FEED_EVENTS] == 0)
		return;
	if (feed->tail.known && !feed->tail.asked)
		ask_news(feed);
	else
		feed->tail.again = true;
}

bool feed_events_told(const struct stream *stream, uint64_t *ret)
{
	*ret = stream->events->told;
	return stream->events->begun;
}

void feed_events_retry(struct feed *feed)
{
	if (feed->tail.again)
		feed_events_news(feed);
}

/* ---- answers ---- */

/* News are for all: what a stream had before, or did not ask for, is among them. */
static bool wants(const struct event_stream *events, const json_t *event)
{
	if (id_of(event) <= events->last || revision_of(event) <= events->revision)
		return false;
	for (int i = 0; i < TEXT_MAX; i++) {
		const char *text = json_string_value(json_object_get(event, text_fields[i]));

		if (events->text[i] && (!text || strcmp(text, events->text[i]) != 0))
			return false;
	}
	return true;
}

static void add_items(struct stream *stream, json_t *items)
{
	json_t *event;
	size_t i;

	json_array_foreach (items, i, event) {
		if (!wants(stream->events, event))
			continue;
		stream->events->last = id_of(event);
		feed_add(stream, true, json_incref(event));
	}
}

static int write_snapshot(const struct feed *feed, uint64_t revision, json_t *items,
			  struct evbuffer *out)
{
	int r = watch_write_snapshot(out, feed->epoch, revision);
	json_t *event;
	size_t i;

	json_array_foreach (items, i, event)
		if (r == 0)
			r = watch_write_item(out, event);
	return r == 0 ? watch_write_synced(out, feed->epoch, revision) : r;
}

/* The first lines of a stream that has nothing to go on with, or that begins with a snapshot. */
static void begin(struct stream *stream, json_t *items)
{
	const struct event_stream *events = stream->events;
	const struct feed *feed = stream->feed;
	struct evbuffer *out = evbuffer_new();
	int r = -ENOMEM;

	if (out)
		r = events->resumes ? watch_write_bookmark(out, feed->epoch, events->told)
				    : write_snapshot(feed, events->told, items, out);
	feed_stream_send(stream, out, r);
	if (out)
		evbuffer_free(out);
}

/* A page may end amid the events of a commit. */
static void advance(struct event_stream *events, const json_t *items, bool more, uint64_t revision)
{
	uint64_t told = more ? revision_of(json_array_get(items, json_array_size(items) - 1)) - 1
			     : revision;

	events->told = MAX(events->told, told);
}

static void take_page(struct stream *stream, json_t *items, bool more, uint64_t revision)
{
	struct event_stream *events = stream->events;
	struct feed *feed = stream->feed;
	int r = 0;

	events->begun = true;
	events->caught_up = !(events->resumes && more);
	advance(events, items, !events->caught_up, revision);
	if (events->resumes && json_array_size(items) > 0) {
		add_items(stream, items);
		if (!events->caught_up)
			r = ask_for(stream);
		feed_send_touched(feed); /* it may have been ended */
		if (r < 0)
			end_unasked(feed);
		return;
	}
	if (json_array_size(items) > 0)
		events->last = last_of(items);
	begin(stream, items);
}

static void take_news(struct feed *feed, json_t *items, bool more, uint64_t revision)
{
	struct stream *stream;

	feed->tail.asked = false;
	if (json_array_size(items) > 0)
		feed->tail.last = last_of(items);
	DL_FOREACH2(feed_watchers(feed, FEED_EVENTS, ""), stream, topic_next)
	{
		if (!stream->events->caught_up)
			continue;
		advance(stream->events, items, more, revision);
		add_items(stream, items);
	}
	feed_send_touched(feed);
	feed->tail.again |= more;
}

static void on_answer(void *userdata, const struct error *err, json_t *items, bool more)
{
	struct feed_question *question = userdata;
	struct stream *stream = question->stream;
	struct feed *feed = question->feed;
	uint64_t revision = question->revision;
	int about = question->about;

	LIST_REMOVE(question, entry);
	free(question);
	if (stream)
		stream->events->question = NULL;
	if (about == QUESTION_STREAM && stream) {
		if (items)
			take_page(stream, items, more, revision);
		else
			feed_stream_end(stream, FEED_UNREAD);
		return;
	}
	if (about == QUESTION_STREAM)
		return;
	if (!items) {
		feed->tail.asked = false;
		end_unread(feed);
		return;
	}
	if (about == QUESTION_NEWS) {
		take_news(feed, items, more, revision);
	} else {
		feed->tail.last = json_array_size(items) > 0 ? last_of(items) : 0;
		feed->tail.known = true;
	}
	if (feed->tail.again && feed->tail.known && !feed->tail.asked &&
	    feed->of_kind[FEED_EVENTS] > 0)
		ask_news(feed);
}

/* ---- streams ---- */

static void events_free(struct event_stream *events)
{
	for (int i = 0; events && i < TEXT_MAX; i++)
		free(events->text[i]);
	free(events);
}

static struct event_stream *events_new(const struct event_query *wanted)
{
	const char *const text[TEXT_MAX] = { wanted->kind, wanted->subject, wanted->actor,
					     wanted->action, wanted->customer };
	struct event_stream *events = calloc(1, sizeof(*events));
	bool failed = !events;

	for (int i = 0; !failed && i < TEXT_MAX; i++) {
		events->text[i] = text[i] ? strdup(text[i]) : NULL;
		failed = text[i] && !events->text[i];
	}
	if (failed) {
		events_free(events);
		return NULL;
	}
	events->last = wanted->after;
	events->revision = wanted->revision;
	events->limit = wanted->limit;
	events->resumes = wanted->forward;
	return events;
}

/* Where the news begin is asked before what there is, so that nothing lies between. */
static int ask_first(struct stream *stream)
{
	const struct event_query newest = { .limit = 1 };
	struct feed *feed = stream->feed;
	int r = 0;

	if (feed->of_kind[FEED_EVENTS] == 1) {
		feed->tail.known = false;
		r = ask(feed, NULL, QUESTION_ANCHOR, &newest);
	}
	return r < 0 ? r : ask_for(stream);
}

void feed_start_events(struct feed *feed, const struct state *state, struct http_request *request,
		       const struct event_query *wanted)
{
	/* Before the stream takes the request's place, and with it what wanted points to. */
	struct event_stream *events = events_new(wanted);
	struct error err = ERROR_INIT;
	struct stream *stream;

	if (!events) {
		error_set(&err, -ENOMEM, "internal", NULL, "out of memory");
		http_reply_error(request, &err);
		return;
	}
	stream = feed_open_stream(feed, state, request, FEED_EVENTS, NULL);
	if (!stream) {
		events_free(events);
		return;
	}
	stream->events = events;
	if (ask_first(stream) < 0)
		feed_stream_end(stream, FEED_UNREAD);
}

void feed_events_forget(struct stream *stream)
{
	struct event_stream *events = stream->events;

	if (!events)
		return;
	if (events->question)
		events->question->stream = NULL;
	events_free(events);
	stream->events = NULL;
}

void feed_events_clear(struct feed *feed)
{
	struct feed_question *question;

	while ((question = LIST_FIRST(&feed->tail.questions))) {
		LIST_REMOVE(question, entry);
		free(question);
	}
}
