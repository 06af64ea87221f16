/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The series of each mapping, or of those with most traffic: counters as they are at one moment,
 * and their lines of a scrape.
 */
#include "gatewayd/mapping_series.h"

#include <errno.h>
#include <string.h>

#include "gatewayd/shape.h"
#include "lib/text.h"

/* Lines are put together in pieces of this size. */
#define PIECE_BYTES ((size_t)128 << 10)
/* Name, labels with the longest names and addresses, direction, number; and two of them. */
#define LINE_BYTES_MAX 512
#define LINES_BYTES_MAX (2 * (size_t)LINE_BYTES_MAX)
#define LABELS_BYTES_MAX 320

/* A mapping that is written: its labels without the closing brace, and its counters. */
struct row {
	size_t labels, length; /* within the text of all labels */
	struct totals totals;
};

struct candidate {
	double activity;
	const struct entry *entry;
};

struct mapping_series {
	struct mapping_series_view view;
	struct row *rows; /* owned, as is labels */
	size_t n_rows;
	char *labels;
	size_t n_labels, allocated;
	struct address last; /* whose text is in address: most mappings have the same */
	char address[ADDRESS_STRING_MAX];
};

/* ---- rows ---- */

/* Addresses, protocols and names have no character that would need escaping. */
static void put_labels(struct text *text, const char *address, const struct entry *entry)
{
	const char *protocol = protocol_name(entry->key.protocol);
	struct shape_label label;

	shape_label_parse(entry->label, &label);
	TEXT_PUT(text, "{address=\"");
	text_put(text, address, strlen(address));
	TEXT_PUT(text, "\",protocol=\"");
	text_put(text, protocol, strlen(protocol));
	TEXT_PUT(text, "\",port=\"");
	text_put_number(text, entry->key.port);
	if (label.environment[0]) {
		TEXT_PUT(text, "\",environment=\"");
		text_put(text, label.environment, strlen(label.environment));
	}
	if (label.service[0]) {
		TEXT_PUT(text, "\",service=\"");
		text_put(text, label.service, strlen(label.service));
	}
	TEXT_PUT(text, "\"");
}

static int reserve_labels(struct mapping_series *series)
{
	size_t wanted = 2 * series->allocated + 64 * (size_t)LABELS_BYTES_MAX;
	char *grown;

	if (series->allocated - series->n_labels >= LABELS_BYTES_MAX)
		return 0;
	grown = realloc(series->labels, wanted);
	if (!grown)
		return -ENOMEM;
	series->labels = grown;
	series->allocated = wanted;
	return 0;
}

static int add_row(struct mapping_series *series, const struct entry *entry)
{
	const struct flow_table *flows = accounting_table(series->view.accounting);
	const struct account *account = flow_table_account(flows, &entry->key, NULL);
	struct row *row = &series->rows[series->n_rows];
	struct text text;
	int r = reserve_labels(series);

	if (r < 0)
		return r;
	if (!address_equal(&series->last, &entry->key.address)) {
		series->last = entry->key.address;
		(void)address_format(&entry->key.address, series->address);
	}
	text = (struct text){ .data = series->labels + series->n_labels };
	put_labels(&text, series->address, entry);
	row->labels = series->n_labels;
	row->length = text.n;
	row->totals = account ? account->totals : (struct totals){ 0 };
	series->n_labels += text.n;
	series->n_rows++;
	return 0;
}

static int add_all(struct mapping_series *series)
{
	const struct entry *entry;
	size_t index = 0;
	int r = 0;

	while (r == 0 && (entry = ledger_next(series->view.ledger, &index)))
		if (entry->flags & ENTRY_DESIRED)
			r = add_row(series, entry);
	return r;
}

static int compare_candidates(const void *a, const void *b)
{
	const struct candidate *left = a, *right = b;

	if (left->activity != right->activity)
		return left->activity < right->activity ? 1 : -1;
	return mapping_key_compare(&left->entry->key, &right->entry->key);
}

