/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The metrics of traffic: series for each mapping, or for those with most traffic, and sums of the
 * gateway. They are written from memory, and fast.
 */
#include "gatewayd/traffic_metrics.h"

#include <errno.h>
#include <string.h>

#include "gatewayd/shape.h"

/* Lines are put together in pieces of this size. */
#define PIECE_BYTES ((size_t)1 << 20)
/* Name, labels with the longest names and addresses, direction, number. */
#define LINE_MAX_BYTES 512
#define LABELS_MAX_BYTES 320
#define DIRECTION_IN ",direction=\"in\"} "
#define DIRECTION_OUT ",direction=\"out\"} "

/* A mapping that is written: its labels without the closing brace, and its counters. */
struct row {
	size_t labels, length; /* within the text of all labels */
	struct totals totals;
};

struct candidate {
	double activity;
	const struct entry *entry;
};

struct traffic_metrics {
	const struct accounting *accounting;
	const struct ledger *ledger;
	size_t limit;
	struct row *rows; /* owned, as is labels; of the scrape that is being written */
	size_t n_rows;
	char *labels;
	size_t n_labels, labels_allocated;
	struct address last_address; /* whose text is in address: most mappings have the same */
	char address[ADDRESS_STRING_MAX];
	struct metric *bytes, *packets, *connections, *sessions, *entries, *entries_limit,
		*insert_failed, *drop, *early_drop, *age, *rounds, *failures, *cpu, *overruns,
		*untracked;
};

/* ---- text: by hand, since printf would take most of a scrape's time ---- */

struct text {
	char *data; /* borrowed, with room for what is put */
	size_t n;
};

static void put(struct text *text, const char *data, size_t length)
{
	memcpy(text->data + text->n, data, length);
	text->n += length;
}
#define PUT(text, literal) put(text, literal, sizeof(literal) - 1)

static void put_number(struct text *text, uint64_t value)
{
	char digits[20];
	size_t n = sizeof(digits);

	do
		digits[--n] = (char)('0' + value % 10);
	while ((value /= 10) > 0);
	put(text, digits + n, sizeof(digits) - n);
}

/* Addresses, protocols and names have no character that would need escaping. */
static void put_labels(struct text *text, const struct traffic_metrics *metrics,
		       const struct entry *entry)
{
	const char *protocol = protocol_name(entry->key.protocol);
	struct shape_label label;

	shape_label_parse(entry->label, &label);
	PUT(text, "{address=\"");
	put(text, metrics->address, strlen(metrics->address));
	PUT(text, "\",protocol=\"");
	put(text, protocol, strlen(protocol));
	PUT(text, "\",port=\"");
	put_number(text, entry->key.port);
	if (label.environment[0]) {
		PUT(text, "\",environment=\"");
		put(text, label.environment, strlen(label.environment));
	}
	if (label.service[0]) {
		PUT(text, "\",service=\"");
		put(text, label.service, strlen(label.service));
	}
	PUT(text, "\"");
}

/* ---- rows ---- */

static int reserve_labels(struct traffic_metrics *metrics)
{
	size_t wanted = 2 * metrics->labels_allocated + 64 * LABELS_MAX_BYTES;
	char *grown;

	if (metrics->labels_allocated - metrics->n_labels >= LABELS_MAX_BYTES)
		return 0;
	grown = realloc(metrics->labels, wanted);
	if (!grown)
		return -ENOMEM;
	metrics->labels = grown;
	metrics->labels_allocated = wanted;
	return 0;
}

static int add_row(struct traffic_metrics *metrics, const struct entry *entry)
{
	const struct flow_table *flows = accounting_table(metrics->accounting);
	const struct account *account = flow_table_account(flows, &entry->key, NULL);
	struct row *row = &metrics->rows[metrics->n_rows];
	struct text text;
	int r = reserve_labels(metrics);

	if (r < 0)
		return r;
	if (!address_equal(&metrics->last_address, &entry->key.address)) {
		metrics->last_address = entry->key.address;
		(void)address_format(&entry->key.address, metrics->address);
	}
	text = (struct text){ .data = metrics->labels + metrics->n_labels };
	put_labels(&text, metrics, entry);
	row->labels = metrics->n_labels;
	row->length = text.n;
	row->totals = account ? account->totals : (struct totals){ 0 };
	metrics->n_labels += text.n;
	metrics->n_rows++;
	return 0;
}

