/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Prometheus text metrics (exposition format 0.0.4): a registry of families, written in the
 * order of registration. Names follow Prometheus' rules: base units, _total for counters.
 */
#pragma once

#include <event2/buffer.h>

#include "lib/util.h"

struct metrics;
struct metric;

enum metric_type {
	METRIC_COUNTER,
	METRIC_GAUGE,
	METRIC_HISTOGRAM,
};

#define METRIC_LABELS_MAX 4
/* Series of one family; further label values are dropped and counted in
 * portico_metrics_dropped_series_total. */
#define METRIC_SERIES_MAX 10000

int metrics_new(struct metrics **ret) _must_check_;
void metrics_free(struct metrics *metrics); /* NULL is fine */

/* Registers a family. name and help are copied; labels is a NULL-terminated array of label
 * names (copied) or NULL. A family without labels is written from the start with value 0. NULL when
 * out of memory; a NULL metric is accepted by every call below. Belongs to the registry. */
struct metric *metrics_register(struct metrics *metrics, enum metric_type type, const char *name,
				const char *help, const char *const *labels);
/* A histogram with these upper bounds (ascending, copied); +Inf is added. */
struct metric *metrics_register_histogram(struct metrics *metrics, const char *name,
					  const char *help, const char *const *labels,
					  const double *bounds, size_t n_bounds);

/* Where a family that its owner writes has got to. */
struct metrics_cursor {
	size_t index; /* the owner's; 0 at the beginning of each family */
	/* The owner's for one scrape, over all its families, which are registered in a row. */
	void *data;
	void (*release)(void *data);
};

/* A family of very many series, whose owner writes them itself: write appends some whole lines,
 * each of name, labels and value. 1: there are more, 0: these were the last, -ENOMEM. */
struct metric *metrics_register_written(struct metrics *metrics, enum metric_type type,
					const char *name, const char *help,
					int (*write)(const char *name,
						     struct metrics_cursor *cursor,
						     struct evbuffer *out, void *userdata),
					void *userdata);

/* values has one string for each label (NULL for a family without labels). Strings are copied and
 * escaped. */
void metric_add(struct metric *metric, const char *const *values, double delta);
void metric_set(struct metric *metric, const char *const *values, double value);
void metric_observe(struct metric *metric, const char *const *values, double value);
/* Forgets all series of a family: for gauges by subject, before they are set anew. */
void metric_clear(struct metric *metric);
double metric_value(const struct metric *metric, const char *const *values);

/* collect runs at the start of each scrape, to set what is read from elsewhere. */
int metrics_on_write(struct metrics *metrics, void (*collect)(void *userdata), void *userdata)
	_must_check_;

/* All families, piece by piece. Families must not be registered meanwhile, and the registry must
 * outlive it but for metrics_scrape_end. */
struct metrics_scrape {
	const struct metric *family; /* that is written next, or at its lines */
	bool begun;                  /* its head is written */
	struct metrics_cursor cursor;
};
void metrics_scrape_begin(struct metrics_scrape *scrape, const struct metrics *metrics);
/* Appends this many bytes or more. 1: there is more, 0: that was all; -ENOMEM. */
int metrics_scrape_next(struct metrics_scrape *scrape, size_t bytes, struct evbuffer *out)
	_must_check_;
void metrics_scrape_end(struct metrics_scrape *scrape);

/* Appends all families to out. -ENOMEM. */
int metrics_write(struct metrics *metrics, struct evbuffer *out) _must_check_;
#define METRICS_CONTENT_TYPE "text/plain; version=0.0.4; charset=utf-8"

DEFINE_CLEANUP(struct metrics *, metrics_free, cleanup_metrics)
