/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Families of series in memory and their text. A family's series are found by a hash over their
 * label values. */
#include "lib/metrics.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#define HASH_NONFATAL_OOM 1
#define uthash_nonfatal_oom(element) \
	do {                         \
	} while (0)
#include <uthash.h>

struct series {
	char *key; /* label values, each with its terminating zero */
	size_t key_length;
	double value; /* of a histogram: the sum */
	uint64_t count;
	uint64_t *buckets; /* not cumulated; n_bounds of them */
	UT_hash_handle hh;
};

struct metric {
	struct metrics *owner;
	struct metric *next;
	enum metric_type type;
	char *name, *help;
	char *labels[METRIC_LABELS_MAX];
	size_t n_labels;
	double *bounds;
	size_t n_bounds;
	struct series *series;
	int (*write)(const char *name, struct metrics_cursor *cursor, struct evbuffer *out,
		     void *userdata); /* or NULL */
	void *userdata;
};

struct collector {
	struct collector *next;
	void (*collect)(void *userdata);
	void *userdata;
};

struct metrics {
	struct metric *first, **last;
	struct collector *collectors;
	struct metric *dropped;
};

static void series_free(struct series *series)
{
	free(series->key);
	free(series->buckets);
	free(series);
}

void metric_clear(struct metric *metric)
{
	struct series *series, *next;

	if (!metric)
		return;
	HASH_ITER (hh, metric->series, series, next) {
		HASH_DEL(metric->series, series);
		series_free(series);
	}
}

static void metric_free(struct metric *metric)
{
	metric_clear(metric);
	for (size_t i = 0; i < metric->n_labels; i++)
		free(metric->labels[i]);
	free(metric->bounds);
	free(metric->name);
	free(metric->help);
	free(metric);
}

int metrics_new(struct metrics **ret)
{
	struct metrics *metrics = calloc(1, sizeof(*metrics));

	if (!metrics)
		return -ENOMEM;
	metrics->last = &metrics->first;
	metrics->dropped =
		metrics_register(metrics, METRIC_COUNTER, "portico_metrics_dropped_series_total",
				 "Series over the limit of their family, not shown.", NULL);
	if (!metrics->dropped) {
		free(metrics);
		return -ENOMEM;
	}
	*ret = metrics;
	return 0;
}

void metrics_free(struct metrics *metrics)
{
	struct collector *collector;
	struct metric *metric;

	if (!metrics)
		return;
	while ((metric = metrics->first)) {
		metrics->first = metric->next;
		metric_free(metric);
	}
	while ((collector = metrics->collectors)) {
		metrics->collectors = collector->next;
		free(collector);
	}
	free(metrics);
}

int metrics_on_write(struct metrics *metrics, void (*collect)(void *userdata), void *userdata)
{
	struct collector *collector = calloc(1, sizeof(*collector));

	if (!collector)
		return -ENOMEM;
	*collector = (struct collector){ metrics->collectors, collect, userdata };
	metrics->collectors = collector;
	return 0;
}

/* The label values as one key; NULL when out of memory. */
static char *make_key(const struct metric *metric, const char *const *values, size_t *ret_length)
{
	size_t length = 0;
	char *key, *end;

	for (size_t i = 0; i < metric->n_labels; i++)
		length += strlen(values[i]) + 1;
	key = end = malloc(length + 1);
	if (!key)
		return NULL;
	for (size_t i = 0; i < metric->n_labels; i++) {
		size_t size = strlen(values[i]) + 1;

		memcpy(end, values[i], size);
		end += size;
	}
	*ret_length = length;
	return key;
}

static struct series *series_add(struct metric *metric, char *key, size_t length)
{
	struct series *series = calloc(1, sizeof(*series));

	if (!series) {
		free(key);
		return NULL;
	}
	series->key = key;
	series->key_length = length;
	if (metric->n_bounds > 0) {
		series->buckets = calloc(metric->n_bounds, sizeof(*series->buckets));
		if (!series->buckets) {
			series_free(series);
			return NULL;
		}
	}
	HASH_ADD_KEYPTR(hh, metric->series, series->key, series->key_length, series);
	if (!series->hh.tbl) {
		series_free(series);
		return NULL;
	}
	return series;
}

/* Finds or adds the series; NULL where memory or the limit on series says no. */
static struct series *series_get(struct metric *metric, const char *const *values)
{
	_cleanup_free_ char *key = NULL;
	struct series *series = NULL;
	size_t length;

	if (!metric)
		return NULL;
	key = make_key(metric, values, &length);
	if (!key)
		return NULL;
	HASH_FIND(hh, metric->series, key, length, series);
	if (series)
		return series;
	if (HASH_COUNT(metric->series) >= METRIC_SERIES_MAX) {
		metric_add(metric->owner->dropped, NULL, 1);
		return NULL;
	}
	return series_add(metric, TAKE_PTR(key), length);
}