static int add_all(struct traffic_metrics *metrics)
{
	const struct entry *entry;
	size_t index = 0;
	int r = 0;

	while (r == 0 && (entry = ledger_next(metrics->ledger, &index)))
		if (entry->flags & ENTRY_DESIRED)
			r = add_row(metrics, entry);
	return r;
}

static int compare_candidates(const void *a, const void *b)
{
	const struct candidate *left = a, *right = b;

	if (left->activity != right->activity)
		return left->activity < right->activity ? 1 : -1;
	return mapping_key_compare(&left->entry->key, &right->entry->key);
}

static int add_top(struct traffic_metrics *metrics)
{
	const struct flow_table *flows = accounting_table(metrics->accounting);
	_cleanup_free_ struct candidate *candidates =
		calloc(flows->store.account_pool.used + 1, sizeof(*candidates));
	size_t n = 0;
	int r = 0;

	if (!candidates)
		return -ENOMEM;
	for (uint32_t i = 0; i < flows->store.account_pool.used; i++) {
		const struct account *account = &flows->store.accounts[i];
		const struct entry *entry = account->state == ACCOUNT_OPEN
						    ? ledger_find(metrics->ledger, &account->key)
						    : NULL;

		if (!entry || !(entry->flags & ENTRY_DESIRED))
			continue;
		candidates[n].activity = flow_table_activity(flows, i);
		candidates[n++].entry = entry;
	}
	qsort(candidates, n, sizeof(*candidates), compare_candidates);
	for (size_t i = 0; i < MIN(n, metrics->limit) && r == 0; i++)
		r = add_row(metrics, candidates[i].entry);
	return r;
}

static void make_rows(struct traffic_metrics *metrics)
{
	size_t wanted = MIN(metrics->limit, metrics->ledger->n_desired);
	int r;

	free(metrics->rows);
	metrics->n_rows = metrics->n_labels = 0;
	metrics->rows = reallocarray(NULL, wanted + 1, sizeof(*metrics->rows));
	if (!metrics->rows || wanted == 0)
		return;
	r = metrics->ledger->n_desired <= metrics->limit ? add_all(metrics) : add_top(metrics);
	if (r < 0)
		metrics->n_rows = 0; /* no series rather than some of them */
}

/* ---- lines ---- */

struct writer {
	struct evbuffer *out;
	struct evbuffer_iovec piece;
	struct text text; /* in the piece */
};

static int writer_flush(struct writer *writer)
{
	if (writer->text.n == 0)
		return 0;
	writer->piece.iov_len = writer->text.n;
	writer->text.n = 0;
	return evbuffer_commit_space(writer->out, &writer->piece, 1) < 0 ? -ENOMEM : 0;
}

static int writer_reserve(struct writer *writer)
{
	int r;

	if (writer->text.data && writer->piece.iov_len - writer->text.n >= LINE_MAX_BYTES)
		return 0;
	r = writer_flush(writer);
	if (r < 0)
		return r;
	if (evbuffer_reserve_space(writer->out, (ev_ssize_t)PIECE_BYTES, &writer->piece, 1) < 1)
		return -ENOMEM;
	writer->text.data = writer->piece.iov_base;
	return 0;
}

static int put_line(struct writer *writer, const struct traffic_metrics *metrics,
		    const struct row *row, const char *name, const char *end, uint64_t value)
{
	int r = writer_reserve(writer);

	if (r < 0)
		return r;
	put(&writer->text, name, strlen(name));
	put(&writer->text, metrics->labels + row->labels, row->length);
	put(&writer->text, end, strlen(end));
	put_number(&writer->text, value);
	PUT(&writer->text, "\n");
	return 0;
}