static int add_top(struct mapping_series *series)
{
	const struct flow_table *flows = accounting_table(series->view.accounting);
	_cleanup_free_ struct candidate *candidates =
		calloc(flows->store.account_pool.used + 1, sizeof(*candidates));
	size_t n = 0;
	int r = 0;

	if (!candidates)
		return -ENOMEM;
	for (uint32_t i = 0; i < flows->store.account_pool.used; i++) {
		const struct account *account = &flows->store.accounts[i];
		const struct entry *entry =
			account->state == ACCOUNT_OPEN
				? ledger_find(series->view.ledger, &account->key)
				: NULL;

		if (!entry || !(entry->flags & ENTRY_DESIRED))
			continue;
		candidates[n].activity = flow_table_activity(flows, i);
		candidates[n++].entry = entry;
	}
	qsort(candidates, n, sizeof(*candidates), compare_candidates);
	for (size_t i = 0; i < MIN(n, series->view.limit) && r == 0; i++)
		r = add_row(series, candidates[i].entry);
	return r;
}

int mapping_series_new(struct mapping_series **ret, const struct mapping_series_view *view)
{
	_cleanup_(cleanup_mapping_series) struct mapping_series *series =
		calloc(1, sizeof(*series));
	int r;

	if (!series)
		return -ENOMEM;
	series->view = *view;
	series->rows = reallocarray(NULL, MIN(view->limit, view->ledger->n_desired) + 1,
				    sizeof(*series->rows));
	if (!series->rows)
		return -ENOMEM;
	r = view->ledger->n_desired <= view->limit ? add_all(series) : add_top(series);
	if (r < 0)
		return r;
	*ret = TAKE_PTR(series);
	return 0;
}

void mapping_series_free(struct mapping_series *series)
{
	if (!series)
		return;
	free(series->rows);
	free(series->labels);
	free(series);
}

/* ---- lines ---- */

struct line {
	const char *name, *labels;
	size_t name_length, labels_length;
};

static void put_line(struct text *text, const struct line *line, const char *end, size_t end_length,
		     uint64_t value)
{
	text_put(text, line->name, line->name_length);
	text_put(text, line->labels, line->labels_length);
	text_put(text, end, end_length);
	text_put_number(text, value);
	TEXT_PUT(text, "\n");
}
#define PUT_LINE(text, line, end, value) put_line(text, line, end, sizeof(end) - 1, value)

static void put_directions(struct text *text, const struct line *line,
			   const uint64_t counts[CT_DIRECTION_MAX])
{
	PUT_LINE(text, line, ",direction=\"in\"} ", counts[CT_IN]);
	PUT_LINE(text, line, ",direction=\"out\"} ", counts[CT_OUT]);
}

static void put_row(struct text *text, const struct line *line, enum mapping_count count,
		    const struct totals *totals)
{
	switch (count) {
	case MAPPING_BYTES:
		put_directions(text, line, totals->traffic.bytes);
		break;
	case MAPPING_PACKETS:
		put_directions(text, line, totals->traffic.packets);
		break;
	case MAPPING_CONNECTIONS:
		PUT_LINE(text, line, "} ", totals->connections);
		break;
	}
}

int mapping_series_write(const struct mapping_series *series, enum mapping_count count,
			 const char *name, size_t *index, struct evbuffer *out)
{
	struct line line = { .name = name, .name_length = strlen(name) };
	struct evbuffer_iovec room;
	struct text text = { 0 };

	if (*index == series->n_rows)
		return 0;
	if (evbuffer_reserve_space(out, (ev_ssize_t)(PIECE_BYTES + LINES_BYTES_MAX), &room, 1) < 1)
		return -ENOMEM;
	text.data = room.iov_base;
	while (*index < series->n_rows && text.n < PIECE_BYTES) {
		const struct row *row = &series->rows[(*index)++];

		line.labels = series->labels + row->labels;
		line.labels_length = row->length;
		put_row(&text, &line, count, &row->totals);
	}
	room.iov_len = text.n;
	if (evbuffer_commit_space(out, &room, 1) < 0)
		return -ENOMEM;
	return *index < series->n_rows;
}
