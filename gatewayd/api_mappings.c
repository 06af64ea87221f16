/* SPDX-License-Identifier: GPL-2.0-or-later */
/* GET /v1/mappings: all that are desired, with their counters, written piece by piece. */
#include "gatewayd/api_mappings.h"

#include <errno.h>
#include <string.h>

#include "gatewayd/api_query.h"
#include "gatewayd/entry_mapping.h"
#include "gatewayd/restrictions.h"
#include "lib/http_pieces.h"
#include "lib/text.h"

/* A mapping with its counters, or what stands around all of them. */
#define ITEM_BYTES_MAX (MAPPING_TEXT_MAX + 512)

struct mapping_filter {
	uint16_t port;           /* 0: any */
	const char *environment; /* NULL: any */
};

struct listing {
	struct mapping_view view;
	struct mapping_key *keys; /* owned */
	size_t n, at;
	bool begun, any; /* something was written, and a mapping among it */
};

/* ---- choosing ---- */

static bool chosen(const struct entry *entry, const struct mapping_filter *filter)
{
	struct shape_label label;

	if (!(entry->flags & ENTRY_DESIRED))
		return false;
	if (filter->port > 0 && entry->key.port != filter->port)
		return false;
	if (!filter->environment)
		return true;
	shape_label_parse(entry->label, &label);
	return strcmp(label.environment, filter->environment) == 0;
}

static int compare_keys(const void *a, const void *b)
{
	return mapping_key_compare(a, b);
}

static int choose(struct listing *listing, const struct mapping_filter *filter)
{
	const struct ledger *ledger = listing->view.ledger;
	const struct entry *entry;
	size_t index = 0;

	listing->keys = calloc(ledger->n_desired + 1, sizeof(*listing->keys));
	if (!listing->keys)
		return -ENOMEM;
	while ((entry = ledger_next(ledger, &index)))
		if (chosen(entry, filter))
			listing->keys[listing->n++] = entry->key;
	qsort(listing->keys, listing->n, sizeof(*listing->keys), compare_keys);
	return 0;
}

static void release(void *userdata)
{
	struct listing *listing = userdata;

	free(listing->keys);
	free(listing);
}

/* ---- writing ---- */

#define PUT_FIELD(text, name, value)                      \
	do {                                              \
		TEXT_PUT(text, ",\"" name "\":");         \
		text_put_number(text, (uint64_t)(value)); \
	} while (0)

static void put_traffic(struct text *text, const struct traffic *traffic)
{
	PUT_FIELD(text, "bytes", traffic->bytes[CT_IN] + traffic->bytes[CT_OUT]);
	PUT_FIELD(text, "bytes_in", traffic->bytes[CT_IN]);
	PUT_FIELD(text, "bytes_out", traffic->bytes[CT_OUT]);
	PUT_FIELD(text, "packets", traffic->packets[CT_IN] + traffic->packets[CT_OUT]);
	PUT_FIELD(text, "packets_in", traffic->packets[CT_IN]);
	PUT_FIELD(text, "packets_out", traffic->packets[CT_OUT]);
}

/* What its limits have refused, where it has any that count by mapping. */
static void put_refused(struct text *text, const struct ledger *ledger, const struct entry *entry)
{
	const struct policy *policy = entry_policy(entry);

	if (policy->max_connections > 0 || policy->new_connections_per_minute > 0)
		PUT_FIELD(text, "refused", restrictions_refused(&ledger->members, &entry->key));
}

static void put_entry(struct text *text, const struct mapping_view *view, const struct entry *entry)
{
	const struct account *account = flow_table_account(view->flows, &entry->key, NULL);
	const struct totals totals = account ? account->totals : (struct totals){ 0 };

	/* The counters go on where its object ends. */
	text->n += entry_write(entry, text->data + text->n) - 1;
	put_traffic(text, &totals.traffic);
	PUT_FIELD(text, "connections", totals.connections);
	put_refused(text, view->ledger, entry);
	TEXT_PUT(text, "}");
}

static void put_next(struct text *text, struct listing *listing)
{
	const struct entry *entry =
		ledger_find(listing->view.ledger, &listing->keys[listing->at++]);

	if (!entry || !(entry->flags & ENTRY_DESIRED))
		return;
	if (listing->any)
		TEXT_PUT(text, ",");
	listing->any = true;
	put_entry(text, &listing->view, entry);
}

static int next(struct evbuffer *out, void *userdata)
{
	struct listing *listing = userdata;
	struct evbuffer_iovec room;
	struct text text = { 0 };

	if (evbuffer_reserve_space(out, (ev_ssize_t)(HTTP_PIECE_BYTES + ITEM_BYTES_MAX), &room, 1) <
	    1)
		return -ENOMEM;
	text.data = room.iov_base;
	if (!listing->begun)
		TEXT_PUT(&text, "{\"items\":[");
	listing->begun = true;
	while (listing->at < listing->n && text.n < HTTP_PIECE_BYTES)
		put_next(&text, listing);
	if (listing->at == listing->n) {
		TEXT_PUT(&text, "]");
		PUT_FIELD(&text, "revision", listing->view.revision);
		TEXT_PUT(&text, "}");
	}
	room.iov_len = text.n;
	if (evbuffer_commit_space(out, &room, 1) < 0)
		return -ENOMEM;
	return listing->at < listing->n;
}

static int read_filter(const struct http_request *request, struct mapping_filter *ret,
		       struct error *err)
{
	static const char *const known[] = { "port", "environment", NULL };
	int r = api_check_query(request, known, err);

	*ret = (struct mapping_filter){ 0 };
	if (r == 0)
		r = api_read_port(request, &ret->port, err);
	return r < 0 ? r : api_read_environment(request, &ret->environment, err);
}

void api_mappings(struct http_request *request, const struct mapping_view *view)
{
	static const struct http_source source = { .next = next, .release = release };
	struct mapping_filter filter;
	struct error err = ERROR_INIT;
	struct listing *listing;

	if (read_filter(request, &filter, &err) < 0) {
		http_reply_error(request, &err);
		return;
	}
	listing = calloc(1, sizeof(*listing));
	if (listing) {
		listing->view = *view;
		if (choose(listing, &filter) == 0) {
			http_reply_pieces(request, "application/json", &source, listing);
			return;
		}
		release(listing);
	}
	error_set(&err, -ENOMEM, "internal", NULL, "out of memory");
	http_reply_error(request, &err);
}