/* One count of each row, by direction. */
static int write_directions(const char *name, struct evbuffer *out,
			    const struct traffic_metrics *metrics,
			    const uint64_t *(*counts)(const struct traffic *traffic))
{
	struct writer writer = { .out = out };
	int r = 0;

	for (size_t i = 0; i < metrics->n_rows && r == 0; i++) {
		const struct row *row = &metrics->rows[i];
		const uint64_t *count = counts(&row->totals.traffic);

		r = put_line(&writer, metrics, row, name, DIRECTION_IN, count[CT_IN]);
		if (r == 0)
			r = put_line(&writer, metrics, row, name, DIRECTION_OUT, count[CT_OUT]);
	}
	return r < 0 ? r : writer_flush(&writer);
}

static const uint64_t *bytes_of(const struct traffic *traffic)
{
	return traffic->bytes;
}

static const uint64_t *packets_of(const struct traffic *traffic)
{
	return traffic->packets;
}

static int write_bytes(const char *name, struct evbuffer *out, void *userdata)
{
	return write_directions(name, out, userdata, bytes_of);
}

static int write_packets(const char *name, struct evbuffer *out, void *userdata)
{
	return write_directions(name, out, userdata, packets_of);
}

/* The last of the three: what they were written from is not needed any more. */
static int write_connections(const char *name, struct evbuffer *out, void *userdata)
{
	struct traffic_metrics *metrics = userdata;
	struct writer writer = { .out = out };
	int r = 0;

	for (size_t i = 0; i < metrics->n_rows && r == 0; i++)
		r = put_line(&writer, metrics, &metrics->rows[i], name, "} ",
			     metrics->rows[i].totals.connections);
	if (r == 0)
		r = writer_flush(&writer);
	free(metrics->rows);
	free(metrics->labels);
	metrics->rows = NULL;
	metrics->labels = NULL;
	metrics->n_rows = metrics->n_labels = metrics->labels_allocated = 0;
	return r;
}

/* ---- sums ---- */

static void set(struct metric *metric, double value)
{
	metric_set(metric, NULL, value);
}

static void set_by_direction(struct metric *metric, const uint64_t values[CT_DIRECTION_MAX])
{
	static const char *const names[CT_DIRECTION_MAX] = { [CT_IN] = "in", [CT_OUT] = "out" };

	for (int d = 0; d < CT_DIRECTION_MAX; d++)
		metric_set(metric, (const char *const[]){ names[d] }, (double)values[d]);
}

static void collect(void *userdata)
{
	struct traffic_metrics *metrics = userdata;
	struct accounting_status status;

	accounting_status(metrics->accounting, &status);
	set_by_direction(metrics->bytes, status.totals.traffic.bytes);
	set_by_direction(metrics->packets, status.totals.traffic.packets);
	set(metrics->connections, (double)status.totals.connections);
	set(metrics->sessions, (double)status.sessions);
	set(metrics->entries, (double)status.conntrack.entries);
	set(metrics->entries_limit, (double)status.conntrack.limit);
	set(metrics->insert_failed, (double)status.conntrack.insert_failed);
	set(metrics->drop, (double)status.conntrack.drop);
	set(metrics->early_drop, (double)status.conntrack.early_drop);
	set(metrics->age, MAX(status.age_seconds, 0.0));
	set(metrics->rounds, (double)status.collector.rounds);
	set(metrics->failures, (double)status.collector.failures);
	set(metrics->cpu, status.collector.cpu_seconds);
	set(metrics->overruns, (double)status.event_overruns);
	set(metrics->untracked, (double)status.untracked);
	make_rows(metrics);
}

