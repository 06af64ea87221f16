/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What requests of all resources have in common: parameters of lists and watches, pages, and
 * If-Match. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "lib/number.h"
#include "lib/utf8.h"
#include "schedd/api_private.h"
#include "schedd/auth.h"

#define PAGE_MAX 1000

static bool refuse(struct http_request *request, const struct error *err)
{
	http_reply_error(request, err);
	return false;
}

bool api_takes_query(struct http_request *request, const char *const *known)
{
	const char *unknown = http_request_unknown_query(request, known);
	struct error err = ERROR_INIT;

	if (unknown) {
		error_set(&err, -EINVAL, "unknown_field", unknown, "there is no parameter %s",
			  unknown);
		return refuse(request, &err);
	}
	/* The database would take nothing else. */
	for (; *known; known++) {
		const char *value = http_request_query(request, *known);

		if (value && !utf8_is_valid(value)) {
			error_set(&err, -EINVAL, "invalid", *known, "%s: is not UTF-8", *known);
			return refuse(request, &err);
		}
	}
	return true;
}

bool api_takes_no_query(struct http_request *request)
{
	static const char *const none[] = { NULL };

	return api_takes_query(request, none);
}

bool api_takes_force(struct http_request *request, bool *ret)
{
	static const char *const known[] = { "force", NULL };
	const char *force = http_request_query(request, "force");
	struct error err = ERROR_INIT;

	if (!api_takes_query(request, known))
		return false;
	if (force && strcmp(force, "0") != 0 && strcmp(force, "1") != 0) {
		error_set(&err, -EINVAL, "invalid", "force", "force: \"%s\" is neither 0 nor 1",
			  force);
		return refuse(request, &err);
	}
	*ret = force && *force == '1';
	return true;
}

/* ---- watches ---- */

int api_read_watch(struct http_request *request, bool *ret_watch, struct error *err)
{
	const char *watch = http_request_query(request, "watch");

	if (watch && strcmp(watch, "1") != 0 && strcmp(watch, "0") != 0)
		return error_set(err, -EINVAL, "invalid", "watch",
				 "watch: \"%s\" is neither 0 nor 1", watch);
	*ret_watch = watch && *watch == '1';
	return 0;
}

static int read_watch(struct http_request *request, bool *ret_watch, struct error *err)
{
	const char *revision = http_request_query(request, "revision");
	uint64_t number;
	int r = api_read_watch(request, ret_watch, err);

	if (r < 0)
		return r;
	if (revision && !*ret_watch)
		return error_set(err, -EINVAL, "invalid", "revision",
				 "revision: is for watches: add watch=1");
	if (revision && number_parse(revision, &number, NULL) < 0)
		return error_set(err, -EINVAL, "invalid", "revision",
				 "revision: \"%s\" is not a number", revision);
	if (*ret_watch &&
	    (http_request_query(request, "limit") || http_request_query(request, "after")))
		return error_set(err, -EINVAL, "invalid", "limit",
				 "limit, after: a watch has no pages");
	return 0;
}

bool api_wants_watch(struct http_request *request, bool *ret_failed)
{
	static const char *const of_list[] = { "watch", "revision", "limit", "after", NULL };
	static const char *const of_one[] = { "watch", "revision", NULL };
	struct error err = ERROR_INIT;
	bool watch = false;

	*ret_failed = true;
	if (!api_takes_query(request, http_request_param(request, "id") ? of_one : of_list))
		return false;
	if (read_watch(request, &watch, &err) < 0)
		return refuse(request, &err);
	*ret_failed = false;
	return watch;
}

void api_serve_list(struct api *api, struct http_request *request, enum feed_kind feed,
		    enum record_kind kind,
		    bool (*sees)(const struct caller *caller, const struct entry *entry),
		    json_t *(*answer)(const struct api *api, const struct entry *entry))
{
	bool failed, watch = api_wants_watch(request, &failed);

	if (failed || !api_can_read(api, request))
		return;
	if (watch)
		api_start_watch(api, request, feed, NULL);
	else
		api_reply_list(api, request, kind, sees, answer);
}