static int metric_fill(struct metric *metric, const char *name, const char *help,
		       const char *const *labels, const double *bounds, size_t n_bounds)
{
	metric->name = strdup(name);
	metric->help = strdup(help);
	if (!metric->name || !metric->help)
		return -ENOMEM;
	for (; labels && labels[metric->n_labels]; metric->n_labels++) {
		if (metric->n_labels == METRIC_LABELS_MAX)
			return -EINVAL;
		metric->labels[metric->n_labels] = strdup(labels[metric->n_labels]);
		if (!metric->labels[metric->n_labels])
			return -ENOMEM;
	}
	if (n_bounds > 0) {
		metric->bounds = calloc(n_bounds, sizeof(*bounds));
		if (!metric->bounds)
			return -ENOMEM;
		memcpy(metric->bounds, bounds, n_bounds * sizeof(*bounds));
		metric->n_bounds = n_bounds;
	}
	return metric->n_labels > 0 || series_get(metric, NULL) ? 0 : -ENOMEM;
}

static struct metric *register_family(struct metrics *metrics, enum metric_type type,
				      const char *name, const char *help, const char *const *labels,
				      const double *bounds, size_t n_bounds)
{
	struct metric *metric = calloc(1, sizeof(*metric));

	if (!metric)
		return NULL;
	metric->owner = metrics;
	metric->type = type;
	if (metric_fill(metric, name, help, labels, bounds, n_bounds) < 0) {
		metric_free(metric);
		return NULL;
	}
	*metrics->last = metric;
	metrics->last = &metric->next;
	return metric;
}

struct metric *metrics_register(struct metrics *metrics, enum metric_type type, const char *name,
				const char *help, const char *const *labels)
{
	return register_family(metrics, type, name, help, labels, NULL, 0);
}

struct metric *metrics_register_histogram(struct metrics *metrics, const char *name,
					  const char *help, const char *const *labels,
					  const double *bounds, size_t n_bounds)
{
	return register_family(metrics, METRIC_HISTOGRAM, name, help, labels, bounds, n_bounds);
}

struct metric *metrics_register_written(struct metrics *metrics, enum metric_type type,
					const char *name, const char *help,
					int (*write)(const char *name,
						     struct metrics_cursor *cursor,
						     struct evbuffer *out, void *userdata),
					void *userdata)
{
	struct metric *metric = register_family(metrics, type, name, help, NULL, NULL, 0);

	if (metric) {
		metric_clear(metric); /* the series that a family without labels begins with */
		metric->write = write;
		metric->userdata = userdata;
	}
	return metric;
}

void metric_add(struct metric *metric, const char *const *values, double delta)
{
	struct series *series = series_get(metric, values);

	if (series)
		series->value += delta;
}

void metric_set(struct metric *metric, const char *const *values, double value)
{
	struct series *series = series_get(metric, values);

	if (series)
		series->value = value;
}

void metric_observe(struct metric *metric, const char *const *values, double value)
{
	struct series *series = series_get(metric, values);

	if (!series)
		return;
	series->value += value;
	series->count++;
	for (size_t i = 0; i < metric->n_bounds; i++) {
		if (value <= metric->bounds[i]) {
			series->buckets[i]++;
			return;
		}
	}
}

double metric_value(const struct metric *metric, const char *const *values)
{
	_cleanup_free_ char *key = NULL;
	struct series *series = NULL;
	size_t length;

	key = metric ? make_key(metric, values, &length) : NULL;
	if (key)
		HASH_FIND(hh, metric->series, key, length, series);
	return series ? series->value : 0;
}

/* ---- text ---- */

static int put(struct evbuffer *out, const char *text)
{
	return evbuffer_add(out, text, strlen(text)) < 0 ? -ENOMEM : 0;
}

/* Label values escape backslash, newline and the quote; help texts not the quote. */
static int put_escaped(struct evbuffer *out, const char *text, bool quote)
{
	int r = 0;

	for (const char *c = text; *c && r == 0; c++) {
		if (*c == '\\')
			r = put(out, "\\\\");
		else if (*c == '\n')
			r = put(out, "\\n");
		else if (*c == '"' && quote)
			r = put(out, "\\\"");
		else
			r = evbuffer_add(out, c, 1) < 0 ? -ENOMEM : 0;
	}
	return r;
}

static int put_number(struct evbuffer *out, double value)
{
	char text[40];

	if (isnan(value))
		return put(out, "NaN");
	if (isinf(value))
		return put(out, value > 0 ? "+Inf" : "-Inf");
	/* Counters of bytes stay exact up to 2^53; a fraction as people write it: 0.00025. */
	snprintf(text, sizeof(text),
		 fabs(value) < 9007199254740992.0 && value == floor(value) ? "%.0f" : "%.15g",
		 value);
	return put(out, text);
}