static void register_sums(struct traffic_metrics *t, struct metrics *metrics)
{
	static const char *const by_direction[] = { "direction", NULL };

	t->bytes = metrics_register(metrics, METRIC_COUNTER, "portico_gateway_bytes_total",
				    "Bytes of all mappings, in from clients and out to them",
				    by_direction);
	t->packets = metrics_register(metrics, METRIC_COUNTER, "portico_gateway_packets_total",
				      "Packets of all mappings, in from clients and out to them",
				      by_direction);
	t->connections =
		metrics_register(metrics, METRIC_COUNTER, "portico_gateway_connections_total",
				 "Connections of all mappings", NULL);
	t->sessions = metrics_register(metrics, METRIC_GAUGE, "portico_gateway_sessions",
				       "Live connections of all mappings", NULL);
	t->entries = metrics_register(metrics, METRIC_GAUGE, "portico_gateway_conntrack_entries",
				      "Entries of connection tracking, also of others", NULL);
	t->entries_limit =
		metrics_register(metrics, METRIC_GAUGE, "portico_gateway_conntrack_limit",
				 "Entries that connection tracking may have", NULL);
	t->insert_failed = metrics_register(
		metrics, METRIC_COUNTER, "portico_gateway_conntrack_insert_failed_total",
		"Connections that connection tracking could not take in", NULL);
	t->drop = metrics_register(metrics, METRIC_COUNTER, "portico_gateway_conntrack_drop_total",
				   "Packets dropped because connection tracking was full", NULL);
	t->early_drop = metrics_register(metrics, METRIC_COUNTER,
					 "portico_gateway_conntrack_early_drop_total",
					 "Connections ended to make room for new ones", NULL);
}

static void register_accounting(struct traffic_metrics *t, struct metrics *metrics)
{
	t->age = metrics_register(metrics, METRIC_GAUGE, "portico_gateway_accounting_age_seconds",
				  "Age of the oldest count of a live connection", NULL);
	t->rounds = metrics_register(metrics, METRIC_COUNTER, "portico_gateway_collections_total",
				     "Listings of the live connections", NULL);
	t->failures = metrics_register(metrics, METRIC_COUNTER,
				       "portico_gateway_collection_failures_total",
				       "Listings that were given up", NULL);
	t->cpu = metrics_register(metrics, METRIC_COUNTER,
				  "portico_gateway_collection_cpu_seconds_total",
				  "CPU time that the listings took", NULL);
	t->overruns =
		metrics_register(metrics, METRIC_COUNTER, "portico_gateway_event_overruns_total",
				 "Times that ended connections waited in the kernel", NULL);
	t->untracked = metrics_register(metrics, METRIC_COUNTER,
					"portico_gateway_untracked_connections_total",
					"Connections that found no room to be followed", NULL);
}

static void register_mappings(struct traffic_metrics *t, struct metrics *metrics)
{
	if (t->limit == 0)
		return;
	(void)metrics_register_written(
		metrics, METRIC_COUNTER, "portico_gateway_mapping_bytes_total",
		"Bytes of a mapping, in from clients and out to them", write_bytes, t);
	(void)metrics_register_written(
		metrics, METRIC_COUNTER, "portico_gateway_mapping_packets_total",
		"Packets of a mapping, in from clients and out to them", write_packets, t);
	(void)metrics_register_written(metrics, METRIC_COUNTER,
				       "portico_gateway_mapping_connections_total",
				       "Connections of a mapping", write_connections, t);
}

int traffic_metrics_new(struct traffic_metrics **ret, struct metrics *metrics,
			const struct accounting *accounting, const struct ledger *ledger,
			size_t limit)
{
	struct traffic_metrics *t = calloc(1, sizeof(*t));
	int r;

	if (!t)
		return -ENOMEM;
	t->accounting = accounting;
	t->ledger = ledger;
	t->limit = limit;
	register_sums(t, metrics);
	register_accounting(t, metrics);
	register_mappings(t, metrics);
	r = metrics_on_write(metrics, collect, t);
	if (r < 0) {
		free(t);
		return r;
	}
	*ret = t;
	return 0;
}

void traffic_metrics_free(struct traffic_metrics *metrics)
{
	if (!metrics)
		return;
	free(metrics->rows);
	free(metrics->labels);
	free(metrics);
}