void api_serve_item(struct api *api, struct http_request *request, enum feed_kind feed,
		    const char *what,
		    const struct entry *(*find)(struct api *api, struct http_request *request,
						const char *id),
		    json_t *(*answer)(const struct api *api, const struct entry *entry))
{
	const char *id = http_request_param(request, "id");
	bool failed, watch = api_wants_watch(request, &failed);
	const struct entry *entry;
	struct error err = ERROR_INIT;

	if (failed || !api_can_read(api, request))
		return;
	if (!watch && !answer) {
		error_set(&err, -EINVAL, "missing", "watch", "watch: is required: ?watch=1");
		http_reply_error(request, &err);
		return;
	}
	entry = find(api, request, id);
	if (!entry)
		api_reply_not_found(request, what, id);
	else if (watch)
		api_start_watch(api, request, feed, entry->id);
	else
		api_reply_item(request, 200, answer(api, entry));
}

void api_reply_ahead(struct http_request *request, const char *name)
{
	struct error err = ERROR_INIT;

	error_set(&err, -ERANGE, "gone", name, "%s: there is no %s yet: start over without it",
		  name, http_request_query(request, name));
	http_reply_error_details(request, 410, &err, NULL);
}

void api_start_watch(struct api *api, struct http_request *request, enum feed_kind kind,
		     const char *id)
{
	const struct state *state = scheduler_state(api->config.scheduler);
	const char *revision = http_request_query(request, "revision");
	struct error err = ERROR_INIT;
	uint64_t from = 0;

	if (!auth_takes_watch(request))
		return;
	if (!revision) {
		feed_start(api->config.feed, state, request, kind, id);
		return;
	}
	if (number_parse(revision, &from, NULL) == 0 &&
	    feed_resume(api->config.feed, state, request, kind, id, from) == 0)
		return;
	if (from > state->revision) {
		api_reply_ahead(request, "revision");
		return;
	}
	error_set(&err, -ERANGE, "gone", "revision",
		  "revision: what changed since %s is not known any more: start over without it",
		  revision);
	http_reply_error_details(request, 410, &err, NULL);
}

/* ---- pages ---- */

/* The rows of one page, in the order of their ids, so that what comes and goes between two pages
 * moves no other. */
struct page {
	const char *after; /* NULL: from the first */
	size_t limit;
	struct entry **rows;
	size_t n;
	bool more;
};

static int read_page(struct http_request *request, struct page *page, struct error *err)
{
	const char *limit = http_request_query(request, "limit");
	uint64_t number = PAGE_MAX;

	page->after = http_request_query(request, "after");
	if (limit && (number_parse(limit, &number, NULL) < 0 || number < 1 || number > PAGE_MAX))
		return error_set(err, -ERANGE, "out_of_range", "limit",
				 "limit: \"%s\" is not in 1…%d", limit, PAGE_MAX);
	page->limit = number;
	page->rows = calloc(page->limit + 1, sizeof(*page->rows));
	return page->rows ? 0 : error_set(err, -ENOMEM, "internal", NULL, "out of memory");
}

/* Keeps the limit + 1 smallest ids, sorted; the last of them only says that there is more. */
static void page_take(struct page *page, struct entry *entry)
{
	size_t at = page->n;

	if (page->after && strcmp(entry->id, page->after) <= 0)
		return;
	while (at > 0 && strcmp(entry->id, page->rows[at - 1]->id) < 0)
		at--;
	if (at > page->limit)
		return;
	if (page->n <= page->limit)
		page->n++;
	memmove(&page->rows[at + 1], &page->rows[at], (page->n - at - 1) * sizeof(struct entry *));
	page->rows[at] = entry;
}

static void page_close(struct page *page)
{
	page->more = page->n > page->limit;
	if (page->more)
		page->n--;
}

struct listing {
	struct api *api;
	const struct caller *caller;
	bool (*sees)(const struct caller *caller, const struct entry *entry);
	json_t *(*answer)(const struct api *api, const struct entry *entry);
	json_t *items;
};

static bool shows(const struct listing *listing, const struct entry *entry)
{
	return entry->committed && (!listing->sees || listing->sees(listing->caller, entry));
}

static int list_page(struct listing *listing, const struct state *state, enum record_kind kind,
		     struct page *page)
{
	struct entry *entry;
	int r = 0;

