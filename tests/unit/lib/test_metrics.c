/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Scrapes piece by piece: of families whose owner writes them, and of several at a time. */
#include "lib/metrics.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define LINES 10

/* An owner of two families, whose lines have the number that it had when their scrape began. */
struct owner {
	int number;
	unsigned made, released;
};

struct snapshot {
	struct owner *owner;
	int number;
};

static void release(void *data)
{
	struct snapshot *snapshot = data;

	snapshot->owner->released++;
	free(snapshot);
}

static int write_line(const char *name, struct metrics_cursor *cursor, struct evbuffer *out,
		      void *userdata)
{
	struct owner *owner = userdata;
	struct snapshot *snapshot = cursor->data;

	if (!snapshot) {
		snapshot = malloc(sizeof(*snapshot));
		cr_assert_not_null(snapshot);
		*snapshot = (struct snapshot){ owner, owner->number };
		cursor->data = snapshot;
		cursor->release = release;
		owner->made++;
	}
	cr_assert_gt(evbuffer_add_printf(out, "%s{line=\"%zu\"} %d\n", name, cursor->index,
					 snapshot->number),
		     0);
	return ++cursor->index < LINES;
}

static struct metrics *make(struct owner *owner)
{
	struct metrics *metrics;

	cr_assert_eq(metrics_new(&metrics), 0);
	(void)metrics_register(metrics, METRIC_GAUGE, "before", "Before", NULL);
	(void)metrics_register_written(metrics, METRIC_COUNTER, "first", "First", write_line,
				       owner);
	(void)metrics_register_written(metrics, METRIC_COUNTER, "second", "Second", write_line,
				       owner);
	(void)metrics_register(metrics, METRIC_GAUGE, "behind", "Behind", NULL);
	return metrics;
}

static char *text_of(struct evbuffer *buffer)
{
	cr_assert_eq(evbuffer_add(buffer, "", 1), 0);
	return (char *)evbuffer_pullup(buffer, -1);
}

Test(metrics, a_scrape_in_pieces_is_the_same_as_one_at_once)
{
	struct owner owner = { .number = 7 };
	_cleanup_(cleanup_metrics) struct metrics *metrics = make(&owner);
	struct evbuffer *whole = evbuffer_new(), *pieces = evbuffer_new();
	struct metrics_scrape scrape;
	unsigned n = 1;
	int r;

	cr_assert_eq(metrics_write(metrics, whole), 0);
	cr_assert_eq(owner.released, 1);
	metrics_scrape_begin(&scrape, metrics);
	while ((r = metrics_scrape_next(&scrape, 1, pieces)) > 0)
		n++;
	cr_assert_eq(r, 0);
	metrics_scrape_end(&scrape);
	cr_assert_geq(n, 2 * LINES);
	cr_assert_str_eq(text_of(pieces), text_of(whole));
	cr_assert(strstr(text_of(whole), "# TYPE second counter\nsecond{line=\"0\"} 7\n"));
	cr_assert(strstr(text_of(whole), "second{line=\"9\"} 7\n# HELP behind Behind\n"));
	cr_assert_eq(owner.made, 2);
	cr_assert_eq(owner.released, 2, "one set for both families, and not for longer");
	evbuffer_free(whole);
	evbuffer_free(pieces);
}

Test(metrics, scrapes_at_one_time_do_not_see_each_other)
{
	struct owner owner = { .number = 1 };
	_cleanup_(cleanup_metrics) struct metrics *metrics = make(&owner);
	struct evbuffer *first = evbuffer_new(), *second = evbuffer_new();
	struct metrics_scrape begun, later;

	metrics_scrape_begin(&begun, metrics);
	while (owner.made == 0)
		cr_assert_eq(metrics_scrape_next(&begun, 1, first), 1);
	owner.number = 2;
	metrics_scrape_begin(&later, metrics);
	cr_assert_eq(metrics_scrape_next(&later, SIZE_MAX, second), 0);
	cr_assert_eq(metrics_scrape_next(&begun, SIZE_MAX, first), 0);
	cr_assert(strstr(text_of(second), "second{line=\"9\"} 2\n"));
	cr_assert(strstr(text_of(first), "second{line=\"9\"} 1\n"));
	metrics_scrape_end(&begun);
	metrics_scrape_end(&later);
	cr_assert_eq(owner.released, 2);
	evbuffer_free(first);
	evbuffer_free(second);
}

Test(metrics, a_scrape_may_end_anywhere)
{
	struct owner owner = { .number = 1 };
	_cleanup_(cleanup_metrics) struct metrics *metrics = make(&owner);
	struct evbuffer *out = evbuffer_new();
	struct metrics_scrape scrape;

	metrics_scrape_begin(&scrape, metrics);
	while (owner.made == 0)
		cr_assert_eq(metrics_scrape_next(&scrape, 1, out), 1);
	metrics_scrape_end(&scrape);
	cr_assert_eq(owner.released, 1);
	evbuffer_free(out);
}

Test(metrics, a_number_is_written_as_people_write_it)
{
	static const double bounds[] = { 0.00005, 0.00025, 0.1, 2.5 };
	_cleanup_(cleanup_metrics) struct metrics *metrics = NULL;
	struct evbuffer *out = evbuffer_new();
	struct metric *bytes, *seconds;
	const char *text;

	cr_assert_eq(metrics_new(&metrics), 0);
	bytes = metrics_register(metrics, METRIC_COUNTER, "bytes", "Bytes", NULL);
	seconds = metrics_register_histogram(metrics, "seconds", "Seconds", NULL, bounds,
					     ARRAY_SIZE(bounds));
	metric_set(bytes, NULL, 9007199254740991.0);
	metric_observe(seconds, NULL, 0.1);
	metric_observe(seconds, NULL, 0.2);
	cr_assert_eq(metrics_write(metrics, out), 0);
	text = text_of(out);
	cr_expect(strstr(text, "\nbytes 9007199254740991\n"), "%s", text);
	cr_expect(strstr(text, "{le=\"5e-05\"} 0\n"), "%s", text);
	cr_expect(strstr(text, "{le=\"0.00025\"} 0\n"), "%s", text);
	cr_expect(strstr(text, "{le=\"0.1\"} 1\n"), "%s", text);
	cr_expect(strstr(text, "{le=\"2.5\"} 2\n"), "%s", text);
	cr_expect(strstr(text, "\nseconds_sum 0.3\n"), "%s", text);
	evbuffer_free(out);
}