/* name[suffix]{labels[,le="…"]} value */
static int put_sample(struct evbuffer *out, const struct metric *metric, const char *suffix,
		      const struct series *series, const double *le, double value)
{
	const char *label_value = series->key;
	bool open = false;
	int r = put(out, metric->name) | put(out, suffix);

	for (size_t i = 0; i < metric->n_labels; i++) {
		r |= put(out, open ? "," : "{") | put(out, metric->labels[i]) | put(out, "=\"");
		r |= put_escaped(out, label_value, true) | put(out, "\"");
		label_value += strlen(label_value) + 1;
		open = true;
	}
	if (le) {
		r |= put(out, open ? ",le=\"" : "{le=\"") | put_number(out, *le) | put(out, "\"");
		open = true;
	}
	r |= put(out, open ? "} " : " ") | put_number(out, value) | put(out, "\n");
	return r == 0 ? 0 : -ENOMEM;
}

static int put_histogram(struct evbuffer *out, const struct metric *metric,
			 const struct series *series)
{
	const double infinity = INFINITY;
	uint64_t below = 0;
	int r = 0;

	for (size_t i = 0; i < metric->n_bounds && r == 0; i++) {
		below += series->buckets[i];
		r = put_sample(out, metric, "_bucket", series, &metric->bounds[i], (double)below);
	}
	if (r == 0)
		r = put_sample(out, metric, "_bucket", series, &infinity, (double)series->count);
	if (r == 0)
		r = put_sample(out, metric, "_sum", series, NULL, series->value);
	if (r == 0)
		r = put_sample(out, metric, "_count", series, NULL, (double)series->count);
	return r;
}

static int put_head(struct evbuffer *out, const struct metric *metric)
{
	static const char *const types[] = {
		[METRIC_COUNTER] = "counter",
		[METRIC_GAUGE] = "gauge",
		[METRIC_HISTOGRAM] = "histogram",
	};
	int r;

	r = put(out, "# HELP ") | put(out, metric->name) | put(out, " ");
	r |= put_escaped(out, metric->help, false) | put(out, "\n# TYPE ");
	r |= put(out, metric->name) | put(out, " ") | put(out, types[metric->type]) |
	     put(out, "\n");
	return r == 0 ? 0 : -ENOMEM;
}

static int put_series(struct evbuffer *out, const struct metric *metric)
{
	struct series *series, *next;
	int r = 0;

	HASH_ITER (hh, metric->series, series, next) {
		r |= metric->type == METRIC_HISTOGRAM
			     ? put_histogram(out, metric, series)
			     : put_sample(out, metric, "", series, NULL, series->value);
	}
	return r == 0 ? 0 : -ENOMEM;
}

static void release_data(struct metrics_cursor *cursor)
{
	if (cursor->release)
		cursor->release(cursor->data);
	*cursor = (struct metrics_cursor){ 0 };
}

void metrics_scrape_begin(struct metrics_scrape *scrape, const struct metrics *metrics)
{
	for (struct collector *c = metrics->collectors; c; c = c->next)
		c->collect(c->userdata);
	*scrape = (struct metrics_scrape){ .family = metrics->first };
}

static void go_on(struct metrics_scrape *scrape)
{
	const struct metric *last = scrape->family;

	scrape->family = last->next;
	scrape->begun = false;
	scrape->cursor.index = 0;
	if (!last->next || last->next->userdata != last->userdata)
		release_data(&scrape->cursor);
}

/* 1: the family has more lines. */
static int put_some(struct metrics_scrape *scrape, struct evbuffer *out)
{
	const struct metric *metric = scrape->family;
	int r = scrape->begun ? 0 : put_head(out, metric);

	if (r < 0)
		return r;
	scrape->begun = true;
	return metric->write ? metric->write(metric->name, &scrape->cursor, out, metric->userdata)
			     : put_series(out, metric);
}

int metrics_scrape_next(struct metrics_scrape *scrape, size_t bytes, struct evbuffer *out)
{
	size_t begin = evbuffer_get_length(out);

	while (scrape->family && evbuffer_get_length(out) - begin < bytes) {
		int r = put_some(scrape, out);

		if (r < 0)
			return r;
		if (r == 0)
			go_on(scrape);
	}
	return scrape->family != NULL;
}

void metrics_scrape_end(struct metrics_scrape *scrape)
{
	release_data(&scrape->cursor);
}

int metrics_write(struct metrics *metrics, struct evbuffer *out)
{
	struct metrics_scrape scrape;
	int r;

	metrics_scrape_begin(&scrape, metrics);
	r = metrics_scrape_next(&scrape, SIZE_MAX, out);
	metrics_scrape_end(&scrape);
	return r;
}