	STATE_FOREACH(state, kind, entry)
	if (shows(listing, entry))
		page_take(page, entry);
	page_close(page);
	for (size_t i = 0; i < page->n && r == 0; i++)
		r = json_array_append_new(listing->items,
					  listing->answer(listing->api, page->rows[i]));
	return r;
}

static int list_all(struct listing *listing, const struct state *state, enum record_kind kind)
{
	struct entry *entry;
	int r = 0;

	STATE_FOREACH(state, kind, entry)
	if (r == 0 && shows(listing, entry))
		r = json_array_append_new(listing->items, listing->answer(listing->api, entry));
	return r;
}

/* Says since when a list is old, where it is. NULL: out of memory. */
static json_t *mark_stale(const struct api *api, json_t *list)
{
	struct scheduler_standing standing;

	scheduler_standing(api->config.scheduler, &standing);
	if (!list || standing.stale_since == 0 ||
	    json_object_set_new(list, "stale_since", json_time(standing.stale_since)) == 0)
		return list;
	json_decref(list);
	return NULL;
}

/* Says to who sees all ports how many nobody has. NULL: out of memory. */
static json_t *mark_free(const struct listing *listing, const struct state *state,
			 enum record_kind kind, json_t *list)
{
	json_int_t tcp, udp;

	if (!list || kind != RECORD_PORT || listing->caller->access != ACCESS_ALL)
		return list;
	tcp = (json_int_t)port_pool_free(&state->pool, PROTOCOL_TCP);
	udp = (json_int_t)port_pool_free(&state->pool, PROTOCOL_UDP);
	if (json_object_set_new(list, "free", json_pack("{s:I, s:I}", "tcp", tcp, "udp", udp)) == 0)
		return list;
	json_decref(list);
	return NULL;
}

void api_reply_list(struct api *api, struct http_request *request, enum record_kind kind,
		    bool (*sees)(const struct caller *caller, const struct entry *entry),
		    json_t *(*answer)(const struct api *api, const struct entry *entry))
{
	bool paged = http_request_query(request, "limit") || http_request_query(request, "after");
	const struct state *state = scheduler_state(api->config.scheduler);
	struct listing listing = { api, access_caller(request), sees, answer, json_array() };
	struct page page = { 0 };
	struct error err = ERROR_INIT;
	json_t *next, *list;
	int r = listing.items ? 0 : -ENOMEM;

	if (r == 0 && paged)
		r = read_page(request, &page, &err);
	if (r == 0)
		r = paged ? list_page(&listing, state, kind, &page)
			  : list_all(&listing, state, kind);
	next = r == 0 && page.more ? json_string(page.rows[page.n - 1]->id) : json_null();
	free(page.rows);
	if (r == 0) {
		list = json_pack("{s:o, s:I, s:o}", "items", listing.items, "revision",
				 (json_int_t)state->revision, "next", next);
		api_reply_item(request, 200,
			       mark_stale(api, mark_free(&listing, state, kind, list)));
		return;
	}
	json_decref(listing.items);
	json_decref(next);
	error_set(&err, -ENOMEM, "internal", NULL, "out of memory");
	http_reply_error(request, &err);
}

/* ---- If-Match ---- */

bool api_matches(struct http_request *request, const struct entry *entry, uint64_t revision)
{
	const char *wanted = http_request_header(request, "If-Match");
	struct error err = ERROR_INIT;
	char plain[24], quoted[32];

	if (!wanted || strcmp(wanted, "*") == 0)
		return true;
	(void)snprintf(plain, sizeof(plain), "%" PRIu64, revision);
	(void)snprintf(quoted, sizeof(quoted), "\"%s\"", plain);
	if ((strcmp(wanted, quoted) == 0 || strcmp(wanted, plain) == 0) &&
	    !entry_is_changing(entry))
		return true;
	error_set(&err, -EINVAL, "precondition_failed", "If-Match",
		  "If-Match: %s is at revision %s%s and not at %s: look at it again", entry->id,
		  plain, entry_is_changing(entry) ? ", which is changing," : "", wanted);
	http_reply_error_details(request, 412, &err, NULL);
	return false;
}
